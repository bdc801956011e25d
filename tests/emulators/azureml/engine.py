"""Owns a job's progress: which node is next, and what became of the whole; refuses requests, which are the door's, and what
one node does, which is ``nodes``'."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Mapping
from typing import Any

from tests.emulators.azureml.assets import Assets
from tests.emulators.azureml.definition import Node, Pipeline, Value, pipeline, value_of
from tests.emulators.azureml.nodes import Nodes
from tests.emulators.azureml.runs import ENDED, Runs
from tests.emulators.azureml.state import Document
from tests.emulators.azureml.steps import Steps
from tests.emulators.azureml.tokens import Tokens
from tests.emulators.azureml.troubles import Troubles

_CHILD_FAILED = "Pipeline has some failed steps. See child run or execution logs for more details."


class Engine:
    """Moves jobs on threads of their own; ``resume`` takes up those that an earlier emulator did not end."""

    def __init__(self, runs: Runs, assets: Assets, steps: Steps, tokens: Tokens, url: str) -> None:
        self._runs = runs
        self._assets = assets
        self.troubles = Troubles()
        self._nodes = Nodes(runs, assets, steps, tokens, url, self.troubles)

    def resume(self) -> None:
        for run in self._runs.all():
            if run["parent"] is None and run["status"] not in ENDED:
                self.start(run)

    def start(self, run: Document) -> None:
        threading.Thread(target=self._root, args=(run,), daemon=True, name=run["id"]).start()

    def _root(self, run: Document) -> None:
        try:
            if run["kind"] == "pipeline":
                whole = pipeline(run["body"], self._assets)
                self._pipeline(run, whole, whole.inputs)
            else:
                node = _alone(run, run["body"])
                self._nodes.run(run, node, dict(node.inputs), self._nodes.places(run, node), {"force_rerun": True})
        except Exception as error:
            self._defect(run["id"], error)

    def _defect(self, id: str, error: Exception) -> None:
        """It must not look like a job that runs for ever."""
        traceback.print_exception(error)
        self._runs.fail(id, "ServiceError", f"the emulator has a defect: {error!r}")

    # one pipeline -----------------------------------------------------------------------------------------------------

    def _pipeline(self, run: Document, whole: Pipeline, inputs: Mapping[str, Value]) -> None:
        """Rounds of whatever is ready, each node on a thread, until nothing is ready and nothing runs. Of a pipeline that
        ends early, what runs is cancelled and what did not begin has no run."""
        id = run["id"]
        self._runs.move(id, "Running")
        changed = threading.Condition()
        threads: dict[str, threading.Thread] = {}
        goes_on = bool(whole.settings.get("continue_on_step_failure"))

        def work(node: Node) -> None:
            try:
                self._child(run, whole, node, inputs)
            finally:
                with changed:
                    changed.notify()

        with changed:
            while True:
                alive = any(thread.is_alive() for thread in threads.values())
                states = {one["name"]: one["status"] for one in self._runs.children(id)}
                failed = any(one in ("Failed", "Canceled") for one in states.values())
                stop = self._runs.is_cancelled(id) or (failed and not goes_on)
                ready = [name for name, node in whole.nodes.items()
                         if name not in threads and states.get(name) not in ENDED and (name in states or not stop)
                         and all(states.get(one) == "Completed" for one in node.upstream)]  # fmt: skip
                if stop:
                    self._stop_children(id)
                if not ready and not alive:
                    break
                for name in ready:
                    threads[name] = threading.Thread(target=work, args=(whole.nodes[name],), daemon=True)
                    threads[name].start()
                changed.wait(0.05)
        self._end(run, whole)

    def _child(self, parent: Document, whole: Pipeline, node: Node, inputs: Mapping[str, Value]) -> None:
        run = self._nodes.create(parent, node)
        try:
            made = {one["name"]: one["outputs"] for one in self._runs.children(parent["id"])}
            given = self._nodes.given(node, inputs, made)
            if node.kind == "pipeline":
                declared = {name: value_of(one["default"]) for name, one in (node.spec.get("inputs") or {}).items()
                            if one.get("default") is not None}  # fmt: skip
                self._pipeline(run, pipeline(node.spec, self._assets, node.compute), {**declared, **given})
                return
            places = self._nodes.places(run, node, whole.outputs, str(whole.settings.get("default_datastore") or ""))
            self._nodes.run(run, node, given, places, whole.settings)
        except Exception as error:
            self._defect(run["id"], error)

    def _end(self, run: Document, whole: Pipeline) -> None:
        children = {one["name"]: one for one in self._runs.children(run["id"])}
        made = {output: children[name]["outputs"][port] for name, node in whole.nodes.items()
                for port, output in node.bound_outputs().items()
                if name in children and children[name]["status"] == "Completed"}  # fmt: skip
        self._runs.change(run["id"], outputs={**run["outputs"], **made})
        if self._runs.is_cancelled(run["id"]):
            self._runs.move(run["id"], "Canceled")
        elif all(name in children and children[name]["status"] == "Completed" for name in whole.nodes):
            self._runs.move(run["id"], "Finalizing")
            self._runs.move(run["id"], "Completed")
        else:
            self._runs.fail(run["id"], "UserError", _CHILD_FAILED)

    def _stop_children(self, id: str) -> None:
        for child in self._runs.children(id):
            self._runs.move(child["id"], "CancelRequested")


def _alone(run: Document, body: Mapping[str, Any]) -> Node:
    """A command or sweep job that is no part of a pipeline, as a node."""
    trial = body.get("trial") or body
    outputs = body.get("outputs") or {}
    spec = {"command": trial["command"], "code": trial.get("codeId") or "", "environment": trial["environmentId"],
            "type": "command", "outputs": {port: {"type": one.get("jobOutputType", "uri_folder")}
                                           for port, one in outputs.items()}}  # fmt: skip
    objective, limits = body.get("objective") or {}, body.get("limits") or {}
    sweep = {
        "search_space": body.get("searchSpace"),
        "sampling_algorithm": (body.get("samplingAlgorithm") or {}).get("samplingAlgorithmType"),
        "objective": {"goal": objective.get("goal"), "primary_metric": objective.get("primaryMetric")},
        "limits": {"max_total_trials": limits.get("maxTotalTrials"), "trial_timeout": limits.get("trialTimeout")},
    }
    inputs = {name: value_of(one) for name, one in (body.get("inputs") or {}).items()}
    return Node(run["id"], run["kind"], spec, inputs, outputs, run["compute"], trial.get("environmentVariables") or {},
                limits, run["displayName"], sweep if run["kind"] == "sweep" else {})  # fmt: skip
