"""Owns a submission → the pipeline job that Azure ML's SDK shall submit, and the code of each step; refuses Azure and files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.adapters.backends.azureml import names
from service.adapters.backends.azureml.declared import Declared
from service.adapters.backends.azureml.registering import registration_of
from service.adapters.backends.cloud.archives import zipped
from service.adapters.backends.cloud.outputs import Kept
from service.adapters.backends.cloud.specs import Arrival, spec_of
from service.domain.errors import Refused
from service.ports.backend import Work

IMAGE = "mcr.microsoft.com/azureml/openmpi5.0-ubuntu24.04"
"""Azure ML's own base image, where the operator names none."""
ENTRY = "entry.pyz"
MODULES = (
    "service.adapters.backends.azureml.container.entry", "service.adapters.backends.azureml.container.tracking",
)  # fmt: skip
_SHOWN = re.compile(r"[\w .,:/=+@-]{1,200}", re.ASCII)
"""What may stand in a job's document: no ``${{…}}``, which Azure ML would fill in."""
_MOST_SHOWN = 40
_MARGIN_SECONDS, _DEFAULT_SECONDS, _MOST_SECONDS = 900, 86_400, 432_000
"""The step's own timeout is kept inside the container, which says so; Azure ML's is for a container that hangs."""


@dataclass(frozen=True)
class Composed:
    """What one submission becomes. ``code`` is by node name, in the order of the works; ``document`` names it as
    ``./code/<node>``."""

    name: str
    document: Mapping[str, Any]
    code: Mapping[str, bytes]

    @property
    def handles(self) -> list[str]:
        return [str(names.Handle(self.name, node)) for node in self.code]


def handles_of(works: Sequence[Work]) -> list[str]:
    """Those that the submission has, or will have."""
    job = job_of(works)
    return [str(names.Handle(job, names.node_name(work.ingredients.component.name))) for work in works]


def job_of(works: Sequence[Work]) -> str:
    """The name of the submission's pipeline job."""
    first = works[0]
    named = names.native_job_name if first.ingredients.component.native else names.job_name
    return named(first.repository, first.pipeline, first.submission)


def compose(declared: Declared, works: Sequence[Work], kept: Mapping[str, Kept], bundle: str) -> Composed:
    """``works`` in topological order; ``kept`` says by digest where the outputs lie that earlier jobs made; ``bundle`` is the
    URI of the export."""
    first = works[0]
    nodes = {work.ingredients.component.name: names.node_name(work.ingredients.component.name) for work in works}
    inputs: dict[str, Any] = {names.BUNDLE_PORT: _input("uri_file", bundle)}
    jobs: dict[str, Any] = {}
    code: dict[str, bytes] = {}
    for work in works:
        node = nodes[work.ingredients.component.name]
        spec, arrivals = spec_of(work, nodes, kept, f"the datastore {declared.datastore}")
        spec |= {"ports": _ports(work, arrivals)}
        bound = {names.BUNDLE_PORT: _input("uri_file", f"${{{{parent.inputs.{names.BUNDLE_PORT}}}}}")}
        for one in arrivals:
            port = names.input_port(one.name)
            if one.kept is None:
                source = f"${{{{parent.jobs.{nodes[one.component]}.outputs.{names.output_port(one.output)}}}}}"
            else:
                given = f"{node}_{port}"
                inputs[given] = _input("uri_folder", one.kept.uri)
                source = f"${{{{parent.inputs.{given}}}}}"
            bound[port] = _input("uri_folder", source)
        jobs[node] = _job(declared, work, node, bound)
        code[node] = zipped(spec, MODULES)
    name = job_of(works)
    document = {
        "$schema": "https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json",
        "type": "pipeline", "name": name, "display_name": names.tag(f"{first.pipeline} {first.commit[:12]}"),
        "experiment_name": names.experiment_name(first.repository, first.pipeline),
        "description": names.tag(f"{first.repository} {first.pipeline} at {first.commit}, submission {first.submission}"),
        "tags": tags_of(first), "properties": _properties(works, nodes, kept),
        "settings": {
            "default_compute": f"azureml:{declared.compute}", "default_datastore": f"azureml:{declared.datastore}",
            "continue_on_step_failure": True, "force_rerun": any(work.fresh for work in works),
        },
        "inputs": inputs, "jobs": jobs,
    }  # fmt: skip
    return Composed(name, document, code)


