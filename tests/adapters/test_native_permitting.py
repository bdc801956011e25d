"""A native definition asks for nothing but what the operator permits: its words come from a pull request."""

from __future__ import annotations

from typing import Any

import pytest

from service.adapters.backends.sagemaker.declared import Declared
from service.adapters.backends.sagemaker.native.permitting import refuse_what_is_not_permitted
from service.domain.errors import Refused
from tests.emulators.sagemaker.process import BUCKET, REGION, ROLE


def declared(**more: Any) -> Declared:
    return Declared(type="sagemaker", region=REGION, role=ROLE, bucket=BUCKET, **more)


def processing(**more: Any) -> dict[str, Any]:
    cluster = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
    output = {
        "OutputName": "out",
        "S3Output": {"S3Uri": f"s3://{BUCKET}/sums/out", "LocalPath": "/opt/ml/processing/out"},
    }
    return {
        "AppSpecification": {"ImageUri": "image:1"},
        "ProcessingResources": {"ClusterConfig": {**cluster, **more.pop("cluster", {})}},
        "ProcessingOutputConfig": {"Outputs": [output]},
        "ProcessingInputs": [{"InputName": "x", "S3Input": {"S3Uri": "s3://elsewhere/x", "LocalPath": "/opt/ml/x"}}],
        "Environment": {"InstanceType": "ml.p4d.24xlarge", "RoleArn": "a word of the user's own"},
        "RoleArn": ROLE,
        **more,
    }  # fmt: skip


def judged(
    arguments: dict[str, Any], kind: str = "Processing", given: Declared | None = None, **parameters: Any
) -> str:
    step = {"Name": "Step", "Type": kind, "Arguments": arguments}
    rows = [{"Name": name, "Type": "String", "DefaultValue": value} for name, value in parameters.items()]
    try:
        refuse_what_is_not_permitted({"Parameters": rows, "Steps": [step]}, given or declared(), "ml/pipeline.py")
    except Refused as refusal:
        return refusal.reason
    return ""


def written(uri: Any) -> dict[str, Any]:
    return {"Outputs": [{"OutputName": "out", "S3Output": {"S3Uri": uri, "LocalPath": "/opt/ml/processing/out"}}]}


def joined(*values: Any) -> dict[str, Any]:
    return {"Std:Join": {"On": "/", "Values": list(values)}}


EXECUTION = {"Get": "Execution.PipelineExecutionId"}
STEP = {"Get": "Steps.Other.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"}


def test_what_the_sdks_write_is_permitted() -> None:
    assert judged(processing()) == ""
    assert judged(processing(ProcessingOutputConfig=written(joined("s3:/", BUCKET, "sums", EXECUTION)))) == ""
    assert judged(processing(ProcessingOutputConfig=written(STEP))) == ""
    assert judged(processing(cluster={"InstanceType": {"Get": "Parameters.Machine"}}), Machine="ml.m5.large") == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (processing(RoleArn="arn:aws:iam::123456789012:role/admin"), "wants the role arn:aws:iam::123456789012:role/admin"),
        (processing(RoleArn=STEP), "wants the role <worked out while the pipeline runs>"),
        (processing(cluster={"InstanceType": "ml.p4d.24xlarge"}), "wants the instance ml.p4d.24xlarge"),
        (processing(cluster={"InstanceType": STEP}), "wants the instance <worked out"),
        (processing(cluster={"InstanceCount": 2}), "wants 2 machines at once; this backend offers 1"),
        (processing(cluster={"InstanceCount": "1000"}), "wants 1000 machines"),
        (processing(cluster={"VolumeSizeInGB": 5000}), "wants a disk of 5000 GB; this backend offers 30"),
        (processing(ResourceConfig={"KeepAlivePeriodInSeconds": 3600}), "keeps its machines after its end"),
        (processing(NetworkConfig={"VpcConfig": {"Subnets": ["subnet-1"]}}), "wants the network subnet-1"),
        (processing(ProcessingOutputConfig=written("s3://elsewhere/x")), "writes to s3://elsewhere/x"),
        (processing(ProcessingOutputConfig=written(f"s3://{BUCKET}-evil/x")), f"writes to s3://{BUCKET}-evil/x"),
        (processing(ProcessingOutputConfig=written(f"s3://{BUCKET}/refit/outputs")), "below which Refit keeps its own"),
        (processing(ProcessingOutputConfig=written(joined("s3:/", EXECUTION, "x"))), "writes to <worked out"),
        (processing(ProcessingOutputConfig=written(joined("s3:/", BUCKET, "refit", EXECUTION))), "Refit keeps its own"),
        (processing(OutputDataConfig={"S3OutputPath": "s3://elsewhere"}), "writes to s3://elsewhere"),
        (processing(CheckpointConfig={"S3Uri": "s3://elsewhere"}), "writes to s3://elsewhere"),
    ],
)  # fmt: skip
def test_what_the_operator_does_not_offer_is_refused(arguments: dict[str, Any], words: str) -> None:
    assert words in judged(arguments)


@pytest.mark.parametrize(
    ("asked", "opened", "words"),
    [
        (processing(cluster={"InstanceType": "ml.c5.xlarge"}), {"instances": ("ml.c5.xlarge",)}, "ml.c5.xlarge"),
        (processing(cluster={"InstanceCount": 4}), {"machines": 4}, "4 machines"),
        (processing(cluster={"VolumeSizeInGB": 100}), {"volume": 100}, "100 GB"),
        (processing(VpcConfig={"Subnets": ["sn-1"], "SecurityGroupIds": ["sg-1"]}), {"networks": ("sn-1", "sg-1")}, "sn-1"),
    ],
)  # fmt: skip
def test_what_the_operator_opens_is_permitted(asked: dict[str, Any], opened: dict[str, Any], words: str) -> None:
    assert words in judged(asked)
    assert judged(asked, given=declared(**opened)) == ""


def test_images_groups_and_types_may_be_narrowed_and_widened() -> None:
    only = declared(images=("*.dkr.ecr.eu-west-1.amazonaws.com/*",), model_groups=("team-*",))
    assert "wants the image image:1" in judged(processing(), given=only)
    register = {"ModelPackageGroupName": "prices"}
    assert judged(register, "RegisterModel") == ""
    assert "registers in prices" in judged(register, "RegisterModel", only)
    assert judged({"ModelPackageGroupName": "team-a"}, "RegisterModel", only) == ""
    function = {"FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:pay"}
    assert "is of type Lambda" in judged(function, "Lambda")
    assert judged(function, "Lambda", declared(step_types=("Lambda",))) == ""


def test_a_step_inside_a_branch_is_judged_too() -> None:
    inner = {"Name": "Step", "Type": "Processing", "Arguments": processing(RoleArn="arn:aws:iam::1:role/admin")}
    gate = {"Name": "Gate", "Type": "Condition", "Arguments": {"Conditions": [], "IfSteps": [], "ElseSteps": [inner]}}
    with pytest.raises(Refused, match="step Step wants the role"):
        refuse_what_is_not_permitted({"Steps": [gate]}, declared(), "ml/pipeline.py")
