"""Approvals are said over, from here to SageMaker's registry and back; what cannot be said keeps nothing else from being said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from service.adapters.backends.sagemaker.backend import SageMakerBackend
from service.adapters.backends.sagemaker.compiler import Compiler
from service.adapters.database.unit_of_work import Database
from service.domain.lineage import ModelVersion
from service.domain.model_status import Act
from service.flow.mirror import Mirror
from service.flow.release import release
from tests import records
from tests.emulators.sagemaker.process import SageMaker, reachable
from tests.sdks import sdks

REPOSITORY = "acme/diamonds"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SageMaker]:
    with reachable(tmp_path_factory.mktemp("sagemaker")) as made:
        yield made


@pytest.fixture
def mirror(cloud: SageMaker, sqlite: Database, tmp_path: Path) -> Mirror:
    backend = SageMakerBackend(cloud.declared(), tmp_path, compiler=Compiler(sdks(), tmp_path / "compiler"))
    return Mirror(sqlite, {"aws": backend})


def registered(cloud: SageMaker, store: Database, group: str, *, result: str = "") -> str:
    """A version there and here; its name there."""
    client = cloud.client()
    if group not in [
        one["ModelPackageGroupName"] for one in client.list_model_package_groups()["ModelPackageGroupSummaryList"]
    ]:
        client.create_model_package_group(ModelPackageGroupName=group)
    package = str(client.create_model_package(ModelPackageGroupName=group)["ModelPackageArn"])
    made = records.record(result, backend="aws", job=package)
    version = ModelVersion(
        group, 0, REPOSITORY, made.id, "model", "sha256:m", f"e-{made.id}", records.SHA, "candidate", records.NOW
    )
    with store.begin() as work:
        work.lineage.add(made)
        work.models.register(version, "ada", "registered")
    return package


def events(store: Database, group: str, version: int = 1) -> list[tuple[str, str]]:
    with store.begin() as work:
        found = next(one for one in work.models.all(group) if one.version == version)
    return [(event.status, event.by) for event in found.events]


def status(cloud: SageMaker, package: str) -> str:
    return str(cloud.client().describe_model_package(ModelPackageName=package)["ModelApprovalStatus"])


def act(store: Database, group: str, what: Act) -> None:
    with store.begin() as work:
        release(work, group, 1, what, "ada", "because")


def test_what_was_said_last_is_said_over_once(cloud: SageMaker, sqlite: Database, mirror: Mirror) -> None:
    package = registered(cloud, sqlite, "both")
    assert mirror.look(REPOSITORY) == []
    cloud.client().update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    assert mirror.look("acme/other") == []
    assert mirror.look(REPOSITORY) == ["both/1 is approved, as user/tests said in the registry"]
    assert events(sqlite, "both") == [("candidate", "ada"), ("approved", "user/tests")]
    act(sqlite, "both", Act.ROLL_BACK)
    assert mirror.look(REPOSITORY) == ["both/1 is rolled_back in the registry too"]
    assert status(cloud, package) == "Rejected"
    cloud.client().update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    assert len(mirror.look(REPOSITORY)) == 1
    assert events(sqlite, "both")[-1] == ("approved", "user/tests")
    assert mirror.look(REPOSITORY) == []


def test_one_that_cannot_be_told_keeps_no_other_from_it(cloud: SageMaker, sqlite: Database, mirror: Mirror) -> None:
    first, second = registered(cloud, sqlite, "first"), registered(cloud, sqlite, "second")
    for group in ("first", "second"):
        act(sqlite, group, Act.APPROVE)
    cloud.fault("UpdateModelPackage", "AccessDeniedException")
    said = mirror.look(REPOSITORY)
    assert len(said) == 2
    assert sum("AWS does not allow UpdateModelPackage" in one for one in said) == 1
    assert sorted([status(cloud, first), status(cloud, second)]) == ["Approved", "PendingManualApproval"]
    assert len(mirror.look(REPOSITORY)) == 1
    assert (status(cloud, first), status(cloud, second)) == ("Approved", "Approved")


def test_a_version_of_no_registry_is_left_alone(sqlite: Database, mirror: Mirror, cloud: SageMaker) -> None:
    made = records.record(
        "plain", backend="aws", job="https://console/jobs/1", ended_at=records.NOW + timedelta(hours=1)
    )
    version = ModelVersion(
        "plain", 0, REPOSITORY, "plain", "model", "sha256:m", "e", records.SHA, "candidate", records.NOW
    )
    with sqlite.begin() as work:
        work.lineage.add(made)
        work.models.register(version, "ada", "registered")
    before = cloud.calls().get("ListModelPackages", 0)
    assert mirror.look(REPOSITORY) == []
    assert cloud.calls().get("ListModelPackages", 0) == before