def _input(kind: str, uri: str) -> dict[str, str]:
    """Downloaded: a mount is read-only, and modes of an output are restored where it arrives."""
    return {"type": kind, "path": uri, "mode": "download"}


def _ports(work: Work, arrivals: Sequence[Arrival]) -> dict[str, dict[str, str]]:
    return {
        "own": {"bundle": names.BUNDLE_PORT, "report": names.REPORT_PORT},
        "inputs": {one.name: names.input_port(one.name) for one in arrivals},
        "outputs": {name: names.output_port(name) for name in _products(work)},
    }


def _products(work: Work) -> list[str]:
    component = work.ingredients.component
    return [*component.outputs, *(["metrics"] if component.metrics else [])]


def _job(declared: Declared, work: Work, node: str, bound: Mapping[str, Any]) -> dict[str, Any]:
    """One command component in place."""
    component = work.ingredients.component
    compute = component.limits.instance or declared.compute
    if not declared.may_run_on(compute):
        allowed = ", ".join(sorted({declared.compute, *declared.computes}))
        raise Refused(
            f"submitting {component.name}: this backend does not offer the compute {compute}; it has {allowed}"
        )
    outputs = [*(names.output_port(name) for name in _products(work)), names.REPORT_PORT]
    words = [f"{port}=${{{{inputs.{port}}}}}" for port in bound] + [
        f"{port}=${{{{outputs.{port}}}}}" for port in outputs
    ]
    timeout = component.limits.timeout
    return {
        "type": "command", "code": f"./code/{node}",
        "command": f"python {ENTRY} {' '.join(words)}",
        "environment": declared.environment or {"image": declared.image or IMAGE},
        "compute": f"azureml:{compute}",
        "inputs": {**_shown(work), **bound},
        "outputs": {port: {"type": "uri_folder", "mode": "upload"} for port in outputs},
        "limits": {"timeout": min(_MOST_SECONDS, int(timeout) + _MARGIN_SECONDS if timeout else _DEFAULT_SECONDS)},
    }  # fmt: skip


def _shown(work: Work) -> dict[str, str]:
    """The parameters, for the Studio; what the step gets is in its code's spec, the same texts."""
    texts = {f"param_{names.node_name(name)}": " ".join(given) for name, given in work.ingredients.flags}
    return {name: text for name, text in list(texts.items())[:_MOST_SHOWN] if _SHOWN.fullmatch(text)}


def tags_of(work: Work) -> dict[str, str]:
    """For lists and filters; far below Azure's fifty."""
    found = {
        "refit.repository": work.repository, "refit.pipeline": work.pipeline, "refit.commit": work.commit,
        "refit.submission": work.submission, "refit.ref": work.ref,
        "refit.pull_request": str(work.pull_request) if work.pull_request else "",
    }  # fmt: skip
    return {name: names.tag(text) for name, text in found.items() if text}


def _properties(works: Sequence[Work], nodes: Mapping[str, str], kept: Mapping[str, Kept]) -> dict[str, str]:
    """What the Studio shows as the job's git repository: said here, since the SDK would take that of the folder it runs in;
    and what shall become of the model."""
    git = git_properties(works[0])
    return {**git, **registration_of(works, nodes, kept)}


def git_properties(work: Work) -> dict[str, str]:
    """What the Studio shows as the job's git repository."""
    found = {
        "mlflow.source.git.repoURL": work.repository, "mlflow.source.git.branch": work.ref.removeprefix("refs/heads/"),
        "mlflow.source.git.commit": work.commit, "azureml.git.dirty": "False",
    }  # fmt: skip
    return {name: names.tag(text) for name, text in found.items() if text}
