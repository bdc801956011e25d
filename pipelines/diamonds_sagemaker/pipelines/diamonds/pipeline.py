"""The diamonds pipeline as SageMaker's own SDK 2 declares it: SKLearnProcessor → SKLearn → ScriptProcessor, a gate, a model."""

from pathlib import Path

import boto3
import sagemaker
from sagemaker.inputs import TrainingInput
from sagemaker.processing import ProcessingInput, ProcessingOutput, ScriptProcessor
from sagemaker.sklearn.estimator import SKLearn
from sagemaker.sklearn.processing import SKLearnProcessor
from sagemaker.workflow.condition_step import ConditionStep
from sagemaker.workflow.conditions import ConditionGreaterThanOrEqualTo
from sagemaker.workflow.fail_step import FailStep
from sagemaker.workflow.functions import Join, JsonGet
from sagemaker.workflow.parameters import ParameterFloat, ParameterString
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession
from sagemaker.workflow.properties import PropertyFile
from sagemaker.workflow.step_collections import RegisterModel
from sagemaker.workflow.steps import ProcessingStep, TrainingStep

HERE = Path(__file__).resolve().parent
PREPROCESS = HERE / "steps" / "preprocess" / "preprocess.py"
MODEL = HERE / "steps" / "model"
DATA = HERE.parents[1] / "data" / "diamonds.csv.gz"
SKLEARN = "1.2-1"


def get_pipeline(
    region,
    sagemaker_project_arn=None,
    role=None,
    default_bucket=None,
    model_package_group_name="diamonds",
    pipeline_name="diamonds",
    base_job_prefix="diamonds",
):
    """The pipeline, in the form that AWS's project templates have."""
    session = PipelineSession(boto_session=boto3.Session(region_name=region), default_bucket=default_bucket)
    role = role or sagemaker.session.get_execution_role(session)
    machine = ParameterString(name="InstanceType", default_value="ml.m5.large")
    least_r2 = ParameterFloat(name="LeastR2", default_value=0.97)

    cleaner = SKLearnProcessor(
        framework_version=SKLEARN,
        role=role,
        instance_type=machine,
        instance_count=1,
        base_job_name=f"{base_job_prefix}/preprocess",
        sagemaker_session=session,
    )
    preprocess = ProcessingStep(
        name="Preprocess",
        step_args=cleaner.run(
            code=str(PREPROCESS),
            arguments=["--test-size", "0.2", "--seed", "7"],
            inputs=[ProcessingInput(source=str(DATA), destination="/opt/ml/processing/input/raw", input_name="raw")],
            outputs=[
                ProcessingOutput(output_name="train", source="/opt/ml/processing/train"),
                ProcessingOutput(output_name="test", source="/opt/ml/processing/test"),
            ],
        ),
    )

    made = preprocess.properties.ProcessingOutputConfig.Outputs
    estimator = SKLearn(
        entry_point="train.py",
        source_dir=str(MODEL),
        framework_version=SKLEARN,
        role=role,
        instance_type=machine,
        instance_count=1,
        base_job_name=f"{base_job_prefix}/train",
        hyperparameters={"learning_rate": 0.1, "max_iter": 300, "max_leaf_nodes": 31},
        sagemaker_session=session,
    )
    train = TrainingStep(
        name="Train",
        step_args=estimator.fit(
            {"train": TrainingInput(s3_data=made["train"].S3Output.S3Uri, content_type="text/csv")}
        ),
    )

    report = PropertyFile(name="EvaluationReport", output_name="evaluation", path="evaluation.json")
    judge = ScriptProcessor(
        image_uri=sagemaker.image_uris.retrieve("sklearn", region, version=SKLEARN, instance_type="ml.m5.large"),
        command=["python3"],
        role=role,
        instance_type=machine,
        instance_count=1,
        base_job_name=f"{base_job_prefix}/evaluate",
        env={"PYTHONPATH": "/opt/ml/processing/input/model_code"},
        sagemaker_session=session,
    )
    evaluate = ProcessingStep(
        name="Evaluate",
        step_args=judge.run(
            code=str(MODEL / "evaluate.py"),
            inputs=[
                ProcessingInput(
                    source=train.properties.ModelArtifacts.S3ModelArtifacts,
                    destination="/opt/ml/processing/input/model",
                    input_name="model",
                ),
                ProcessingInput(
                    source=made["test"].S3Output.S3Uri,
                    destination="/opt/ml/processing/input/test",
                    input_name="test",
                ),
                ProcessingInput(
                    source=str(MODEL), destination="/opt/ml/processing/input/model_code", input_name="model_code"
                ),
            ],
            outputs=[ProcessingOutput(output_name="evaluation", source="/opt/ml/processing/evaluation")],
        ),
        property_files=[report],
    )

    r2 = JsonGet(step_name=evaluate.name, property_file=report, json_path="regression_metrics.r2.value")
    register = RegisterModel(
        name="Register",
        estimator=estimator,
        model_data=train.properties.ModelArtifacts.S3ModelArtifacts,
        content_types=["text/csv"],
        response_types=["text/csv"],
        inference_instances=["ml.m5.large"],
        transform_instances=["ml.m5.large"],
        model_package_group_name=model_package_group_name,
        approval_status="PendingManualApproval",
    )
    gate = ConditionStep(
        name="GoodEnough",
        conditions=[ConditionGreaterThanOrEqualTo(left=r2, right=least_r2)],
        if_steps=[register],
        else_steps=[FailStep(name="TooWeak", error_message=Join(on=" ", values=["r2 is only", r2]))],
    )
    return Pipeline(
        name=pipeline_name,
        parameters=[machine, least_r2],
        steps=[preprocess, train, evaluate, gate],
        sagemaker_session=session,
    )
