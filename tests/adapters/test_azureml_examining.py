"""What `refit doctor` finds of an Azure ML backend: nothing where all is well, else the very action that is not allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.adapters.backends.azureml.azure import Azure
from service.adapters.backends.azureml.datastores import Datastores
from service.adapters.backends.azureml.examining import examine
from tests import azureml
from tests.emulators.azureml.process import AzureML

PROVIDER = "Microsoft.MachineLearningServices/workspaces"


@pytest.fixture(autouse=True)
def _all_is_well(azure: AzureML) -> Iterator[None]:
    yield
    azure.clear()
    azure.deny()


def found(azure: AzureML, **more: Any) -> list[str]:
    made = Azure(azureml.declared(azure, **more))
    return list(examine(made, Datastores(made)))


@pytest.mark.parametrize("access", ["identity", "datastore"])
def test_nothing_is_found_and_nothing_is_made_where_all_is_well(azure: AzureML, access: str) -> None:
    before = azure.calls().get("datastores.secrets", 0)
    assert found(azure, storage_access=access) == []
    assert azure.calls().get("datastores.secrets", 0) - before == (access == "datastore"), (
        "only who says so reads a key"
    )
    assert azure.unknown() == []
    made = Azure(azureml.declared(azure))
    assert made.manager("GET", "/jobs")["value"] == []
    assert made.manager("GET", "/models")["value"] == []


@pytest.mark.parametrize(
    "action", ["jobs/write", "jobs/cancel/action", "components/versions/write", "models/versions/write"]
)
def test_every_action_that_is_not_allowed_is_named(azure: AzureML, action: str) -> None:
    azure.deny(f"{PROVIDER}/{action}")
    (said,) = found(azure)
    assert f"{PROVIDER}/{action};" in said
    assert "docs/azureml.md" in said


def test_a_compute_that_is_not_there_is_named(azure: AzureML) -> None:
    (said,) = found(azure, computes=("gpu-cluster", "absent"))
    assert "no compute absent" in said


def test_a_datastore_that_is_not_there_is_named(azure: AzureML) -> None:
    (said,) = found(azure, datastore="absent")
    assert "the datastore absent" in said


def test_a_storage_that_may_not_be_written_is_named_with_its_role(azure: AzureML) -> None:
    azure.fault("blob.put", 403, times=5)
    (said,) = found(azure)
    assert "writing to and reading from refit of the datastore workspaceblobstore" in said
    assert "Storage Blob Data Contributor" in said


def test_expired_credentials_are_one_line(azure: AzureML) -> None:
    azure.fault("workspaces.get", 401, times=5)
    (said,) = found(azure)
    assert "renew them" in said


def test_a_secret_that_is_wrong_is_one_line_and_not_shown(azure: AzureML, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "a-wrong-secret")
    (said,) = found(azure)
    assert "renew them" in said
    assert "a-wrong-secret" not in said


def test_no_identity_at_all_is_one_line(azure: AzureML, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (said,) = found(azure)
    assert "credentials" in said
