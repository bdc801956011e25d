"""Owns metrics, parameters and tags, in MLflow's REST form and in Azure's own; refuses to move a run, whatever status a
client reports."""

from __future__ import annotations

import time
from typing import Any

from tests.emulators.azureml.messages import ANY_WORKSPACE, Refusal, Request, Route
from tests.emulators.azureml.resources import ARTIFACTS
from tests.emulators.azureml.runs import Runs, experiment_id
from tests.emulators.azureml.state import Document

_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED", "Running": "RUNNING",
           "Finalizing": "RUNNING"}  # fmt: skip
_ACTION = "Microsoft.MachineLearningServices/workspaces"


class Tracking:
    """What ``MLFLOW_TRACKING_URI`` leads to (https for azureml, ``/api/2.0/mlflow`` behind it), and the metrics service."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def routes(self) -> list[Route]:
        mlflow = rf"/mlflow/v[12].0{ANY_WORKSPACE}/api/2.0/mlflow"
        metric = rf"/metric/v2.0{ANY_WORKSPACE}/runs/(?P<id>[^/]+)"
        read, write = f"{_ACTION}/metrics/resource/read", f"{_ACTION}/metrics/resource/write"
        return [
            Route("GET", f"{mlflow}/runs/get", "mlflow.get", self.get, action=read),
            Route("POST", f"{mlflow}/runs/update", "mlflow.update", self.update, action=write),
            Route("POST", f"{mlflow}/runs/log-metric", "mlflow.metric", self.metric, action=write),
            Route("POST", f"{mlflow}/runs/log-parameter", "mlflow.parameter", self.parameter, action=write),
            Route("POST", f"{mlflow}/runs/set-tag", "mlflow.tag", self.tag, action=write),
            Route("POST", f"{mlflow}/runs/log-batch", "mlflow.batch", self.batch, action=write),
            Route("GET", f"{mlflow}/metrics/get-history", "mlflow.history", self.history, action=read),
            Route("GET", f"{mlflow}/experiments/get(?:-by-name)?", "mlflow.experiment", self.experiment, action=read),
            Route("POST", f"{metric}/lastvalues", "metrics.last", self.last, action=read),
            Route("POST", f"{metric}/listmetrics", "metrics.list", self.names, action=read),
        ]

    # MLflow -----------------------------------------------------------------------------------------------------------

    def get(self, request: Request) -> Any:
        return {"run": self._shown(_id(request.query))}

    def update(self, request: Request) -> Any:
        return {"run_info": self._shown(self._own(request))["info"]}

    def metric(self, request: Request) -> Any:
        self._log(self._own(request), request.body)
        return {}

    def parameter(self, request: Request) -> Any:
        self._runs.note(self._own(request), "params", str(request.body["key"]), str(request.body["value"]))
        return {}

    def tag(self, request: Request) -> Any:
        self._tag(self._own(request), [request.body])
        return {}

    def batch(self, request: Request) -> Any:
        id, body = self._own(request), request.body
        for one in body.get("metrics") or []:
            self._log(id, one)
        for one in body.get("params") or []:
            self._runs.note(id, "params", str(one["key"]), str(one["value"]))
        self._tag(id, body.get("tags") or [])
        return {}

    def history(self, request: Request) -> Any:
        key = request.query.get("metric_key", "")
        found = self._runs.metrics(_id(request.query)).get(key, [])
        return {"metrics": [{"key": key, **one} for one in found]}

    def experiment(self, request: Request) -> Any:
        names = {run["experiment"] for run in self._runs.all()}
        asked = request.query.get("experiment_name"), request.query.get("experiment_id")
        for name in sorted(names):
            if asked[0] == name or asked[1] == experiment_id(name):
                return {"experiment": {"experiment_id": experiment_id(name), "name": name, "lifecycle_stage": "active",
                                       "artifact_location": ""}}  # fmt: skip
        raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", "The experiment was not found.")

    def _shown(self, id: str) -> Document:
        try:
            run = self._runs.known(id)
        except Refusal as refusal:
            raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"Run with id {id} was not found.") from refusal
        metrics = [{"key": name, **values[-1]} for name, values in self._runs.metrics(id).items()]
        params = self._runs.state.get("params", id) or {}
        info = {"run_id": id, "run_uuid": id, "experiment_id": experiment_id(run["experiment"]), "run_name": run["displayName"],
                "status": _STATUS.get(run["status"], "SCHEDULED"), "lifecycle_stage": "active",
                "artifact_uri": f"azureml://datastores/{ARTIFACTS}/paths/ExperimentRun/dcid.{id}"}  # fmt: skip
        return {"info": info, "data": {
            "metrics": metrics, "params": [{"key": name, "value": one} for name, one in params.items()],
            "tags": [{"key": name, "value": one} for name, one in run["tags"].items()]}}  # fmt: skip

    def _own(self, request: Request) -> str:
        """The run that is written to: with a job's token, its own only."""
        id = _id(request.body)
        self._shown(id)
        if request.claims.get("run", id) != id:
            raise Refusal(403, "AuthorizationFailed", f"The token is not for run {id}.")
        return id

    def _log(self, id: str, one: Document) -> None:
        self._runs.log(id, str(one["key"]), float(one["value"]), int(one.get("step") or 0),
                       int(one["timestamp"]) if one.get("timestamp") else int(time.time() * 1000))  # fmt: skip

    def _tag(self, id: str, tags: list[Document]) -> None:
        run = self._runs.known(id)
        self._runs.change(id, tags=run["tags"] | {str(one["key"]): str(one["value"]) for one in tags})

    # Azure's own ------------------------------------------------------------------------------------------------------

    def last(self, request: Request) -> Any:
        id = self._runs.known(request.groups["id"])["id"]
        return {"value": [{
            "metricId": f"{id}/{name}", "runId": id, "name": name, "dataContainerId": f"dcid.{id}",
            "columns": {name: "Double"}, "value": [{"data": {name: values[-1]["value"]}, "step": values[-1]["step"],
                                                    "createdUtc": values[-1]["timestamp"]}],
        } for name, values in self._runs.metrics(id).items()]}  # fmt: skip

    def names(self, request: Request) -> Any:
        id = self._runs.known(request.groups["id"])["id"]
        return {"value": [{"name": name, "columns": {name: "Double"}} for name in self._runs.metrics(id)]}


def _id(given: Any) -> str:
    return str(given.get("run_id") or given.get("run_uuid") or "")
