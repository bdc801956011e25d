"""Owns what the workspace has besides assets: itself, its computes, its datastores; refuses to change any of them."""

from __future__ import annotations

import uuid
from typing import Any

from tests.emulators.azureml.blobs import ACCOUNT, ZONE, Blobs
from tests.emulators.azureml.messages import (
    ANY_WORKSPACE,
    LOCATION,
    WORKSPACE,
    WORKSPACE_ID,
    Refusal,
    Request,
    Route,
)
from tests.emulators.azureml.state import Document

STORE, ARTIFACTS = "workspaceblobstore", "workspaceartifactstore"
CONTAINERS = {STORE: "azureml-blobstore-5f0c3c9e-0000-4000-8000-000000000001", ARTIFACTS: "azureml"}
COMPUTES = ("cpu-cluster", "gpu-cluster")
_ACTION = "Microsoft.MachineLearningServices/workspaces"


class Resources:
    """They are there from the start."""

    def __init__(self, blobs: Blobs, url: str) -> None:
        self._blobs = blobs
        self._url = url
        for container in CONTAINERS.values():
            blobs.container(container)

    def routes(self) -> list[Route]:
        return [
            Route("GET", ANY_WORKSPACE, "workspaces.get", self.workspace, action=f"{_ACTION}/read"),
            Route("GET", r"/discovery/workspaces/[^/]+", "discovery.get", self.discovery, open=True),
            Route("GET", f"{ANY_WORKSPACE}/computes", "computes.list", self.computes, action=f"{_ACTION}/computes/read"),
            Route("GET", f"{ANY_WORKSPACE}/computes/(?P<name>[^/]+)", "computes.get", self.compute,
                  action=f"{_ACTION}/computes/read"),
            Route("GET", f"{ANY_WORKSPACE}/datastores", "datastores.list", self.datastores,
                  action=f"{_ACTION}/datastores/read"),
            Route("GET", f"{ANY_WORKSPACE}/datastores/(?P<name>[^/]+)", "datastores.get", self.datastore,
                  action=f"{_ACTION}/datastores/read"),
            Route("POST", f"{ANY_WORKSPACE}/datastores/(?P<name>[^/]+)/listSecrets", "datastores.secrets",
                  self.secrets, action=f"{_ACTION}/datastores/listSecrets/action"),
        ]  # fmt: skip

    # what the workspace has -------------------------------------------------------------------------------------------

    def workspace(self, request: Request) -> Any:
        return {
            "id": WORKSPACE_ID, "name": WORKSPACE, "type": "Microsoft.MachineLearningServices/workspaces",
            "location": LOCATION, "kind": "Default", "tags": {}, "sku": {"name": "Basic", "tier": "Basic"},
            "identity": {"type": "SystemAssigned", "principalId": str(uuid.uuid5(uuid.NAMESPACE_URL, WORKSPACE_ID))},
            "properties": {
                "friendlyName": WORKSPACE, "workspaceId": str(uuid.uuid5(uuid.NAMESPACE_URL, WORKSPACE)),
                "storageAccount": storage_id(), "discoveryUrl": f"{self._url}/discovery/workspaces/{WORKSPACE}",
                "mlFlowTrackingUri": tracking_uri(self._url), "provisioningState": "Succeeded",
                "publicNetworkAccess": "Enabled", "hbiWorkspace": False, "v1LegacyMode": False,
                "systemDatastoresAuthMode": "accessKey",
            },
        }  # fmt: skip

    def discovery(self, request: Request) -> Any:
        names = ("api", "catalog", "experimentation", "gallery", "history", "hyperdrive", "labeling", "modelmanagement",
                 "pipelines", "studio", "artifact", "metric")  # fmt: skip
        return dict.fromkeys(names, self._url)

    def computes(self, request: Request) -> Any:
        return {"value": [_compute(name) for name in COMPUTES]}

    def compute(self, request: Request) -> Any:
        if request.groups["name"] not in COMPUTES:
            raise Refusal(
                404, "ResourceNotFound", f"The compute {request.groups['name']} was not found in {WORKSPACE}."
            )
        return _compute(request.groups["name"])

    def datastores(self, request: Request) -> Any:
        chosen = [name for name in CONTAINERS if request.query.get("isDefault") != "true" or name == STORE]
        return {"value": [self._datastore(name) for name in chosen]}

    def datastore(self, request: Request) -> Any:
        return self._datastore(self._known_store(request))

    def secrets(self, request: Request) -> Any:
        self._known_store(request)
        return {"secretsType": "AccountKey", "key": self._blobs.key}

    @staticmethod
    def _known_store(request: Request) -> str:
        if request.groups["name"] not in CONTAINERS:
            raise Refusal(404, "UserError", f"Could not find datastore: {request.groups['name']}")
        return request.groups["name"]

    def _datastore(self, name: str) -> Document:
        zone = f"{ZONE}:{self._url.rpartition(':')[2]}"
        return {
            "id": f"{WORKSPACE_ID}/datastores/{name}", "name": name,
            "type": "Microsoft.MachineLearningServices/workspaces/datastores",
            "properties": {
                "datastoreType": "AzureBlob", "accountName": ACCOUNT, "containerName": CONTAINERS[name], "endpoint": zone,
                "protocol": "https", "isDefault": name == STORE, "description": None, "tags": {}, "properties": {},
                "serviceDataAccessAuthIdentity": "None", "credentials": {"credentialsType": "AccountKey"},
            },
        }  # fmt: skip


def tracking_uri(url: str) -> str:
    return f"azureml://{url.partition('//')[2]}/mlflow/v1.0{WORKSPACE_ID}"


def storage_id() -> str:
    group = WORKSPACE_ID.partition("/providers/")[0]
    return f"{group}/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}"


def _compute(name: str) -> Document:
    return {
        "id": f"{WORKSPACE_ID}/computes/{name}", "name": name, "location": LOCATION, "tags": {},
        "type": "Microsoft.MachineLearningServices/workspaces/computes",
        "properties": {
            "computeType": "AmlCompute", "computeLocation": LOCATION, "provisioningState": "Succeeded",
            "createdOn": "2026-01-01T00:00:00Z", "modifiedOn": "2026-01-01T00:00:00Z", "isAttachedCompute": False,
            "properties": {"vmSize": "STANDARD_D2_V2", "vmPriority": "Dedicated", "osType": "Linux",
                           "scaleSettings": {"minNodeCount": 0, "maxNodeCount": 4, "nodeIdleTimeBeforeScaleDown": "PT2M"},
                           "allocationState": "Steady", "currentNodeCount": 0},
        },
    }  # fmt: skip
