"""Owns a model's version in Azure ML's own registry, behind Refit's gates said again; refuses to judge by anything else, and to
let a registry decide about a step.

Azure ML has no condition to put before a registration, so the backend registers when it sees the step that measured succeed.
What it needs for that is kept in the job's own properties: a server that restarts knows it too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from service.adapters.backends.azureml import names
from service.adapters.backends.azureml.azure import Azure
from service.adapters.backends.azureml.failures import Problem, translated
from service.adapters.backends.azureml.registry import APPROVAL
from service.adapters.backends.cloud.outputs import Kept
from service.adapters.backends.cloud.specs import plain_gates
from service.domain.gates import judge
from service.domain.pipeline import UpstreamInput
from service.ports.backend import Work

PROPERTY = "refit.register"
_VERSION = "2024-10-01"
_LONGEST_PROPERTY = 1_000
_LINEAGE = ("refit.repository", "refit.pipeline", "refit.commit", "refit.ref", "refit.pull_request", "refit.submission")


def registration_of(works: Sequence[Work], nodes: Mapping[str, str], kept: Mapping[str, Kept]) -> dict[str, str]:
    """The property that says what becomes a version of which model. Empty where the submission does not measure, where its
    model is not known, and where a gate is no bound by a number: only Refit knows the baseline."""
    register, gates = works[0].register, plain_gates(works[0])
    measuring = [nodes[work.ingredients.component.name] for work in works if work.ingredients.component.metrics]
    if register is None or gates is None or len(measuring) != 1:
        return {}
    if register.component in nodes:
        model = {"node": nodes[register.component], "output": register.output}
    else:
        model = _injected(works, register.component, register.output, kept)
    if not model:
        return {}
    said = {"model": names.model_name(register.model), "measured": measuring[0], "gates": list(works[0].gates), **model}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return {PROPERTY: text} if len(text) <= _LONGEST_PROPERTY else {}


def _injected(works: Sequence[Work], component: str, output: str, kept: Mapping[str, Kept]) -> dict[str, str]:
    """The model that an earlier job left."""
    for work in works:
        for name, source in work.ingredients.component.inputs:
            if source == UpstreamInput(component, output) and name in work.inputs:
                digest = work.inputs[name].digest
                return {"uri": kept[digest].uri, "digest": digest} if digest in kept else {}
    return {}


class Models:
    """The workspace's registry. A version is named by its content: registering it twice is registering it once."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._log = structlog.get_logger("refit.azureml")

    @staticmethod
    def wanted(job: Mapping[str, Any], node: str) -> Mapping[str, Any] | None:
        """What shall be registered once this node has measured; ``job`` is the run of the pipeline job."""
        try:
            said = json.loads((job.get("properties") or {})[PROPERTY])
            return said if said["measured"] == node else None
        except (KeyError, ValueError, TypeError):
            return None

    def register(
        self,
        wanted: Mapping[str, Any],
        job: Mapping[str, Any],
        uri: str,
        digest: str,
        run: str,
        metrics: Mapping[str, float],
    ) -> None:
        """A version whose gates hold, waiting for approval; nothing where one does not. What Azure refuses is logged: the step
        has succeeded all the same. ``Retry`` where Azure fails. ``run`` is the job that made it, or ``""``."""
        if not all(verdict.passed for verdict in judge(wanted["gates"], metrics, None)):
            return
        tags = {name: text for name, text in (job.get("tags") or {}).items() if name in _LINEAGE}
        datastore, place = names.parts_of(uri)
        body = {
            "properties": {
                "modelType": "custom_model",
                "modelUri": f"azureml:/{self._azure.declared.scope}/datastores/{datastore}/paths/{place}",
                "description": names.tag(f"{tags.get('refit.repository', '')} at {tags.get('refit.commit', '')}"),
                "tags": {**tags, "refit.digest": digest, APPROVAL: "pending",
                         **{f"metric.{name}"[:100]: repr(value) for name, value in list(metrics.items())[:30]}},
                "properties": {"refit.job": str(job.get("runId", "")), "refit.gates": "; ".join(wanted["gates"])[:1000]},
                **({"jobName": run} if run else {}),
            }
        }  # fmt: skip
        version = names.model_version(digest)
        act, path = f"registering {wanted['model']}:{version}", f"/models/{wanted['model']}/versions/{version}"
        try:
            if not self._is_there(path):  # else somebody may have spoken about it: it stays as it is
                self._azure.manager("PUT", path, body, _VERSION)
        except Problem as problem:
            if problem.is_conflict:
                return
            translation = translated(act, problem, starts=False)
            if problem.is_transient:
                raise translation from problem
            self._log.warning("the model is not registered in Azure ML", reason=translation.reason)

    def _is_there(self, path: str) -> bool:
        try:
            self._azure.manager("GET", path, version=_VERSION)
        except Problem as problem:
            if problem.is_absent:
                return False
            raise
        return True
