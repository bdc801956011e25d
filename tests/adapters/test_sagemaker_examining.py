"""What `refit doctor` finds of a SageMaker backend: nothing where all is well, else the very action that is not allowed."""

from __future__ import annotations

from service.adapters.backends.sagemaker.aws import Cloud
from service.adapters.backends.sagemaker.examining import examine
from tests.emulators.sagemaker.process import BUCKET, SageMaker


def test_nothing_is_found_and_nothing_is_made_where_all_is_well(cloud: SageMaker) -> None:
    assert examine(Cloud(cloud.declared())) == []
    assert cloud.client().list_pipelines()["PipelineSummaries"] == []
    keys = [one["Key"] for one in cloud.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]]
    assert keys == ["refit/doctor"]


def test_every_action_that_is_not_allowed_is_named(cloud: SageMaker) -> None:
    for operation in ("StartPipelineExecution", "DescribeTrainingJob"):
        cloud.fault(operation, "AccessDeniedException")
    (found,) = examine(Cloud(cloud.declared()))
    assert "sagemaker:StartPipelineExecution, sagemaker:DescribeTrainingJob;" in found
    assert "docs/sagemaker.md" in found


def test_a_bucket_that_cannot_be_written_is_named(cloud: SageMaker) -> None:
    (found,) = examine(Cloud(cloud.declared(bucket="somebody-elses")))
    assert "s3://somebody-elses/refit" in found


def test_expired_credentials_are_one_line(cloud: SageMaker) -> None:
    cloud.fault("ListPipelines", "ExpiredTokenException")
    (found,) = examine(Cloud(cloud.declared()))
    assert "expired" in found
    assert "renew them" in found
