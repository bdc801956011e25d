"""The emulator of SageMaker refuses what AWS refuses, and its executions really progress by running scripts."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.emulators.sagemaker.process import BUCKET, REGION, ROLE, SageMaker, require_unshare, running

TOKEN = "t" * 32
RESOURCES = {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SageMaker]:
    require_unshare()
    with running(tmp_path_factory.mktemp("sagemaker")) as started:
        yield started


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return request.node.name.replace("_", "-").replace("[", "-").replace("]", "")[:80]


def processing(name: str, script: str, *, reads: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A step that runs a script given as an argument; it may write below ``/opt/ml/processing/output``."""
    inputs = [{"InputName": key, "S3Input": {"S3Uri": uri, "LocalPath": f"/opt/ml/processing/input/{key}",
               "S3DataType": "S3Prefix", "S3InputMode": "File"}} for key, uri in (reads or {}).items()]  # fmt: skip
    output = {"OutputName": "out", "S3Output": {"S3Uri": f"s3://{BUCKET}/{name}/out", "S3UploadMode": "EndOfJob",
              "LocalPath": "/opt/ml/processing/output"}}  # fmt: skip
    arguments = {"AppSpecification": {"ImageUri": "image", "ContainerEntrypoint": ["python3", "-c", script]},
                 "ProcessingInputs": inputs, "ProcessingOutputConfig": {"Outputs": [output]}, "RoleArn": ROLE,
                 "ProcessingResources": RESOURCES}  # fmt: skip
    return {"Name": name, "Type": "Processing", "Arguments": arguments, **more}


def wrote(text: str) -> str:
    return f"open('/opt/ml/processing/output/x', 'w').write({text!r})"


