"""Owns Azure ML backends on the emulator: what an operator would declare of it, and a process whose identity it knows; refuses to
emulate anything itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.adapters.backends.azureml.azure import Azure
from service.adapters.backends.azureml.backend import AzureMLBackend
from service.adapters.backends.azureml.datastores import Datastores
from service.adapters.backends.azureml.declared import Declared
from service.adapters.backends.azureml.names import datastore_uri
from tests.emulators.azureml.process import AzureML, require_azurite, running
from tests.sdks import azure_sdks


def declared(cloud: AzureML, **more: Any) -> Declared:
    """As an operator declares it."""
    given = {
        "subscription": cloud.subscription, "resource_group": cloud.resource_group, "workspace": cloud.workspace,
        "compute": cloud.compute[0], "endpoints": cloud.cloud_metadata,
        "submit_seconds": 120.0, **more,
    }  # fmt: skip
    return Declared(type="azureml", **given)


@contextmanager
def reachable(folder: Path, **more: Any) -> Iterator[AzureML]:
    """One that this very process's clients may call, as a service's do: with credentials from the
    environment. ``more`` is what it is started with."""
    require_azurite()
    with pytest.MonkeyPatch.context() as patch, running(folder, **more) as cloud:
        for name, value in cloud.environment.items():
            patch.setenv(name, value)
        yield cloud


def remove(cloud: AzureML, path: str) -> None:
    """A blob of the workspace's default datastore, as an operator's lifecycle rules would."""
    azure = Azure(declared(cloud))
    Datastores(azure)._blob(datastore_uri(cloud.default_datastore, path)).delete_blob()


def opened(azure: AzureML, folder: Path, **more: Any) -> AzureMLBackend:
    """A backend with its state in ``folder``, that looks often."""
    return AzureMLBackend(declared(azure, **more), folder, sdks=azure_sdks(), poll=(0.1, 0.3))


def asked(azure: AzureML, method: str, path: str, body: object = None) -> Any:
    """As any client of the workspace."""
    return Azure(declared(azure)).manager(method, path, body)


def job(azure: AzureML, handle: str) -> dict[str, Any]:
    """The pipeline job as Azure tells it."""
    return dict(asked(azure, "GET", f"/jobs/{handle.partition('#')[0]}")["properties"])


def jobs(azure: AzureML, pipeline: str) -> list[dict[str, Any]]:
    """The pipeline jobs of one of Refit's pipelines."""
    found = asked(azure, "GET", "/jobs")["value"]
    return [one for one in found if (one["properties"].get("tags") or {}).get("refit.pipeline") == pipeline]


def models(azure: AzureML, model: str = "price") -> list[dict[str, Any]]:
    """The versions of a registered model."""
    return list(asked(azure, "GET", f"/models/{model}/versions")["value"])
