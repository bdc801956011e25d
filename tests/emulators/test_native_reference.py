"""The reference pipeline in native form runs to its end on the emulator, as the unmodified SDKs compile it."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from service.adapters.backends.sagemaker.native.compiler import Account, NativeCompiler, Use
from service.adapters.backends.sagemaker.sdk import Version
from tests.conftest import REQUIRED, absent
from tests.emulators.sagemaker.process import BUCKET, REGION, ROLE, require_unshare, running
from tests.sdks import interpreter, is_built, sdks

ROOT = Path(__file__).resolve().parents[2] / "pipelines"
REPOSITORY = ROOT / "diamonds_sagemaker"
PATIENCE = 180.0


@pytest.mark.parametrize(("version", "path"), [("v2", "diamonds"), ("v3", "diamonds_v3")])
def test_it_succeeds(version: Version, path: str, tmp_path: Path) -> None:
    require_unshare()
    if version == "v3" and "sagemaker-v3" not in REQUIRED and not is_built("v3"):
        absent("sagemaker-v3", "REFIT_TEST_REQUIRE=sagemaker-v3 installs its gigabyte")
    compiler = NativeCompiler(sdks(), tmp_path / "native", unconfined=True)
    use = Use(f"pipelines/{path}/pipeline.py", version, Account(REGION, ROLE, BUCKET))
    compiled = compiler.compile(use, lambda target: shutil.copytree(REPOSITORY, target, dirs_exist_ok=True) and None)
    assert compiled.definition == compiled.again, "nothing of it comes from the clock"
    with running(tmp_path / "emulator", str(interpreter(ROOT / "diamonds" / "requirements.txt"))) as cloud:
        for upload in compiled.uploads:
            bucket, _, key = upload.uri.removeprefix("s3://").partition("/")
            body = (compiler.objects / upload.sha256).read_bytes()
            cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
        client = cloud.client()
        text = json.dumps(compiled.definition)
        client.create_pipeline(PipelineName=path.replace("_", "-"), PipelineDefinition=text,
                               ClientRequestToken="t" * 32, RoleArn=ROLE)  # fmt: skip
        arn = client.start_pipeline_execution(PipelineName=path.replace("_", "-"))["PipelineExecutionArn"]
        deadline = time.monotonic() + PATIENCE
        while (found := client.describe_pipeline_execution(PipelineExecutionArn=arn))["PipelineExecutionStatus"] in (
            "Executing",
            "Stopping",
        ):
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
        steps = client.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
        failures = {one["StepName"]: one["FailureReason"] for one in steps if "FailureReason" in one}
        assert (found["PipelineExecutionStatus"], failures) == ("Succeeded", {})
        assert {"Preprocess", "Train", "Evaluate", "GoodEnough"} <= {one["StepName"] for one in steps}
        outcome = next(one for one in steps if one["StepName"] == "GoodEnough")["Metadata"]["Condition"]["Outcome"]
        assert outcome == "True", "the model is good enough, which the report of a real evaluation says"
