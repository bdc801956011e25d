"""The diamonds pipeline with SageMaker's SDK 3, from the same scripts: its SDK has no SKLearnProcessor and no SKLearn."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import boto3
from sagemaker.core import image_uris
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.shapes import (
    Channel,
    DataSource,
    ProcessingInput,
    ProcessingOutput,
    ProcessingS3Input,
    ProcessingS3Output,
    S3DataSource,
)
from sagemaker.core.training.configs import Compute
from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo
from sagemaker.core.workflow.functions import Join, JsonGet
from sagemaker.core.workflow.parameters import ParameterFloat, ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import ProcessingStep, TrainingStep
from sagemaker.train import ModelTrainer

ROOT = Path(__file__).resolve().parents[2]
STEPS = ROOT / "pipelines" / "diamonds" / "steps"
SKLEARN = "1.2-1"


def submitted(session, bucket, folder, pipeline_name):
    """The URI of a folder's code, by its content: ``ModelTrainer(source_code=…)`` would upload it to a new place each time."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.glob("*.py")):
            entry = tarfile.TarInfo(path.name)
            entry.size = path.stat().st_size
            tar.addfile(entry, io.BytesIO(path.read_bytes()))
    content = gzip.compress(archive.getvalue(), mtime=0)
    key = f"{pipeline_name}/code/{hashlib.sha256(content).hexdigest()}/sourcedir.tar.gz"
    session.boto_session.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
    return f"s3://{bucket}/{key}"


def reads(name, source):
    where = f"/opt/ml/processing/input/{name}"
    s3 = ProcessingS3Input(s3_uri=source, local_path=where, s3_data_type="S3Prefix", s3_input_mode="File")
    return ProcessingInput(input_name=name, s3_input=s3)


def writes(name, uri):
    s3 = ProcessingS3Output(s3_uri=uri, local_path=f"/opt/ml/processing/{name}", s3_upload_mode="EndOfJob")
    return ProcessingOutput(output_name=name, s3_output=s3)


def get_pipeline(region, role, default_bucket, pipeline_name="diamonds-v3", base_job_prefix="diamonds-v3"):
    """The pipeline, in the form that AWS's project templates have."""
    session = PipelineSession(boto_session=boto3.Session(region_name=region), default_bucket=default_bucket)
    machine = ParameterString(name="InstanceType", default_value="ml.m5.large")
    least_r2 = ParameterFloat(name="LeastR2", default_value=0.97)
    image = image_uris.retrieve("sklearn", region, version=SKLEARN, instance_type="ml.m5.large")
    places = f"s3://{default_bucket}/{pipeline_name}"

    def processor(name, env=None):
        return ScriptProcessor(
            image_uri=image,
            command=["python3"],
            role=role,
            instance_type=machine,
            instance_count=1,
            base_job_name=f"{base_job_prefix}-{name}",
            env=env,
            sagemaker_session=session,
        )

    preprocess = ProcessingStep(
        name="Preprocess",
        step_args=processor("preprocess").run(
            code=str(STEPS / "preprocess" / "preprocess.py"),
            arguments=["--test-size", "0.2", "--seed", "7"],
            inputs=[reads("raw", str(ROOT / "data" / "diamonds.csv.gz"))],
            outputs=[writes("train", f"{places}/train"), writes("test", f"{places}/test")],
        ),
    )

    made = preprocess.properties.ProcessingOutputConfig.Outputs
    trainer = ModelTrainer(
        training_image=image,
        role=role,
        base_job_name=f"{base_job_prefix}-train",
        compute=Compute(instance_type="ml.m5.large", instance_count=1),
        hyperparameters={
            "learning_rate": "0.1",
            "max_iter": "300",
            "max_leaf_nodes": "31",
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": submitted(session, default_bucket, STEPS / "model", pipeline_name),
        },
        sagemaker_session=session,
    )
    source = S3DataSource(
        s3_data_type="S3Prefix", s3_uri=made["train"].S3Output.S3Uri, s3_data_distribution_type="FullyReplicated"
    )
    train = TrainingStep(
        name="Train",
        step_args=trainer.train(
            input_data_config=[Channel(channel_name="train", data_source=DataSource(s3_data_source=source))]
        ),
    )

    report = PropertyFile(name="EvaluationReport", output_name="evaluation", path="evaluation.json")
    evaluate = ProcessingStep(
        name="Evaluate",
        step_args=processor("evaluate", env={"PYTHONPATH": "/opt/ml/processing/input/model_code"}).run(
            code=str(STEPS / "model" / "evaluate.py"),
            inputs=[
                reads("model", train.properties.ModelArtifacts.S3ModelArtifacts),
                reads("test", made["test"].S3Output.S3Uri),
                reads("model_code", str(STEPS / "model")),
            ],
            outputs=[writes("evaluation", f"{places}/evaluation")],
        ),
        property_files=[report],
    )

    r2 = JsonGet(step_name=evaluate.name, property_file=report, json_path="regression_metrics.r2.value")
    gate = ConditionStep(
        name="GoodEnough",
        conditions=[ConditionGreaterThanOrEqualTo(left=r2, right=least_r2)],
        if_steps=[],
        else_steps=[FailStep(name="TooWeak", error_message=Join(on=" ", values=["r2 is only", r2]))],
    )
    return Pipeline(
        name=pipeline_name,
        parameters=[machine, least_r2],
        steps=[preprocess, train, evaluate, gate],
        sagemaker_session=session,
    )
