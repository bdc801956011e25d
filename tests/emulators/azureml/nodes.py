"""Owns what one node of a job does: what it is given, whether an earlier run is reused, its command or its trials, where
its outputs go; refuses to choose which node is next."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.emulators.azureml import sweep
from tests.emulators.azureml.assets import Assets
from tests.emulators.azureml.definition import Node, Value, resolved, value_of
from tests.emulators.azureml.messages import GROUP, SUBSCRIPTION, WORKSPACE, Refusal
from tests.emulators.azureml.resources import STORE, tracking_uri
from tests.emulators.azureml.runs import ENDED, Runs, error_of, experiment_id
from tests.emulators.azureml.state import Document
from tests.emulators.azureml.steps import StepFailed, Steps, StepStopped, StepTimedOut, Work
from tests.emulators.azureml.tokens import Tokens
from tests.emulators.azureml.troubles import Troubles

_DEFAULT_PLACE = "azureml://datastores/${{default_datastore}}/paths/azureml/${{name}}/${{output_name}}"
_IMAGE = "ImageBuildFailure: Failed to build the environment's image; see the image build log."


class Nodes:
    """Runs nodes, each on the thread that calls. What a step may not do fails its run, never the caller."""

    def __init__(self, runs: Runs, assets: Assets, steps: Steps, tokens: Tokens, url: str, troubles: Troubles) -> None:
        self._runs = runs
        self._assets = assets
        self._steps = steps
        self._tokens = tokens
        self._url = url
        self._troubles = troubles

    def create(self, parent: Document, node: Node) -> Document:
        """The run of a pipeline's node."""
        properties = {
            "azureml.nodeid": hashlib.sha256(node.name.encode()).hexdigest()[:8],
            "azureml.pipelinerunid": parent["id"], "azureml.rootpipelinerunid": parent["root"],
            "azureml.moduleName": str(node.spec.get("name")),
            "azureml.runsource": "azureml.StepRun", "azureml.nodesource": "azureml.StepRun",
        }  # fmt: skip
        return self._runs.child(node.kind, parent, node.name, displayName=node.display_name, compute=node.compute,
                                properties=properties)  # fmt: skip

    def given(
        self, node: Node, inputs: Mapping[str, Value], made: Mapping[str, Mapping[str, Value]]
    ) -> dict[str, Value]:
        """Every input that has a value, bound or by default. ``made`` are the outputs of the node's siblings."""
        found = {}
        declared = node.spec.get("inputs") or {}
        for name in {**declared, **node.inputs}:
            port = declared.get(name) or {}
            value = (
                resolved(node.inputs[name], inputs, lambda job, out: made[job][out]) if name in node.inputs else None
            )
            if value is None and port.get("default") is not None:
                value = value_of(port["default"])
            if value is None:
                continue
            if value["type"] != "literal":
                mode = value.get("mode") or str(port.get("mode") or "")
                value = {**value, "type": port.get("type", value["type"]), "mode": mode}
            elif port.get("type") == "boolean":
                value = {**value, "value": value["value"].capitalize()}
            found[name] = value
        return found

    def places(
        self, run: Document, node: Node, around: Mapping[str, Any] | None = None, store: str = ""
    ) -> dict[str, Value]:
        """Where each output goes: what the node or the pipeline's output says, or below the run's own name."""
        found: dict[str, Value] = {}
        bound = node.bound_outputs()
        words = {"default_datastore": store.removeprefix("azureml:").rpartition("/")[2] or STORE, "name": run["id"]}
        for port, declared in (node.spec.get("outputs") or {}).items():
            said = {**(node.outputs.get(port) or {}), **((around or {}).get(bound.get(port, "")) or {})}
            kind = str(declared.get("type", "uri_folder"))
            uri = said.get("uri") or said.get("path") or _DEFAULT_PLACE + ("" if kind == "uri_file" else "/")
            for word, value in {**words, "output_name": port}.items():
                uri = uri.replace(f"${{{{{word}}}}}", value)
            found[port] = {"type": kind, "uri": uri}
        return found

    def run(
        self, run: Document, node: Node, given: dict[str, Value], places: dict[str, Value], settings: Mapping[str, Any]
    ) -> None:
        """To one of the three ends."""
        id, may_reuse = run["id"], not settings.get("force_rerun")
        try:
            given = {name: self._located(value) for name, value in given.items()}
            self._runs.change(id, inputs=given)
            key = self._reuse_key(node, given) if node.kind == "command" and may_reuse else ""
            if key and self._is_reused(run, key):
                return
            if node.kind == "sweep":
                places = self._sweep(run, node, given)
            else:
                self._command(run, node, given, places)
            self._runs.change(id, outputs=places)
            self._register(run, node, places)
            self._runs.move(id, "Finalizing")
            if self._runs.move(id, "Completed")["status"] == "Completed" and key:
                self._runs.state.put("reuse", key, {"run": id})
        except StepStopped:
            self._runs.move(id, "Canceled")
        except StepTimedOut:
            self._runs.change(id, error=error_of("UserError", "The job's timeout was reached; the job was canceled."))
            self._runs.move(id, "Canceled")
        except StepFailed as failure:
            self._runs.fail(id, failure.code, str(failure))
        except Refusal as refusal:
            self._runs.fail(id, "UserError", str(refusal))

    # a command --------------------------------------------------------------------------------------------------------

    def _command(self, run: Document, node: Node, given: dict[str, Value], places: dict[str, Value]) -> None:
        id = run["id"]

        def cancelled() -> bool:
            return self._runs.is_cancelled(id)

        def running() -> None:
            self._runs.move(id, "Running")

        self._runs.move(id, "Queued")
        if (trouble := self._troubles.take(node.name)) is not None:
            _meet(trouble, cancelled)
        self._runs.move(id, "Preparing")
        code = node.spec.get("code") or ""
        place = self._assets.by_id("codes", code)["properties"]["codeUri"] if code else ""
        work = Work(id, node.spec["command"], place, given, places, self._environment(run, node),
                    _seconds(node.limits.get("timeout")))  # fmt: skip
        self._steps.run(work, running, cancelled)
        if cancelled():
            raise StepStopped
        self._steps.upload(work)

    def _environment(self, run: Document, node: Node) -> dict[str, str]:
        """What a job's process finds in its environment, the component's and the node's own variables last."""
        token = self._tokens.signed(self._url, run=run["id"])
        experiment = experiment_id(run["experiment"])
        return {
            "AZUREML_RUN_ID": run["id"], "AZUREML_ROOT_RUN_ID": run["root"], "AZUREML_RUN_TOKEN": token,
            "AZUREML_ARM_SUBSCRIPTION": SUBSCRIPTION, "AZUREML_ARM_RESOURCEGROUP": GROUP,
            "AZUREML_ARM_WORKSPACE_NAME": WORKSPACE, "AZUREML_ARM_PROJECT_NAME": run["experiment"],
            "AZUREML_EXPERIMENT_ID": experiment, "AZUREML_SERVICE_ENDPOINT": self._url,
            "AZUREML_DISCOVERY_SERVICE_ENDPOINT": f"{self._url}/discovery/workspaces/{WORKSPACE}",
            "MLFLOW_TRACKING_URI": tracking_uri(self._url), "MLFLOW_TRACKING_TOKEN": token,
            "MLFLOW_RUN_ID": run["id"], "MLFLOW_EXPERIMENT_ID": experiment,
            "MLFLOW_EXPERIMENT_NAME": run["experiment"], **{name: str(one) for name, one in node.environment.items()},
        }  # fmt: skip

    # a sweep ----------------------------------------------------------------------------------------------------------

    def _sweep(self, run: Document, node: Node, given: dict[str, Value]) -> dict[str, Value]:
        """Trials one after the other; the outputs of the best."""
        id, objective = run["id"], node.sweep["objective"]
        self._runs.move(id, "Running")
        command = str(node.spec["command"]).replace("${{search_space.", "${{inputs.")
        own = dataclasses.replace(node, kind="command", spec={**node.spec, "command": command}, sweep={},
                                  limits={"timeout": (node.sweep.get("limits") or {}).get("trial_timeout")})  # fmt: skip
        scores = []
        for at, values in enumerate(sweep.trials(node.sweep)):
            name = f"{id}_{at}"
            trial = self._runs.find(name) or self._runs.create(
                name, "command", parent=run, displayName=name, compute=node.compute,
                properties={"azureml.sweeprunid": id}, tags={"hyperparameters": json.dumps(values)},
            )  # fmt: skip
            if trial["status"] not in ENDED:
                literals = {key: {"type": "literal", "value": value} for key, value in values.items()}
                self.run(trial, own, {**given, **literals}, self.places(trial, own), {"force_rerun": True})
            if self._runs.is_cancelled(id):
                raise StepStopped
            measured = self._runs.metrics(name).get(str(objective["primary_metric"]))
            if self._runs.known(name)["status"] == "Completed" and measured:
                scores.append((name, float(measured[-1]["value"])))
        found = sweep.best(str(objective["goal"]), scores)
        if found is None:
            raise StepFailed("UserError", "No trial of the sweep reported the primary metric.")
        properties = self._runs.known(id)["properties"]
        self._runs.change(id, properties=properties | {"best_child_run_id": found[0], "score": str(found[1])})
        return dict(self._runs.known(found[0])["outputs"])

    # data and reuse ---------------------------------------------------------------------------------------------------

    def _located(self, value: Value) -> Value:
        """Data by its place, whatever named it: an asset's id, or another job's output."""
        if value["type"] == "literal":
            return value
        uri, kind = str(value["uri"]), value["type"]
        if uri.startswith("azureml://jobs/"):
            words = uri.removeprefix("azureml://jobs/").split("/", 4)
            run = self._runs.find(words[0])
            port = words[2] if len(words) > 2 and words[1] == "outputs" else ""
            if run is None or port not in run["outputs"]:
                raise StepFailed("UserError", f"The data at {uri} is not accessible: no job has this output.")
            return {
                **value,
                "uri": run["outputs"][port]["uri"].rstrip("/") + ("/" + words[4] if len(words) > 4 else ""),
            }
        found = self._assets.data_at(uri, kind)
        return value if found is None else {**value, "uri": found}

    def _reuse_key(self, node: Node, given: Mapping[str, Value]) -> str:
        """Equal for steps of which Azure runs only the first; nothing for what is not deterministic. Data is compared by
        its place, not its content."""
        if not node.spec.get("is_deterministic", True):
            return ""
        code = node.spec.get("code") or ""
        content = self._assets.by_id("codes", code)["properties"] if code else {}
        settings = {
            port: {key: one[key] for key in ("uri", "mode") if key in one} for port, one in node.outputs.items()
        }
        said = [content.get("properties", {}).get("hash_sha256") or code, node.spec.get("environment"),
                node.spec["command"], given, settings, node.spec.get("outputs"), dict(node.environment)]  # fmt: skip
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def _is_reused(self, run: Document, key: str) -> bool:
        known = self._runs.state.get("reuse", key)
        earlier = self._runs.find(known["run"]) if known else None
        if earlier is None or earlier["status"] != "Completed":
            return False
        properties = run["properties"] | {"azureml.isreused": "true", "azureml.reusedrunid": earlier["id"],
                                          "azureml.reusedpipelinerunid": earlier["root"]}  # fmt: skip
        self._runs.change(run["id"], properties=properties, outputs=earlier["outputs"])
        self._runs.move(run["id"], "Completed")
        return True

    def _register(self, run: Document, node: Node, places: Mapping[str, Value]) -> None:
        """An output that has a name becomes an asset."""
        for port, said in node.outputs.items():
            name = said.get("assetName") or said.get("asset_name") or said.get("name")
            if name and port in places:
                version = str(said.get("assetVersion") or said.get("version") or "")
                self._assets.register(places[port], str(name), version, run["id"])


def _meet(trouble: Mapping[str, Any], cancelled: Callable[[], bool]) -> None:
    """What the platform does to a step before it runs."""
    if trouble["kind"] == "image":
        raise StepFailed("UserError", _IMAGE)
    end = time.monotonic() + (float("inf") if trouble["kind"] == "hang" else trouble["seconds"])
    while time.monotonic() < end:
        if cancelled():
            raise StepStopped
        time.sleep(0.03)


def _seconds(given: Any) -> float | None:
    """Of a number or an ISO 8601 duration of days, hours, minutes and seconds."""
    if given in (None, "", 0):
        return None
    if isinstance(given, int | float):
        return float(given)
    total, number = 0.0, ""
    for sign in str(given).removeprefix("P").replace("T", ""):
        if sign in "DHMS":
            total += float(number) * {"D": 86400, "H": 3600, "M": 60, "S": 1}[sign]
            number = ""
        else:
            number += sign
    return total
