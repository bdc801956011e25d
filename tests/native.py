"""Owns a small pipeline as SageMaker's SDK 2 declares it, with two roots, a gate and both branches, and a workshop that runs it
on an emulator; refuses to be fast: each edit of it is compiled for real."""

from __future__ import annotations

from pathlib import Path

from service.adapters.backends.sagemaker.backend import SageMakerBackend
from service.adapters.backends.sagemaker.compiler import Compiler
from service.adapters.backends.sagemaker.native.compiler import Account, NativeCompiler
from service.adapters.backends.sagemaker.native.definitions import NativeDefinitions
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from tests.emulators.sagemaker.process import BUCKET, REGION, ROLE, SageMaker
from tests.flow.workshop import Workshop
from tests.origins import Origin
from tests.sdks import sdks

BACKEND = "aws"
PIPELINE = "ml/pipeline.py"
STEPS = ("Left", "Right", "Merge", "Enough", "Publish", "TooSmall")
MANIFEST = f"""\
version: 1
triggers: {{push: ["**"]}}
pipelines:
  sums:
    uses: "sagemaker:{PIPELINE}"
    backend: {BACKEND}
"""
DEFINITION = """\
from pathlib import Path

import boto3
from sagemaker.processing import ProcessingInput, ProcessingOutput, ScriptProcessor
from sagemaker.workflow.condition_step import ConditionStep
from sagemaker.workflow.conditions import ConditionGreaterThanOrEqualTo
from sagemaker.workflow.fail_step import FailStep
from sagemaker.workflow.functions import JsonGet
from sagemaker.workflow.parameters import ParameterFloat
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession
from sagemaker.workflow.properties import PropertyFile
from sagemaker.workflow.steps import ProcessingStep

HERE = Path(__file__).resolve().parent
MACHINE = "ml.m5.large"


def get_pipeline(region, role, default_bucket):
    session = PipelineSession(boto_session=boto3.Session(region_name=region), default_bucket=default_bucket)

    def step(name, reads=(), property_files=None):
        processor = ScriptProcessor(
            image_uri="image", command=["python3"], role=role, instance_type=MACHINE, instance_count=1,
            sagemaker_session=session,
        )
        inputs = [
            ProcessingInput(
                source=one.properties.ProcessingOutputConfig.Outputs["out"].S3Output.S3Uri,
                destination=f"/opt/ml/processing/{one.name}", input_name=one.name,
            )
            for one in reads
        ]
        made = processor.run(
            code=str(HERE / f"{name.lower()}.py"), inputs=inputs,
            outputs=[ProcessingOutput(output_name="out", source="/opt/ml/processing/out")],
        )
        return ProcessingStep(name=name, step_args=made, property_files=property_files)

    least = ParameterFloat(name="Least", default_value=3.0)
    report = PropertyFile(name="Report", output_name="out", path="report.json")
    left, right = step("Left"), step("Right")
    merge = step("Merge", (left, right), [report])
    total = JsonGet(step_name=merge.name, property_file=report, json_path="sums.total.value")
    enough = ConditionStep(
        name="Enough", conditions=[ConditionGreaterThanOrEqualTo(left=total, right=least)],
        if_steps=[step("Publish", (merge, left))], else_steps=[FailStep(name="TooSmall", error_message="too small")],
    )
    return Pipeline(name="sums", parameters=[least], steps=[left, right, merge, enough], sagemaker_session=session)
"""
_NUMBER = "open('/opt/ml/processing/out/n', 'w').write('{number}')\n"
_MERGE = """\
import json
import time

time.sleep(0)
total = sum(int(open(f'/opt/ml/processing/{name}/n').read()) for name in ('Left', 'Right'))
print('total', total)
json.dump({'sums': {'total': {'value': total}}}, open('/opt/ml/processing/out/report.json', 'w'))
"""
FILES = {
    "refit.yaml": MANIFEST,
    "README.md": "sums\n",
    PIPELINE: DEFINITION,
    "ml/left.py": _NUMBER.format(number=1),
    "ml/right.py": _NUMBER.format(number=2),
    "ml/merge.py": _MERGE,
    "ml/publish.py": "print(open('/opt/ml/processing/Merge/report.json').read())\n"
    "open('/opt/ml/processing/out/done', 'w').write('yes')\n",
}


def edited(path: str, old: str, new: str, files: dict[str, str] | None = None) -> dict[str, str]:
    """These files after an edit that must fit."""
    files = files or FILES
    assert old in files[path]
    return {**files, path: files[path].replace(old, new)}


def backend(cloud: SageMaker, root: Path, state: Path, **more: object) -> tuple[SageMakerBackend, NativeDefinitions]:
    """A backend and what compiles for it; ``state`` keeps compiles from test to test, as from process to process."""
    compiler = NativeCompiler(sdks(), state, unconfined=True)
    definitions = NativeDefinitions(compiler, {BACKEND: Account(REGION, ROLE, BUCKET)}, state)
    made = SageMakerBackend(
        cloud.declared(**more),
        root,
        compiler=Compiler(sdks(), root / "compiler"),
        definitions=definitions,
        poll=(0.1, 0.3),
    )
    return made, definitions


def workshop(
    cloud: SageMaker, store: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, root: Path, state: Path,
    **more: object,
) -> Workshop:  # fmt: skip
    """A workshop whose pipelines may run on the emulator; ``more`` is declared of the backend."""
    made, definitions = backend(cloud, root / "aws", state, **more)
    return Workshop(store, pushed, hosts, reader, root, more={BACKEND: made}, definitions=definitions)


def executions(cloud: SageMaker) -> list[dict[str, object]]:
    """Every pipeline execution of the emulator, as AWS describes it, the oldest first."""
    client = cloud.client()
    names = [one["PipelineName"] for one in client.list_pipelines()["PipelineSummaries"]]
    rows = [
        row for name in names
        for row in client.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]
    ]  # fmt: skip
    rows.sort(key=lambda row: row["StartTime"])
    return [client.describe_pipeline_execution(PipelineExecutionArn=row["PipelineExecutionArn"]) for row in rows]


def ran(cloud: SageMaker, execution: dict[str, object]) -> set[str]:
    """The steps that ran in it, those that it reuses left out."""
    rows = cloud.client().list_pipeline_execution_steps(PipelineExecutionArn=execution["PipelineExecutionArn"])
    return {row["StepName"] for row in rows["PipelineExecutionSteps"] if "SelectiveExecutionResult" not in row}
