"""SageMaker's model registry: statuses by the hundred, who gave them, and one given; names of something else are left alone."""

from __future__ import annotations

import pytest

from service.adapters.backends.sagemaker.aws import Cloud
from service.adapters.backends.sagemaker.registry import Registry
from service.domain.errors import Refused, Retry
from service.domain.model_status import ModelStatus
from tests.emulators.sagemaker.process import SageMaker


def package(cloud: SageMaker, group: str, status: str = "PendingManualApproval") -> str:
    client = cloud.client()
    if group not in [
        one["ModelPackageGroupName"] for one in client.list_model_package_groups()["ModelPackageGroupSummaryList"]
    ]:
        client.create_model_package_group(ModelPackageGroupName=group)
    return str(client.create_model_package(ModelPackageGroupName=group, ModelApprovalStatus=status)["ModelPackageArn"])


def test_statuses_of_many_cost_a_call_for_each_group(cloud: SageMaker) -> None:
    registry = Registry(Cloud(cloud.declared()))
    one, two = package(cloud, "one"), package(cloud, "two", "Approved")
    other = package(cloud, "one", "Rejected")
    gone = one.replace("/one/1", "/nobody/1")
    job = "arn:aws:sagemaker:eu-west-1:123456789012:training-job/model-package/x/1"
    before = cloud.calls().get("ListModelPackages", 0)
    assert registry.statuses([one, two, gone, job, "", "https://console"]) == {
        one: ModelStatus.CANDIDATE, two: ModelStatus.APPROVED,
    }  # fmt: skip
    assert cloud.calls()["ListModelPackages"] - before == 3
    assert registry.statuses([other]) == {other: ModelStatus.REJECTED}


def test_who_said_it_and_why_are_kept(cloud: SageMaker) -> None:
    registry = Registry(Cloud(cloud.declared()))
    made = package(cloud, "said")
    assert registry.approval(made).by == "SageMaker"
    registry.settle(made, ModelStatus.REJECTED, "too\x00 slow\nby far (ada, in Refit)")
    found = registry.approval(made)
    assert (found.status, found.by, found.why) == (
        ModelStatus.REJECTED,
        "user/tests",
        "too slow by far (ada, in Refit)",
    )
    with pytest.raises(Refused, match="has no status rolled_back"):
        registry.settle(made, ModelStatus.ROLLED_BACK, "x")


def test_a_registry_that_does_not_answer_is_asked_later(cloud: SageMaker) -> None:
    registry = Registry(Cloud(cloud.declared()))
    made = package(cloud, "quiet")
    cloud.fault("UpdateModelPackage", "AccessDeniedException")
    with pytest.raises(Retry, match="add it to the policy"):
        registry.settle(made, ModelStatus.APPROVED, "good")
    assert registry.approval(made).status is ModelStatus.CANDIDATE
