"""Owns what an operator's identity may not do yet, found out by asking AWS for what is not there; refuses to start, make or
change anything but one small object of its own.

AWS decides whether a caller may before it looks whether the thing exists: a call about nothing is answered with
"not found" where it is allowed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from service.adapters.backends.sagemaker.aws import DENIED, Bucket, Cloud, calling, code_of
from service.domain.errors import Refused, Retry

_NOTHING = "refit-doctor-asks-for-nothing"


def examine(cloud: Cloud) -> Sequence[str]:
    """What is wrong, each with the next step; empty: nothing. One line if AWS cannot be asked at all."""
    try:
        with calling("asking AWS who this is"):
            cloud.sagemaker.list_pipelines(MaxResults=1)
    except (Refused, Retry) as problem:
        return [problem.reason]
    found = []
    try:
        _try_bucket(cloud)
    except (Refused, Retry) as problem:
        found.append(problem.reason)
    try:
        _try_queue(cloud)
    except (Refused, Retry) as problem:
        found.append(problem.reason)
    denied = [action for action, ask in _questions(cloud).items() if _is_denied(ask)]
    if denied:
        found.append(f"AWS does not allow {', '.join(denied)}; docs/sagemaker.md has the policy of the service's role")
    return found


def _try_bucket(cloud: Cloud) -> None:
    bucket, content = Bucket(cloud), secrets.token_bytes(8)
    with calling(f"writing to and reading from s3://{bucket.name}/{bucket.prefix}", starts=True):
        if bucket.read(bucket.write("doctor", content), len(content)) != content:
            raise Refused(f"reading s3://{bucket.name}/{bucket.prefix}/doctor: what was written is not what is read")


def _try_queue(cloud: Cloud) -> None:
    """Its attributes are asked for: a message would be another one's."""
    if cloud.declared.events_queue is not None:
        with calling(f"looking at the queue {cloud.declared.events_queue}", starts=True):
            cloud.sqs.get_queue_attributes(QueueUrl=cloud.declared.events_queue, AttributeNames=["QueueArn"])


def _questions(cloud: Cloud) -> Mapping[str, Callable[[], object]]:
    """Action → a call that asks for it about nothing."""
    sagemaker, logs, region = cloud.sagemaker, cloud.logs, cloud.declared.region
    _, partition, _, _, account, _ = cloud.declared.role.split(":", 5)
    execution = f"arn:{partition}:sagemaker:{region}:{account}:pipeline/{_NOTHING}/execution/{'0' * 12}"
    package = f"arn:{partition}:sagemaker:{region}:{account}:model-package/{_NOTHING}/1"
    group = "/aws/sagemaker/ProcessingJobs"
    return {
        "sagemaker:DescribePipeline": lambda: sagemaker.describe_pipeline(PipelineName=_NOTHING),
        "sagemaker:UpdatePipeline": lambda: sagemaker.update_pipeline(
            PipelineName=_NOTHING, RoleArn=cloud.declared.role
        ),
        "sagemaker:StartPipelineExecution": lambda: sagemaker.start_pipeline_execution(PipelineName=_NOTHING),
        "sagemaker:StopPipelineExecution": lambda: sagemaker.stop_pipeline_execution(PipelineExecutionArn=execution),
        "sagemaker:ListPipelineExecutions": lambda: sagemaker.list_pipeline_executions(PipelineName=_NOTHING),
        "sagemaker:DescribePipelineExecution": lambda: sagemaker.describe_pipeline_execution(
            PipelineExecutionArn=execution
        ),
        "sagemaker:ListPipelineExecutionSteps": lambda: sagemaker.list_pipeline_execution_steps(
            PipelineExecutionArn=execution
        ),
        "sagemaker:DescribeProcessingJob": lambda: sagemaker.describe_processing_job(ProcessingJobName=_NOTHING),
        "sagemaker:DescribeTrainingJob": lambda: sagemaker.describe_training_job(TrainingJobName=_NOTHING),
        "sagemaker:ListModelPackages": lambda: sagemaker.list_model_packages(ModelPackageGroupName=_NOTHING),
        "sagemaker:DescribeModelPackage": lambda: sagemaker.describe_model_package(ModelPackageName=package),
        "sagemaker:UpdateModelPackage": lambda: sagemaker.update_model_package(
            ModelPackageArn=package, ModelApprovalStatus="Rejected"
        ),
        "logs:DescribeLogStreams": lambda: logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=_NOTHING),
        "logs:GetLogEvents": lambda: logs.get_log_events(logGroupName=group, logStreamName=_NOTHING),
    }


def _is_denied(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except ClientError as error:
        return code_of(error) in DENIED
    except BotoCoreError:
        return False  # AWS was reached a moment ago: it says nothing about what is allowed
    return False
