"""Approvals of models in Azure ML's registry: what Refit says is said there, and what a person says there is told to Refit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.adapters.backends.azureml.azure import Azure
from service.adapters.backends.azureml.backend import AzureMLBackend
from service.domain.errors import Refused, Retry
from service.domain.lineage import ModelVersion
from service.domain.model_status import ModelStatus
from service.ports.registry import ModelRegistry
from tests import azureml
from tests.emulators.azureml.process import AzureML

DIGEST = f"sha256:{'ab' * 32}"


@pytest.fixture
def workspace(azure: AzureML) -> Azure:
    """As a person at the Studio."""
    return Azure(azureml.declared(azure))


def version(name: str) -> ModelVersion:
    return ModelVersion(
        name, 1, "acme/x", "result", "model", DIGEST, "execution", "c" * 40, ModelStatus.CANDIDATE, datetime.now(UTC)
    )


def registered(workspace: Azure, called: str, tag: str = "pending", **tags: str) -> None:
    model, _, number = called.partition(":")
    properties: dict[str, Any] = {
        "modelType": "custom_model", "modelUri": "azureml://datastores/workspaceblobstore/paths/m",
        "tags": {"refit.approval": tag, **tags},
    }  # fmt: skip
    workspace.manager("PUT", f"/models/{model}/versions/{number}", {"properties": properties})


def test_it_is_a_registry_that_is_looked_at(backend: AzureMLBackend) -> None:
    assert isinstance(backend, ModelRegistry)


def test_what_refit_says_is_said_there(backend: AzureMLBackend, workspace: Azure) -> None:
    called = backend.called(version("price"), "job")
    assert called == f"price:{'ab' * 6}"
    assert backend.statuses([called]) == {}, "it is not registered there"
    registered(workspace, called, **{"refit.commit": "c" * 40})
    assert backend.statuses([called, "price:unknown", "arn:aws:x"]) == {called: ModelStatus.CANDIDATE}
    for status, stage in ((ModelStatus.APPROVED, "Production"), (ModelStatus.REJECTED, "Archived")):
        backend.settle(called, status, "good\nenough (ada, in Refit)")
        assert backend.statuses([called]) == {called: status}
        found = workspace.manager("GET", f"/models/price/versions/{'ab' * 6}")["properties"]
        assert found["tags"]["refit.commit"] == "c" * 40, "nothing else is lost"
        assert found["tags"]["refit.approval.why"] == "good enough (ada, in Refit)"
        assert found["stage"] == stage
    with pytest.raises(Refused, match="no status rolled_back"):
        backend.settle(called, ModelStatus.ROLLED_BACK, "")


def test_what_a_person_says_there_is_told_with_who_and_when(backend: AzureMLBackend, workspace: Azure) -> None:
    called = backend.called(version("other"), "job")
    registered(workspace, called)
    registered(workspace, called, " Approved", **{"refit.approval.why": "looks fine"})
    assert backend.statuses([called]) == {called: ModelStatus.APPROVED}
    said = backend.approval(called)
    assert (said.status, said.why) == (ModelStatus.APPROVED, "looks fine")
    assert said.by
    assert abs(said.at - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_word_that_is_no_approval_is_none(backend: AzureMLBackend, workspace: Azure) -> None:
    called = backend.called(version("odd"), "job")
    registered(workspace, called, "maybe")
    assert backend.statuses([called]) == {}
    with pytest.raises(Refused, match="'maybe' is no approval"):
        backend.approval(called)


@pytest.mark.parametrize("called", ["", "x", "../x:1", "price:../../x", f"a/b:{'ab' * 6}", "job#node"])
def test_a_name_leads_nowhere_else(backend: AzureMLBackend, called: str) -> None:
    assert backend.statuses([called]) == {}
    with pytest.raises(Refused):
        backend.settle(called, ModelStatus.APPROVED, "")


def test_azure_that_is_away_is_asked_again(azure: AzureML, backend: AzureMLBackend, workspace: Azure) -> None:
    called = backend.called(version("away"), "job")
    registered(workspace, called)
    azure.fault("models.list", 503, times=5)
    try:
        with pytest.raises(Retry):
            backend.statuses([called])
    finally:
        azure.clear()
