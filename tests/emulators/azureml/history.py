"""Owns run history, the data plane that tells of every run, children too: runs, details, logs, artifacts, output places;
refuses to change what a run does."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.emulators.azureml.blobs import ACCOUNT, Blobs
from tests.emulators.azureml.jobs import services
from tests.emulators.azureml.messages import (
    ANY_WORKSPACE,
    LOCATION,
    WORKSPACE,
    WORKSPACE_ID,
    Answer,
    Request,
    Route,
    not_found,
)
from tests.emulators.azureml.resources import ARTIFACTS, CONTAINERS
from tests.emulators.azureml.runs import ENDED, Runs, experiment_id
from tests.emulators.azureml.state import Document
from tests.emulators.azureml.tokens import CLIENT, PRINCIPAL, TENANT

_ACTION = "Microsoft.MachineLearningServices/workspaces/experiments/runs"
_MODELS = {"mlflow_model": "MLFlowModel", "custom_model": "CustomModel", "triton_model": "TritonModel"}
_TYPES = {"pipeline": "azureml.PipelineRun", "sweep": "hyperdrive", "command": "azureml.StepRun"}


class History:
    """Answers as the services behind the discovery URL's ``api`` do."""

    def __init__(self, runs: Runs, blobs: Blobs, url: str) -> None:
        self._runs = runs
        self._blobs = blobs
        self._url = url

    def routes(self) -> list[Route]:
        history = f"/history/v1.0{ANY_WORKSPACE}"
        run = rf"{history}(?:/experiments(?:ids)?/[^/]+)?/runs/(?P<id>[^/]+)"
        artifacts = rf"/artifact/v[12].0{ANY_WORKSPACE}/artifacts"
        own = r"/ExperimentRun/dcid\.(?P<id>[^/]+)"
        read, write = f"{_ACTION}/read", f"{_ACTION}/write"
        return [
            Route("GET", run, "runs.get", self.get, action=read),
            Route("PATCH", run, "runs.patch", self.patch, action=write),
            Route("GET", f"{run}/children", "runs.children", self.children, action=read),
            Route("GET", f"{run}/details", "runs.details", self.details, action=read),
            Route("POST", f"{history}/rundata", "runs.data", self.data, action=read),
            Route("POST", f"/data/v1.0{ANY_WORKSPACE}/dataversion/batchGetResolvedUris", "data.resolve",
                  self.data_places, action=read),
            Route("POST", f"/modelregistry/v1.0{ANY_WORKSPACE}/models/batchGetResolvedUris", "models.resolve",
                  self.model_places, action=read),
            Route("GET", f"{artifacts}{own}", "artifacts.list", self.artifacts, action=read),
            Route("GET", f"{artifacts}/contentinfo{own}", "artifacts.info", self.info, action=read),
            Route("GET", f"{artifacts}/content{own}", "artifacts.content", self.content, action=read),
            Route("GET", f"{artifacts}/prefix/contentinfo{own}", "artifacts.infos", self.infos, action=read),
        ]  # fmt: skip

    # runs -------------------------------------------------------------------------------------------------------------

    def get(self, request: Request) -> Any:
        return self.shown(self._runs.known(request.groups["id"]))

    def children(self, request: Request) -> Any:
        """Pages of ``$top``, oldest first."""
        id, query = request.groups["id"], {name.lstrip("$"): one for name, one in request.query.items()}
        self._runs.known(id)
        found = self._runs.children(id)
        begin, most = int(query.get("continuationToken") or 0), int(query.get("top") or 500)
        page = [self.shown(run) for run in found[begin : begin + most]]
        following = str(begin + most) if begin + most < len(found) else None
        link = (f"{self._url}/history/v1.0{WORKSPACE_ID}/runs/{id}/children?$continuationToken={following}"
                f"&$top={most}") if following else None  # fmt: skip
        return {"value": page, "continuationToken": following, "nextLink": link}

    def details(self, request: Request) -> Any:
        run = self._runs.known(request.groups["id"])
        below = f"ExperimentRun/dcid.{run['id']}/"
        names = [name.removeprefix(below) for name in self._blobs.names(CONTAINERS[ARTIFACTS], below)]
        logs = {
            name: self._link(run["id"], name)
            for name in names
            if name.startswith(("user_logs/", "system_logs/", "logs/"))
        }
        return {
            "runId": run["id"], "target": run["compute"], "status": run["status"], "startTimeUtc": run["started"],
            "endTimeUtc": run["ended"], "error": run["error"], "warnings": None, "properties": run["properties"],
            "inputDatasets": [], "outputDatasets": [], "runDefinition": None, "logFiles": logs, "submittedBy": "refit",
        }  # fmt: skip

    def patch(self, request: Request) -> Any:
        """Tags and properties are added to, the rest replaced."""
        run, body = self._runs.known(request.groups["id"]), request.body
        given = {name: body[name] for name in ("displayName", "hidden", "description") if body.get(name) is not None}
        return self.shown(self._runs.change(
            run["id"], tags=run["tags"] | (body.get("tags") or {}),
            properties=run["properties"] | (body.get("properties") or {}), **given))  # fmt: skip

    def data(self, request: Request) -> Any:
        return {"runMetadata": self.shown(self._runs.known(str(request.body.get("runId"))))}

    def shown(self, run: Document) -> Document:
        """A run as its history has it."""
        who = {"userObjectId": PRINCIPAL, "userTenantId": TENANT, "userName": CLIENT}
        return {
            "runNumber": run["number"], "rootRunId": run["root"], "createdUtc": run["created"], "createdBy": who,
            "userId": PRINCIPAL, "token": None, "tokenExpiryTimeUtc": None, "error": run["error"], "warnings": None,
            "revision": 1, "statusRevision": 1, "runUuid": run["id"], "parentRunUuid": run["parent"],
            "rootRunUuid": run["root"], "lastStartTimeUtc": run["started"], "currentComputeTime": None,
            "computeDuration": None, "lastModifiedBy": who, "lastModifiedUtc": run["ended"] or run["started"],
            "duration": None, "cancelationReason": None, "runId": run["id"], "parentRunId": run["parent"],
            "experimentId": experiment_id(run["experiment"]), "status": run["status"], "startTimeUtc": run["started"],
            "endTimeUtc": run["ended"], "heartbeatEnabled": False, "displayName": run["displayName"],
            "name": run["name"], "dataContainerId": f"dcid.{run['id']}", "description": run.get("description"),
            "hidden": run["hidden"], "runType": _TYPES[run["kind"]], "runTypeV2": {"orchestrator": None, "traits": []},
            "properties": run["properties"], "parameters": {}, "actionUris": {}, "scriptName": None,
            "target": run["compute"], "tags": run["tags"], "settings": {}, "services": services(self._url, run["id"]),
            "inputs": {}, "outputs": self._outputs(run), "runDefinition": None, "jobSpecification": None,
            "compute": {"target": run["compute"], "targetType": "AmlCompute", "vmSize": None, "instanceCount": 1},
            "isVirtual": False,
        }  # fmt: skip

    # places -----------------------------------------------------------------------------------------------------------

    def data_places(self, request: Request) -> Any:
        return {"values": {id: {"uri": one["uri"], "type": one["type"]} for id, one in self._resolved(request)}}

    def model_places(self, request: Request) -> Any:
        return {"values": {id: {"path": one["uri"]} for id, one in self._resolved(request)}}

    def _resolved(self, request: Request) -> list[tuple[str, Document]]:
        found = []
        for id in request.body.get("values") or []:
            run, _, port = str(id).partition("/data/azureml_")[2].rpartition("/versions/")[0].partition("_output_data_")
            known = self._runs.find(run)
            if known is not None and port in known["outputs"]:
                one = known["outputs"][port]
                long = one["uri"].replace("azureml://datastores/", f"azureml:/{_long()}/datastores/", 1)
                found.append((id, {**one, "uri": long}))
        return found

    def _outputs(self, run: Document) -> Document:
        """By output, an asset's id and type: how the place itself is told is ``batchGetResolvedUris``."""
        if run["status"] not in ENDED:
            return {}
        base = f"azureml://locations/{LOCATION}/workspaces/{WORKSPACE}/data/azureml_{run['id']}_output_data_"
        return {port: {"assetId": f"{base}{port}/versions/1", "type": _MODELS.get(one["type"], one["type"])}
                for port, one in run["outputs"].items() if port != "default"}  # fmt: skip

    # artifacts --------------------------------------------------------------------------------------------------------

    def artifacts(self, request: Request) -> Any:
        return {"value": [self._artifact(request.groups["id"], name) for name in self._below(request, "path")]}

    def infos(self, request: Request) -> Any:
        id = request.groups["id"]
        return {"value": [{**self._artifact(id, name), "contentUri": self._link(id, name)}
                          for name in self._below(request, "path")]}  # fmt: skip

    def info(self, request: Request) -> Any:
        id, path = request.groups["id"], request.query.get("path", "")
        self._known(id, path)
        return {**self._artifact(id, path), "contentUri": self._link(id, path)}

    def content(self, request: Request) -> Answer:
        found = self._known(request.groups["id"], request.query.get("path", ""))
        return Answer(200, found, {"Content-Type": "application/octet-stream"})

    def _known(self, id: str, path: str) -> bytes:
        try:
            return self._blobs.get(CONTAINERS[ARTIFACTS], f"ExperimentRun/dcid.{id}/{path}")
        except KeyError as error:
            raise not_found(f"The artifact {path} of run {id}") from error

    def _below(self, request: Request, key: str) -> list[str]:
        below = f"ExperimentRun/dcid.{request.groups['id']}/"
        names = self._blobs.names(CONTAINERS[ARTIFACTS], below + request.query.get(key, ""))
        return [name.removeprefix(below) for name in names]

    @staticmethod
    def _artifact(id: str, path: str) -> Document:
        container = f"dcid.{id}"
        return {"artifactId": f"ExperimentRun/{container}/{path}", "origin": "ExperimentRun", "container": container,
                "path": path, "etag": None, "createdTime": None, "tags": None}  # fmt: skip

    def _link(self, id: str, path: str) -> str:
        """Where one blob can be read for a while without any other permission."""
        container, blob = CONTAINERS[ARTIFACTS], f"ExperimentRun/dcid.{id}/{path}"
        return f"{self._url}/{ACCOUNT}/{container}/{quote(blob)}?{self._blobs.signature(container, 'r', blob)}"


def _long() -> str:
    return WORKSPACE_ID.replace("/providers/Microsoft.MachineLearningServices", "")
