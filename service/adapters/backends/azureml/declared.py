"""Owns what the operator declares of an Azure ML backend; refuses anything from a repository, and Azure."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_HTTPS = re.compile(r"https://[\w.-]+(:\d+)?/?")
_HOST = re.compile(r"[\w.-]+(:\d+)?")
_Compute = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{1,31}$")]


class Endpoints(BaseModel):
    """Where a cloud's services are: the same six that Azure ML's SDK calls ``cloud_metadata``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    azure_portal: str = Field("https://portal.azure.com/", description="the portal")
    resource_manager: str = Field(description="Azure Resource Manager")
    active_directory: str = Field(description="where tokens come from, the authority")
    aml_resource_id: str = Field(description="what tokens for run history are for, and the Studio's address")
    storage_endpoint: str = Field(description="the suffix of storage accounts' names")
    registry_discovery_endpoint: str = Field(description="where registries are found")

    @field_validator(
        "azure_portal", "resource_manager", "active_directory", "aml_resource_id", "registry_discovery_endpoint"
    )
    @classmethod
    def _is_a_place(cls, value: str) -> str:
        if not _HTTPS.fullmatch(value):
            raise ValueError("is not a URL such as https://management.azure.com/, and may hold no password")
        return value

    @field_validator("storage_endpoint")
    @classmethod
    def _is_a_host(cls, value: str) -> str:
        if not _HOST.fullmatch(value):
            raise ValueError("is not a host such as core.windows.net")
        return value


CLOUDS = {
    "AzureCloud": Endpoints(
        resource_manager="https://management.azure.com/", active_directory="https://login.microsoftonline.com/",
        aml_resource_id="https://ml.azure.com/", storage_endpoint="core.windows.net",
        registry_discovery_endpoint="https://eastus.api.azureml.ms/",
    ),
    "AzureUSGovernment": Endpoints(
        azure_portal="https://portal.azure.us/", resource_manager="https://management.usgovcloudapi.net/",
        active_directory="https://login.microsoftonline.us/", aml_resource_id="https://ml.azure.us/",
        storage_endpoint="core.usgovcloudapi.net", registry_discovery_endpoint="https://usgovarizona.api.ml.azure.us/",
    ),
    "AzureChinaCloud": Endpoints(
        azure_portal="https://portal.azure.cn/", resource_manager="https://management.chinacloudapi.cn/",
        active_directory="https://login.chinacloudapi.cn/", aml_resource_id="https://ml.azure.cn/",
        storage_endpoint="core.chinacloudapi.cn", registry_discovery_endpoint="https://chinaeast2.api.ml.azure.cn/",
    ),
}  # fmt: skip
"""The clouds that have a name of their own."""


class Declared(BaseModel):
    """One entry of the file that ``REFIT_BACKENDS`` names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["azureml"]
    subscription: str = Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", description="its id")
    resource_group: str = Field(pattern=r"^[\w().-]{0,89}[\w()-]$", description="of the workspace")
    workspace: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{1,32}$", description="where everything runs")
    compute: _Compute = Field(description="the compute of a step that asks for none")
    computes: tuple[_Compute, ...] = Field((), description="what else `with: {instance: …}` may ask for")
    image: str | None = Field(
        None, min_length=1, max_length=500, description="the steps' image; default: Azure ML's own"
    )
    environment: str | None = Field(
        None,
        pattern=r"^azureml:[\w./-]+(:[\w.-]+|@latest)$",
        description="a registered environment, instead of an image",
    )
    datastore: str = Field(
        "workspaceblobstore", pattern=r"^[A-Za-z0-9_]{1,255}$", description="bundles, outputs, index"
    )
    prefix: str = Field(
        "refit", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", description="below which Refit's objects lie"
    )
    storage_access: Literal["identity", "datastore"] = Field(
        "identity", description="how the service reads and writes blobs: as itself, or with the datastore's own key"
    )
    cloud: Literal["AzureCloud", "AzureUSGovernment", "AzureChinaCloud"] = Field(
        "AzureCloud", description="which Azure"
    )
    endpoints: Endpoints | None = Field(None, description="another place than these, as an emulator")
    slots: int = Field(20, ge=1, le=10_000, description="steps at once")
    poll_seconds: float = Field(2.0, ge=0.05, le=60.0, description="how long a look at a young job is good for")
    events_queue: str | None = Field(
        None,
        pattern=r"^https://[a-z0-9]{3,24}\.[a-z0-9.]*queue\.[\w.-]+(:\d+)?/[a-z0-9](-?[a-z0-9]){2,62}$",
        description="URL of a storage queue of Event Grid's events",
    )
    submit_seconds: float = Field(300.0, ge=1.0, le=3600.0, description="how long a submission by the SDK may take")
    repositories: tuple[str, ...] = Field(
        (), description="patterns such as acme/*; none: every repository of the server"
    )

    @model_validator(mode="after")
    def _has_one_image(self) -> Declared:
        if self.image and self.environment:
            raise ValueError("image and environment exclude each other")
        return self

    @property
    def places(self) -> Endpoints:
        return self.endpoints or CLOUDS[self.cloud]

    @property
    def scope(self) -> str:
        """The workspace's resource id."""
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.workspace}"
        )

    def serves(self, repository: str) -> bool:
        return not self.repositories or any(fnmatchcase(repository, one) for one in self.repositories)

    def may_run_on(self, compute: str) -> bool:
        return compute == self.compute or compute in self.computes
