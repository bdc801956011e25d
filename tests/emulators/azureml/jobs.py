"""Owns the management API of jobs: what may be put, what a job looks like, how one is cancelled; refuses to move one."""

from __future__ import annotations

import re
from typing import Any

from tests.emulators.azureml.assets import Assets
from tests.emulators.azureml.definition import pipeline
from tests.emulators.azureml.engine import Engine
from tests.emulators.azureml.messages import (
    ANY_WORKSPACE,
    WORKSPACE,
    WORKSPACE_ID,
    Answer,
    Refusal,
    Request,
    Route,
    user_error,
)
from tests.emulators.azureml.resources import ARTIFACTS
from tests.emulators.azureml.runs import ENDED, Runs
from tests.emulators.azureml.state import Document

_ACTION = "Microsoft.MachineLearningServices/workspaces/jobs"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_CHANGEABLE = ("displayName", "description", "tags", "properties", "isArchived", "experimentName", "services", "status")
_KINDS = {"Pipeline": "pipeline", "Command": "command", "Sweep": "sweep"}


class Jobs:
    """The jobs of the workspace. What real Azure answers to the same name with other content is not public: 409 here, and
    the same content again is 200, since that PUT changes nothing."""

    def __init__(self, runs: Runs, assets: Assets, engine: Engine, url: str) -> None:
        self._runs = runs
        self._assets = assets
        self._engine = engine
        self._url = url

    def routes(self) -> list[Route]:
        whole = f"{ANY_WORKSPACE}/jobs"
        one = f"{whole}/(?P<name>[^/]+)"
        return [
            Route("GET", whole, "jobs.list", self.listed, action=f"{_ACTION}/read"),
            Route("GET", one, "jobs.get", self.get, action=f"{_ACTION}/read"),
            Route("PUT", one, "jobs.put", self.put, action=f"{_ACTION}/write"),
            Route("DELETE", one, "jobs.delete", self.delete, action=f"{_ACTION}/delete"),
            Route("POST", f"{one}/cancel", "jobs.cancel", self.cancel, action=f"{_ACTION}/cancel/action"),
        ]

    def put(self, request: Request) -> Answer:
        name, properties = request.groups["name"], request.body.get("properties") or {}
        if not _NAME.fullmatch(name):
            raise user_error(f"The job name {name} is not valid.")
        for kind in ("tags", "properties"):
            self._bounded(kind, properties.get(kind) or {})
        with self._runs.state.lock:
            known = self._runs.find(name)
            if known is not None:
                if known["parent"] is not None or _fixed(known["body"]) != _fixed(properties):
                    raise Refusal(
                        409, "Conflict", f"A job with the name {name} already exists; its content cannot be changed."
                    )
                tags = known["tags"] | (properties.get("tags") or {})
                return Answer(
                    200, self._shown(self._runs.change(name, tags=tags, hidden=bool(properties.get("isArchived"))))
                )
            run = self._created(name, properties)
        self._engine.start(run)
        return Answer(201, self._shown(run))

    def _created(self, name: str, properties: Document) -> Document:
        kind = _KINDS.get(str(properties.get("jobType")))
        if kind is None:
            raise user_error(f"Jobs of type {properties.get('jobType')} are not run here.")
        compute = str(properties.get("computeId") or "").rpartition("/")[2]
        if kind == "pipeline":
            pipeline(properties, self._assets)
        else:
            trial = properties.get("trial") or properties
            if trial.get("codeId"):
                self._assets.by_id("codes", trial["codeId"])
            if "/registries/" not in str(trial.get("environmentId")):
                self._assets.by_id("environments", str(trial.get("environmentId")))
        default = {"type": "uri_folder", "uri": f"azureml://datastores/{ARTIFACTS}/paths/ExperimentRun/dcid.{name}"}
        return self._runs.create(
            name, kind, body=properties, displayName=properties.get("displayName") or name, compute=compute,
            experiment=properties.get("experimentName") or "Default", tags=properties.get("tags") or {},
            outputs={"default": default} if kind == "pipeline" else {},
            properties=(properties.get("properties") or {}) | ({"azureml.runsource": "azureml.PipelineRun",
                        "runSource": "MFE", "runType": "HTTP", "azureml.continue_on_step_failure": str(bool((
                            properties.get("settings") or {}).get("continue_on_step_failure")))}
                        if kind == "pipeline" else {}),
        )  # fmt: skip

    @staticmethod
    def _bounded(kind: str, given: dict[str, Any]) -> None:
        if len(given) > 50 or any(len(str(key)) > 100 or len(str(one)) > 1000 for key, one in given.items()):
            raise user_error(f"At most 50 {kind}, with names of 100 and values of 1000 characters, are allowed.")

    def get(self, request: Request) -> Any:
        return self._shown(self._known(request.groups["name"]))

    def listed(self, request: Request) -> Any:
        """Newest first, children not among them; pages of at most 100."""
        query = {name.lstrip("$").lower(): one for name, one in request.query.items()}
        runs = [run for run in self._runs.all()[::-1] if run["parent"] is None]
        view = query.get("listviewtype", "ActiveOnly")
        runs = [run for run in runs if view == "All" or run["hidden"] is (view == "ArchivedOnly")]
        if "jobtype" in query:
            runs = [run for run in runs if run["kind"] == _KINDS.get(query["jobtype"])]
        if "tag" in query:
            name, _, value = query["tag"].partition("=")
            runs = [run for run in runs if name in run["tags"] and value in ("", run["tags"][name])]
        begin = int(query.get("skip") or query.get("skiptoken") or 0)
        page = runs[begin : begin + 100]
        following = {} if begin + 100 >= len(runs) else {
            "nextLink": f"{self._url}{WORKSPACE_ID}/jobs?api-version={query.get('api-version')}&$skip={begin + 100}"
                        f"&listViewType={view}"}  # fmt: skip
        return {"value": [self._shown(run) for run in page], **following}

    def cancel(self, request: Request) -> Answer:
        run = self._known(request.groups["name"])
        if run["status"] in ENDED:
            raise user_error(f"The job {run['id']} is in the final state {run['status']} and cannot be canceled.")
        self._runs.move(run["id"], "CancelRequested")
        return Answer(200)

    def delete(self, request: Request) -> Answer:
        self._known(request.groups["name"])
        raise Refusal(400, "UserError", "Jobs are archived here, not deleted.")

    def _known(self, name: str) -> Document:
        found = self._runs.find(name)
        if found is None:
            raise Refusal(404, "UserError", f"Job {name} was not found in workspace {WORKSPACE}.")
        return found

    def _shown(self, run: Document) -> Document:
        """As the management API has it: of a pipeline's child, nothing but its name."""
        shown = {"id": f"{WORKSPACE_ID}/jobs/{run['id']}", "name": run["id"],
                 "type": "Microsoft.MachineLearningServices/workspaces/jobs",
                 "systemData": {"createdAt": run["created"], "createdBy": "refit", "createdByType": "Application"}}  # fmt: skip
        if run["parent"] is not None:
            return {**shown, "properties": None}
        outputs = dict(run["body"].get("outputs") or {})
        for port, one in run["outputs"].items():
            outputs[port] = {**(outputs.get(port) or {}), "jobOutputType": one["type"], "uri": one["uri"]}
        properties = {
            **run["body"], "status": run["status"], "displayName": run["displayName"], "tags": run["tags"],
            "properties": run["properties"], "outputs": outputs, "experimentName": run["experiment"],
            "isArchived": run["hidden"], "services": services(self._url, run["id"]),
        }  # fmt: skip
        return {**shown, "properties": properties}


def services(url: str, id: str) -> Document:
    """The link to the studio, and where the workspace's tracking is."""
    studio = f"https://ml.azure.com/runs/{id}?wsid={WORKSPACE_ID}"
    return {
        "Studio": {"jobServiceType": "Studio", "endpoint": studio, "port": None, "status": None, "errorMessage": None,
                   "properties": None},
        "Tracking": {"jobServiceType": "Tracking", "endpoint": f"azureml://{url.partition('//')[2]}/mlflow/v1.0"
                     f"{WORKSPACE_ID}?", "port": None, "status": None, "errorMessage": None, "properties": None},
    }  # fmt: skip


def _fixed(properties: Document) -> Document:
    return {name: one for name, one in properties.items() if name not in _CHANGEABLE and one is not None}
