"""Owns the workspace's assets: code, components, environments, data, models; refuses to change a version that is immutable
and to know jobs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.emulators.azureml.blobs import ACCOUNT, Blobs
from tests.emulators.azureml.messages import (
    ANY_WORKSPACE,
    WORKSPACE_ID,
    Answer,
    Refusal,
    Request,
    Route,
    not_found,
    user_error,
)
from tests.emulators.azureml.resources import storage_id
from tests.emulators.azureml.state import Document, State

CURATED = ("AzureML-sklearn-1.5-ubuntu22.04-py39-cpu", "AzureML-ACPT-pytorch-1.13-py38-cuda11.7-gpu")
_KINDS = {"codes": "Code", "components": "Component", "environments": "Environment", "data": "Data", "models": "Model"}
_ACTION = "Microsoft.MachineLearningServices/workspaces"
_ANONYMOUS = ("azureml_anonymous", "CliV2AnonymousEnvironment")
_CHANGEABLE = {"description", "tags", "isArchived", "stage", "autoDeleteSetting", "properties"}


def now() -> str:
    return datetime.now(UTC).isoformat()


class Assets:
    """Versions are kept as ``<collection>/<name>/<version>`` in the form in which they were put."""

    def __init__(self, state: State, blobs: Blobs, url: str) -> None:
        self._state = state
        self._blobs = blobs
        self._url = url
        for name in CURATED:
            if state.get("environments", f"{name}/1") is None:
                self._keep("environments", name, "1", {"image": f"mcr.microsoft.com/azureml/curated/{name.lower()}:1",
                           "environmentType": "Curated", "osType": "Linux"})  # fmt: skip

    def routes(self) -> list[Route]:
        made: list[Route] = []
        for kind in _KINDS:
            whole = f"{ANY_WORKSPACE}/(?P<kind>{kind})"
            one = f"{whole}/(?P<name>[^/]+)"
            read, write = f"{_ACTION}/{kind}/versions/read", f"{_ACTION}/{kind}/versions/write"
            made += [
                Route("GET", whole, f"{kind}.containers", self.containers, action=read),
                Route("GET", one, f"{kind}.container", self.container, action=read),
                Route("GET", f"{one}/versions", f"{kind}.list", self.listed, action=read),
                Route("GET", f"{one}/versions/(?P<version>[^/]+)", f"{kind}.get", self.get, action=read),
                Route("GET", f"{one}/labels/(?P<label>[^/]+)(?:/versions)?", f"{kind}.label", self.label, action=read),
                Route("PUT", f"{one}/versions/(?P<version>[^/]+)", f"{kind}.put", self.put, action=write),
                Route("DELETE", f"{one}/versions/(?P<version>[^/]+)", f"{kind}.delete", self.delete,
                      action=f"{_ACTION}/{kind}/versions/delete"),
                Route("POST", f"{one}/versions/(?P<version>[^/]+)/startPendingUpload", f"{kind}.upload", self.upload,
                      action=write),
            ]  # fmt: skip
        return made

    # versions ---------------------------------------------------------------------------------------------------------

    def containers(self, request: Request) -> Any:
        names = {key.rpartition("/")[0] for key in self._state.all(request.groups["kind"])}
        return {"value": [self._container(request.groups["kind"], name) for name in sorted(names)]}

    def container(self, request: Request) -> Any:
        return self._container(request.groups["kind"], request.groups["name"])

    def listed(self, request: Request) -> Any:
        kind, query = request.groups["kind"], {name.lstrip("$").lower(): one for name, one in request.query.items()}
        found = self._versions(kind, request.groups["name"])[::-1]
        if kind == "codes" and "hash" in query:  # across all names: that is what spares an upload
            found = [one for one in self._state.all(kind).values() if one["properties"].get("properties", {}).get(
                "hash_sha256") == query["hash"]]  # fmt: skip
        elif not found and kind not in ("codes",):
            raise not_found(f"{_KINDS[kind]} container {request.groups['name']}")
        if query.get("listviewtype", "ActiveOnly") == "ActiveOnly":
            found = [one for one in found if not one["properties"].get("isArchived")]
        if "stage" in query:
            found = [one for one in found if one["properties"].get("stage") == query["stage"]]
        for word in filter(None, query.get("tags", "").split(",")):
            name, _, value = word.partition("=")
            found = [one for one in found if one["properties"].get("tags", {}).get(name) == value]
        return {"value": found[: int(query["top"])] if query.get("top", "").isdigit() else found}

    def get(self, request: Request) -> Any:
        kind, name, version = (request.groups[part] for part in ("kind", "name", "version"))
        return self.known(kind, name, version)

    def label(self, request: Request) -> Any:
        return self.known(request.groups["kind"], request.groups["name"], f"@{request.groups['label']}")

    def known(self, kind: str, name: str, version: str) -> Document:
        """A version by its number or ``@latest``; 404 otherwise."""
        if version == "@latest":
            versions = [one for one in self._versions(kind, name) if not one["properties"].get("isArchived")]
            found = versions[-1] if versions else None
        else:
            found = self._state.get(kind, f"{name}/{version}")
        if found is None:
            raise not_found(f"{_KINDS[kind]} {name}:{version}")
        return found

    def by_id(self, kind: str, id: str) -> Document:
        """A version by its ARM id or its ``azureml:<name>:<version>``; 400 if the workspace has none."""
        try:
            plain = id.removeprefix("azureml:")
            if f"/{kind}/" in plain:
                name, _, version = plain.partition(f"/{kind}/")[2].partition("/versions/")
                if not version:
                    name, _, label = plain.partition(f"/{kind}/")[2].partition("/labels/")
                    version = f"@{label}"
            elif "@" in plain:
                name, _, label = plain.partition("@")
                version = f"@{label}"
            else:
                name, _, version = plain.partition(":")
            return self.known(kind, name, version)
        except Refusal as refusal:
            raise user_error(f"The {_KINDS[kind].lower()} {id} does not exist: {refusal}") from refusal

    def data_at(self, id: str, kind: str) -> str | None:
        """Where a registered model or data asset lies; nothing if the name is none of these, 400 if there is none."""
        plain = id.removeprefix("azureml:")
        if not ("/data/" in id or "/models/" in id) and (id == plain or plain.startswith("/")):
            return None
        if "/versions/" not in id and "/labels/" not in id and (id == plain or "/" in plain):
            return None
        found = "models" if "/models/" in id or ("/data/" not in id and kind.endswith("_model")) else "data"
        properties = self.by_id(found, id)["properties"]
        return str(properties.get("dataUri") or properties.get("modelUri"))

    def put(self, request: Request) -> Answer:
        kind, name, version = (request.groups[part] for part in ("kind", "name", "version"))
        properties = request.body.get("properties")
        if not isinstance(properties, dict):
            raise user_error("The request has no properties.")
        if kind == "components":
            self._check_component(properties)
        with self._state.lock:
            known = self._state.get(kind, f"{name}/{version}")
            if known is not None and name in _ANONYMOUS:  # called by its content: what else differs is its origin
                return Answer(200, known)
            if known is not None and _fixed(kind, known["properties"]) != _fixed(kind, properties):
                raise Refusal(409, "Conflict", f"{_KINDS[kind]} {name}:{version} already exists and cannot be changed; "
                              "use another version.")  # fmt: skip
            kept = {**known["properties"], **properties} if known is not None else properties
            return Answer(200 if known else 201, self._keep(kind, name, version, kept, known))

    def delete(self, request: Request) -> Any:
        raise Refusal(405, "MethodNotAllowed", "Versions are archived, not deleted.")

    def upload(self, request: Request) -> Any:
        """A container of its own and a signature for it."""
        container = f"pending-{uuid.uuid4()}"
        self._blobs.container(container)
        place = f"{self._url}/{ACCOUNT}/{container}"
        return {
            "pendingUploadId": str(uuid.uuid4()), "pendingUploadType": "TemporaryBlobReference",
            "blobReferenceForConsumption": {
                "blobUri": place, "storageAccountArmId": storage_id(),
                "credential": {"credentialType": "SAS", "sasUri": f"{place}?{self._blobs.signature(container, 'rwl')}"},
            },
        }  # fmt: skip

    def register(self, made: Mapping[str, Any], name: str, version: str, run: str) -> None:
        """What a job made, under a name: a model or a data asset, as the next version if none is said."""
        kind = "models" if made["type"].endswith("_model") else "data"
        with self._state.lock:
            version = version or str(len(self._versions(kind, name)) + 1)
            if self._state.get(kind, f"{name}/{version}") is None:
                said = {"modelType": made["type"], "modelUri": made["uri"], "jobName": run} if kind == "models" else {
                    "dataType": made["type"], "dataUri": made["uri"]}  # fmt: skip
                self._keep(kind, name, version, said)

    # what they share --------------------------------------------------------------------------------------------------

    def _versions(self, kind: str, name: str) -> list[Document]:
        return [one for key, one in self._state.all(kind).items() if key.rpartition("/")[0] == name]

    def _container(self, kind: str, name: str) -> Document:
        versions = self._versions(kind, name)
        if not versions:
            raise not_found(f"{_KINDS[kind]} container {name}")
        latest = versions[-1]["name"]
        following = str(int(latest) + 1) if latest.isdigit() else None
        more = {"dataType": versions[-1]["properties"].get("dataType")} if kind == "data" else {}
        return {
            "id": f"{WORKSPACE_ID}/{kind}/{name}", "name": name, "systemData": versions[0]["systemData"],
            "type": f"Microsoft.MachineLearningServices/workspaces/{kind}",
            "properties": {"latestVersion": latest, "nextVersion": following, "isArchived": False, "tags": {},
                           "properties": {}, "description": None, **more},
        }  # fmt: skip

    def _check_component(self, properties: Mapping[str, Any]) -> None:
        spec = properties.get("componentSpec")
        if not isinstance(spec, dict) or "type" not in spec:
            raise user_error("The component has no componentSpec with a type.")
        jobs = [one for one in (spec.get("jobs") or {}).values() if isinstance(one, dict)]
        for one in (spec, *jobs):
            if one.get("code"):
                self.by_id("codes", one["code"])
            environment = one.get("environment")
            if isinstance(environment, str) and "/registries/" not in environment:
                self.by_id("environments", environment)

    def _keep(self, kind: str, name: str, version: str, properties: Mapping[str, Any], known: Document | None = None
              ) -> Document:  # fmt: skip
        created = (
            known["systemData"] if known else {"createdAt": now(), "createdBy": "refit", "createdByType": "Application"}
        )
        given = {one: value for one, value in properties.items() if value is not None}
        kept = {"tags": {}, "properties": {}, "description": None, "isArchived": False, **given}
        kept["provisioningState"] = "Succeeded"
        if kind == "models":
            kept.setdefault("flavors", {})
        if name in _ANONYMOUS:
            kept["isAnonymous"] = True
        body = {
            "id": f"{WORKSPACE_ID}/{kind}/{name}/versions/{version}", "name": version,
            "type": f"Microsoft.MachineLearningServices/workspaces/{kind}/versions", "properties": kept,
            "systemData": {**created, "lastModifiedAt": now()},
        }  # fmt: skip
        self._state.put(kind, f"{name}/{version}", body)
        return body


def _fixed(kind: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """What of a version never changes once it is there."""
    ignored = _CHANGEABLE | {"isAnonymous", "provisioningState"}
    return {name: one for name, one in properties.items() if name not in ignored and one not in (None, {})}