def output_of(step: str) -> dict[str, str]:
    return {"Get": f"Steps.{step}.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}


def definition(*steps: dict[str, Any], parameters: tuple[dict[str, Any], ...] = ()) -> str:
    return json.dumps({"Version": "2020-12-01", "Parameters": parameters, "Steps": steps})


def create(cloud: SageMaker, name: str, *steps: dict[str, Any], **more: Any) -> Any:
    client = cloud.client()
    text = definition(*steps, **more)
    client.create_pipeline(PipelineName=name, PipelineDefinition=text, ClientRequestToken=TOKEN + name, RoleArn=ROLE)
    return client


def ended(client: Any, arn: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = client.describe_pipeline_execution(PipelineExecutionArn=arn)
        if found["PipelineExecutionStatus"] not in ("Executing", "Stopping"):
            return dict(found)
        time.sleep(0.05)
    raise AssertionError(f"{arn} does not end")


def start(client: Any, name: str, **more: Any) -> str:
    return str(client.start_pipeline_execution(PipelineName=name, **more)["PipelineExecutionArn"])


def steps_of(client: Any, arn: str) -> dict[str, dict[str, Any]]:
    rows = client.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
    return {row["StepName"]: row for row in rows}


def lines_of(cloud: SageMaker, job: str) -> list[str]:
    """What a processing job wrote, as CloudWatch has it."""
    logs, group = cloud.client("logs"), "/aws/sagemaker/ProcessingJobs"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=job)["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    return [event["message"] for event in events]


def refused(code: str, act: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        act()
    assert caught.value.response["Error"]["Code"] == code
    return str(caught.value.response["Error"]["Message"])


# it runs ---------------------------------------------------------------------------------------------------------------


def test_steps_run_in_order_on_real_data_and_their_lines_are_kept(cloud: SageMaker, name: str) -> None:
    second = "t = open('/opt/ml/processing/input/data/x').read(); print('read', t);" + wrote("done")
    client = create(
        cloud,
        name,
        processing("b", second, reads={"data": output_of("a")}),
        processing("a", wrote("41") + ";print('hi')"),
    )
    arn = start(client, name)
    assert ended(client, arn)["PipelineExecutionStatus"] == "Succeeded"
    steps = steps_of(client, arn)
    assert steps["a"]["EndTime"] <= steps["b"]["StartTime"]
    body = cloud.client("s3").get_object(Bucket=BUCKET, Key="b/out/x")["Body"].read()
    assert body == b"done"
    job = steps["b"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    assert lines_of(cloud, job) == ["read 41"]
    described = client.describe_processing_job(ProcessingJobName=job)
    assert described["ProcessingJobStatus"] == "Completed"


def test_training_follows_the_toolkit(cloud: SageMaker, name: str) -> None:
    code = b"import os, sys\nprint(sys.argv[1:])\nopen(os.environ['SM_MODEL_DIR'] + '/m', 'w').write(' '.join(sys.argv[1:]))\n"
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        entry = tarfile.TarInfo("main.py")
        entry.size = len(code)
        archive.addfile(entry, io.BytesIO(code))
    cloud.client("s3").put_object(Bucket=BUCKET, Key="code.tar.gz", Body=made.getvalue())
    arguments = {
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "HyperParameters": {"rate": "0.1", "sagemaker_program": '"main.py"',
                            "sagemaker_submit_directory": f"s3://{BUCKET}/code.tar.gz"},
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models"}, "RoleArn": ROLE,
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }  # fmt: skip
    client = create(cloud, name, {"Name": "train", "Type": "Training", "Arguments": arguments})
    arn = start(client, name)
    assert ended(client, arn)["PipelineExecutionStatus"] == "Succeeded"
    job = steps_of(client, arn)["train"]["Metadata"]["TrainingJob"]["Arn"].rpartition("/")[2]
    uri = client.describe_training_job(TrainingJobName=job)["ModelArtifacts"]["S3ModelArtifacts"]
    body = cloud.client("s3").get_object(Bucket=BUCKET, Key=uri.removeprefix(f"s3://{BUCKET}/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        member = archive.extractfile("m")
        assert member is not None
        assert member.read() == b"--rate 0.1"


def test_a_failure_has_its_traceback_in_the_log_and_can_be_retried_from_there(cloud: SageMaker, name: str) -> None:
    flag = f"s3://{BUCKET}/flags-{name}"
    cloud.client("s3").put_object(Bucket=BUCKET, Key=f"flags-{name}/no", Body=b"")
    script = "import os\nassert os.path.exists('/opt/ml/processing/input/flag/yes'), 'not yet'"
    client = create(
        cloud, name, processing("a", wrote("1")), processing("b", script, reads={"flag": flag}, DependsOn=["a"]),
        processing("c", wrote("3"), DependsOn=["b"]),
    )  # fmt: skip
    arn = start(client, name)
    found = ended(client, arn)
    assert (found["PipelineExecutionStatus"], "FailureReason" in found) == ("Failed", True)
    steps = steps_of(client, arn)
    assert sorted(steps) == ["a", "b"], "what never began is not listed"
    assert steps["b"]["FailureReason"] == "AlgorithmError: See job logs for more information", "as AWS: no traceback"
    job = steps["b"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    assert any("AssertionError: not yet" in line for line in lines_of(cloud, job))
    cloud.client("s3").put_object(Bucket=BUCKET, Key=f"flags-{name}/yes", Body=b"")
    client.retry_pipeline_execution(PipelineExecutionArn=arn)
    assert ended(client, arn)["PipelineExecutionStatus"] == "Succeeded"
    assert steps_of(client, arn)["a"]["EndTime"] == steps["a"]["EndTime"], "what succeeded stays"
    refused("ConflictException", lambda: client.retry_pipeline_execution(PipelineExecutionArn=arn))


def test_a_containers_last_words_are_kept(cloud: SageMaker, name: str) -> None:
    words = "import os; os.makedirs('/opt/ml/output'); open('/opt/ml/output/message', 'w').write('w' * 2000); raise SystemExit(3)"
    client = create(cloud, name, processing("a", words))
    arn = start(client, name)
    ended(client, arn)
    job = steps_of(client, arn)["a"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    described = client.describe_processing_job(ProcessingJobName=job)
    assert (described["ProcessingJobStatus"], described["ExitMessage"]) == ("Failed", "w" * 1024)


def test_conditions_read_property_files_and_register_or_fail(cloud: SageMaker, name: str) -> None:
    def pipeline(bound: float) -> tuple[dict[str, Any], dict[str, Any]]:
        script = "import json; json.dump({'m': {'r2': {'value': 0.9}}}, open('/opt/ml/processing/output/e.json', 'w'))"
        files = [{"PropertyFileName": "Report", "OutputName": "out", "FilePath": "e.json"}]
        measure = processing("measure", script, PropertyFiles=files)
        left = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.measure.PropertyFiles.Report"}, "Path": "m.r2.value"}}
        register = {"Name": "register", "Type": "RegisterModel", "Arguments": {"ModelPackageGroupName": "group"}}
        words = {"Std:Join": {"On": " ", "Values": ["r2 is", left, "only"]}}
        fail = {"Name": "refuse", "Type": "Fail", "Arguments": {"ErrorMessage": words}}
        gate = {"Name": "gate", "Type": "Condition", "Arguments": {
            "Conditions": [{"Type": "GreaterThanOrEqualTo", "LeftValue": left, "RightValue": bound}],
            "IfSteps": [register], "ElseSteps": [fail]}}  # fmt: skip
        return measure, gate

    client = create(cloud, name, *pipeline(0.8))
    arn = start(client, name)
    assert ended(client, arn)["PipelineExecutionStatus"] == "Succeeded"
    package = steps_of(client, arn)["register"]["Metadata"]["RegisterModel"]["Arn"]
    assert client.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"] == "PendingManualApproval"
    client.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    (listed,) = client.list_model_packages(ModelPackageGroupName="group", ModelApprovalStatus="Approved")[
        "ModelPackageSummaryList"
    ]
    assert listed["ModelPackageArn"] == package

    version = client.update_pipeline(PipelineName=name, PipelineDefinition=definition(*pipeline(0.95)))
    worse = start(client, name, PipelineVersionId=version["PipelineVersionId"])
    assert ended(client, worse)["PipelineExecutionStatus"] == "Failed"
    steps = steps_of(client, worse)
    assert steps["gate"]["Metadata"]["Condition"]["Outcome"] == "False"
    assert steps["refuse"]["FailureReason"] == "r2 is 0.9 only"
    assert "register" not in steps
    first = start(client, name, PipelineVersionId=1)
    assert ended(client, first)["PipelineExecutionStatus"] == "Succeeded", "the old version is still there"


def test_a_stopped_execution_ends_its_processes(cloud: SageMaker, name: str) -> None:
    client = create(cloud, name, processing("slow", "import time; print('up'); time.sleep(60)"))
    arn = start(client, name)
    deadline = time.monotonic() + 20
    while "ProcessingJob" not in steps_of(client, arn).get("slow", {}).get("Metadata", {}):
        assert time.monotonic() < deadline
    client.stop_pipeline_execution(PipelineExecutionArn=arn)
    assert ended(client, arn)["PipelineExecutionStatus"] == "Stopped"
    assert steps_of(client, arn)["slow"]["StepStatus"] == "Stopped"
    refused("ConflictException", lambda: client.stop_pipeline_execution(PipelineExecutionArn=arn))


# what AWS refuses ------------------------------------------------------------------------------------------------------


def test_a_token_starts_once_and_refuses_other_arguments(cloud: SageMaker, name: str) -> None:
    client = create(cloud, name, processing("a", wrote("1")))
    token = "s" * 32 + name
    first = start(client, name, ClientRequestToken=token)
    assert start(client, name, ClientRequestToken=token) == first
    assert start(client, name) != first
    other = {"ClientRequestToken": token, "PipelineExecutionDisplayName": "other"}
    assert "other arguments" in refused("ConflictException", lambda: start(client, name, **other))


def test_every_other_token_starts_once_too(cloud: SageMaker, name: str) -> None:
    client = create(cloud, name, processing("a", wrote("1")))
    again = {"PipelineName": name, "ClientRequestToken": TOKEN + name, "RoleArn": ROLE}
    same = client.create_pipeline(PipelineDefinition=definition(processing("a", wrote("1"))), **again)
    assert same["PipelineArn"] == client.describe_pipeline(PipelineName=name)["PipelineArn"]
    other = definition(processing("b", wrote("1")))
    refused("ConflictException", lambda: client.create_pipeline(PipelineDefinition=other, **again))


def test_bad_names_are_refused(cloud: SageMaker, name: str) -> None:
    client = create(cloud, name, processing("a", wrote("1")))
    text = definition(processing("a", wrote("1")))
    made = {"PipelineDefinition": text, "RoleArn": ROLE, "ClientRequestToken": TOKEN}
    assert "PipelineName" in refused("ValidationException", lambda: client.create_pipeline(PipelineName="a_b", **made))
    for display in ("a b", "-a", "a_b"):
        assert "DisplayName" in refused(
            "ValidationException", lambda display=display: start(client, name, PipelineExecutionDisplayName=display)
        )
    assert "RoleArn" in refused(
        "ValidationException",
        lambda: client.update_pipeline(PipelineName=name, RoleArn="arn:aws:iam::123456789012:user/x"),
    )
    source = {"SelectedSteps": [{"StepName": "a"}], "SourcePipelineExecutionArn": "arn:aws:sagemaker:x:1:pipeline/p"}
    assert "SourcePipelineExecutionArn" in refused(
        "ValidationException", lambda: start(client, name, SelectiveExecutionConfig=source)
    )
    for aliases in (["123"], ["a b"], [f"a{at}" for at in range(11)]):
        refused(
            "ValidationException",
            lambda aliases=aliases: client.update_pipeline(
                PipelineName=name, PipelineDefinition=text, PipelineVersionAliases=aliases
            ),
        )


def test_values_of_the_wrong_type_or_length_are_refused(cloud: SageMaker, name: str) -> None:
    """As sent by a client that does not look at them itself, which boto3 does."""
    create(cloud, name, processing("a", wrote("1")))
    client = boto3.client(
        "sagemaker", endpoint_url=cloud.url, region_name=REGION, aws_access_key_id="tests", aws_secret_access_key="tests",
        config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )  # fmt: skip
    for wrong in (
        {"ClientRequestToken": "short"},
        {"PipelineExecutionDescription": "x" * 3_073},
        {"PipelineExecutionDisplayName": "x" * 83},
        {"PipelineParameters": [{"Name": "a", "Value": 1}]},
        {"ParallelismConfiguration": {"MaxParallelExecutionSteps": 0}},
        {"SelectiveExecutionConfig": {"SelectedSteps": []}},
    ):
        refused("ValidationException", lambda wrong=wrong: start(client, name, **wrong))
    assert client.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"] == []


def test_an_approval_has_three_words_and_keeps_who_said_them(cloud: SageMaker, name: str) -> None:
    register = {"Name": "register", "Type": "RegisterModel", "Arguments": {"ModelPackageGroupName": name}}
    client = create(cloud, name, register)
    arn = start(client, name)
    ended(client, arn)
    package = steps_of(client, arn)["register"]["Metadata"]["RegisterModel"]["Arn"]
    refused(
        "ValidationException",
        lambda: client.update_model_package(ModelPackageArn=package, ModelApprovalStatus="RolledBack"),
    )
    assert "LastModifiedBy" not in client.describe_model_package(ModelPackageName=package)
    client.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Rejected")
    found = client.describe_model_package(ModelPackageName=package)
    assert found["LastModifiedBy"]["IamIdentity"]["Arn"] == "arn:aws:iam::123456789012:user/tests"


def test_bad_definitions_are_refused(cloud: SageMaker, name: str) -> None:
    def attempt(text: str, token: str = TOKEN) -> str:
        return refused("ValidationException", lambda: cloud.client().create_pipeline(
            PipelineName=name, PipelineDefinition=text, ClientRequestToken=token, RoleArn=ROLE))  # fmt: skip

    assert "parse" in attempt("{")
    assert "at least one step" in attempt(definition())
    assert "unique" in attempt(definition(processing("a", ""), processing("a", "")))
    assert "does not match" in attempt(definition(processing("a b", "")))
    assert "cycle" in attempt(definition(processing("a", "", DependsOn=["b"]), processing("b", "", DependsOn=["a"])))
    assert "not in the pipeline" in attempt(definition(processing("a", "", reads={"x": output_of("nope")})))
    assert "Unknown step type" in attempt(definition({"Name": "a", "Type": "Magic", "Arguments": {}}))
    both = [{"ExceptionType": ["Step.SERVICE_FAULT"], "MaxAttempts": 2, "ExpireAfterMin": 5}]
    assert "either" in attempt(definition(processing("a", "", RetryPolicies=both)))
    assert "1048576" in attempt(definition(processing("a", "#" * (1024 * 1024))))
    create(cloud, name, processing("a", ""))
    assert "already exists" in attempt(definition(processing("a", "")), "o" * 32)
    refused("ResourceNotFound", lambda: cloud.client().describe_pipeline(PipelineName="nowhere"))


def test_parameters_have_types(cloud: SageMaker, name: str) -> None:
    parameters = (
        {"Name": "count", "Type": "Integer"},
        {"Name": "kind", "Type": "String", "DefaultValue": "a", "EnumValues": ["a", "b"]},
    )
    step = processing("a", wrote("1"))
    step["Arguments"]["Environment"] = {"COUNT": {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.count"}]}}}
    client = create(cloud, name, step, parameters=parameters)

    def given(**values: str) -> dict[str, Any]:
        return {"PipelineParameters": [{"Name": key, "Value": value} for key, value in values.items()]}

    assert "has no value" in refused("ValidationException", lambda: start(client, name))
    assert "of type Integer" in refused("ValidationException", lambda: start(client, name, **given(count="x")))
    assert "one of" in refused("ValidationException", lambda: start(client, name, **given(count="1", kind="c")))
    assert "not defined" in refused("ValidationException", lambda: start(client, name, **given(count="1", no="c")))
    arn = start(client, name, **given(count="3"))
    assert ended(client, arn)["PipelineExecutionStatus"] == "Succeeded"
    assert client.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)["PipelineParameters"] == [
        {"Name": "count", "Value": "3"}
    ]


def test_selective_execution_has_its_rules(cloud: SageMaker, name: str) -> None:
    names = ("a", "b", "c")
    chain = [processing(one, wrote(one), DependsOn=[names[at - 1]] if at else []) for at, one in enumerate(names)]
    client = create(cloud, name, *chain)
    whole = start(client, name)

    def selected(source: str | None, *steps: str) -> dict[str, Any]:
        config = {"SelectedSteps": [{"StepName": one} for one in steps]}
        return {"SelectiveExecutionConfig": config | ({"SourcePipelineExecutionArn": source} if source else {})}

    assert "must be Succeeded or Failed" in refused(
        "ValidationException", lambda: start(client, name, **selected(whole, "c"))
    )
    ended(client, whole)
    arn = start(client, name, **selected(whole, "b", "c"))
    assert ended(client, arn)["PipelineExecutionStatus"] == "Succeeded"
    steps = steps_of(client, arn)
    assert {one: "SelectiveExecutionResult" in row for one, row in steps.items()} == {"a": True, "b": False, "c": False}
    assert steps["a"]["SelectiveExecutionResult"] == {"SourcePipelineExecutionArn": whole}
    only = start(client, name, **selected(whole, "a"))
    ended(client, only)
    assert sorted(steps_of(client, only)) == ["a"], "unselected downstream steps do not run"
    assert "not connected" in refused("ValidationException", lambda: start(client, name, **selected(whole, "a", "c")))
    assert "do not exist" in refused("ValidationException", lambda: start(client, name, **selected(whole, "z")))
    assert "no successful result" in refused("ValidationException", lambda: start(client, name, **selected(None, "c")))
    other = create(cloud, f"{name}-other", *chain)
    assert "is not an execution of pipeline" in refused(
        "ValidationException", lambda: start(other, f"{name}-other", **selected(whole, "c"))
    )


# its ways ---------------------------------------------------------------------------------------------------------------


def test_lists_are_ordered_and_paged(cloud: SageMaker, name: str) -> None:
    client = create(cloud, name, processing("a", ""))
    arns = [start(client, name) for _ in range(5)]
    pages = client.get_paginator("list_pipeline_executions").paginate(
        PipelineName=name, PaginationConfig={"PageSize": 2}
    )
    found = [[one["PipelineExecutionArn"] for one in page["PipelineExecutionSummaries"]] for page in pages]
    assert [len(page) for page in found] == [2, 2, 1]
    assert [arn for page in found for arn in page] == arns[::-1]
    oldest = client.list_pipeline_executions(PipelineName=name, SortOrder="Ascending", MaxResults=1)
    assert oldest["PipelineExecutionSummaries"][0]["PipelineExecutionArn"] == arns[0]
    for arn in arns:
        ended(client, arn)


def test_a_cached_step_does_not_run_again(cloud: SageMaker, name: str) -> None:
    cache = {"Enabled": True, "ExpireAfter": "P1D"}
    client = create(cloud, name, processing("a", wrote("1"), CacheConfig=cache))
    first = start(client, name)
    ended(client, first)
    second = start(client, name)
    ended(client, second)
    assert steps_of(client, second)["a"]["CacheHitResult"] == {"SourcePipelineExecutionArn": first}


def test_faults_come_on_demand(cloud: SageMaker, name: str) -> None:
    client = create(cloud, name, processing("a", wrote("1")))
    cloud.fault("StartPipelineExecution", "ThrottlingException")
    refused("ThrottlingException", lambda: start(client, name))
    cloud.fault("StartPipelineExecution", "ServiceUnavailable", after=True)
    token = "f" * 32 + name
    refused("ServiceUnavailable", lambda: start(client, name, ClientRequestToken=token))
    arn = start(client, name, ClientRequestToken=token)
    listed = client.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]
    assert [one["PipelineExecutionArn"] for one in listed] == [arn], "the lost answer's execution is adopted"
    before = cloud.calls()["DescribePipelineExecution"]
    ended(client, arn)
    assert cloud.calls()["DescribePipelineExecution"] > before
