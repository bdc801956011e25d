"""Owns a composed submission → a pipeline definition, with the real SDK 2 in the SDK's own environment; refuses S3, credentials
and anything of the service: it is started as a script, and everything that it may know is in the request.

For each line of its input, the path of a request, it writes the answer beside it (``.answer``) and says so on the file
descriptor that its argument names: the SDK itself writes to the standard output.
"""

import json
import os
import signal
import sys
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from sagemaker import image_uris, utils
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.model import Model
from sagemaker.processing import ProcessingInput, ProcessingOutput, ScriptProcessor
from sagemaker.sklearn.processing import SKLearnProcessor
from sagemaker.workflow.condition_step import ConditionStep
from sagemaker.workflow.conditions import (
    ConditionGreaterThan,
    ConditionGreaterThanOrEqualTo,
    ConditionLessThan,
    ConditionLessThanOrEqualTo,
)
from sagemaker.workflow.functions import Join, JsonGet
from sagemaker.workflow.parameters import ParameterString
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession
from sagemaker.workflow.properties import PropertyFile
from sagemaker.workflow.step_collections import RegisterModel
from sagemaker.workflow.steps import ProcessingStep, TrainingStep

_CONDITIONS = {
    "<": ConditionLessThan,
    "<=": ConditionLessThanOrEqualTo,
    ">": ConditionGreaterThan,
    ">=": ConditionGreaterThanOrEqualTo,
}
_IDLE_SECONDS = 300
_FRAMEWORK = "1.4-2"
"""The scikit-learn image where the operator names none."""


# Each look at the SDK's configuration, a dozen for a step, validates it against its whole schema for a tenth of a second:
# the file is Refit's own, and was validated when it was loaded.
utils.validate_sagemaker_config = lambda *_: None


@cache
def _session(region: str, bucket: str) -> PipelineSession:
    """Making one takes two seconds; it keeps nothing of what it compiled."""
    boto = boto3.Session(region_name=region, aws_access_key_id="none", aws_secret_access_key="none")
    return PipelineSession(boto_session=boto, default_bucket=bucket)


class Composition:
    """One pipeline being put together, steps in topological order."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.session = _session(request["region"], request["bucket"])
        self.outputs = ParameterString(name=request["parameter"])
        self.steps: dict[str, Any] = {}
        self.kinds = {step["name"]: step["kind"] for step in request["steps"]}
        self.image = request["image"] or image_uris.retrieve(
            "sklearn", request["region"], version=_FRAMEWORK, instance_type=request["instance"]
        )

    def definition(self) -> str:
        for step in self.request["steps"]:
            made = self._training(step) if step["kind"] == "training" else self._processing(step)
            self.steps[step["name"]] = made
        steps = list(self.steps.values())
        if self.request["register"]:
            steps.append(self._gated(self.request["register"]))
        pipeline = Pipeline(self.request["pipeline"], [self.outputs], steps=steps, sagemaker_session=self.session)
        return str(pipeline.definition())

    def _processing(self, step: dict[str, Any]) -> ProcessingStep:
        shared = {
            "role": self.request["role"],
            "instance_type": step["instance"],
            "instance_count": 1,
            "volume_size_in_gb": self.request["volume"],
            "max_runtime_in_seconds": step["seconds"],
            "sagemaker_session": self.session,
        }
        processor = (
            ScriptProcessor(image_uri=self.image, command=["python3"], **shared)
            if self.request["image"]
            else SKLearnProcessor(_FRAMEWORK, **shared)
        )
        arguments = processor.run(
            code=step["code"],
            inputs=[
                ProcessingInput(
                    source=self._source(one), destination=f"/opt/ml/{one['folder']}", input_name=one["name"]
                )
                for one in step["inputs"]
            ],
            outputs=[
                ProcessingOutput(
                    output_name=one["name"],
                    source=f"/opt/ml/{one['folder']}",
                    destination=Join(on="/", values=[self.outputs, one["key"]]),
                )
                for one in step["outputs"]
            ],
        )
        return ProcessingStep(
            step["name"], step_args=arguments, display_name=step["title"], property_files=self._property_files(step)
        )

    def _property_files(self, step: dict[str, Any]) -> list[PropertyFile]:
        file = step["property_file"]
        return [PropertyFile(name=file["name"], output_name=file["output"], path=file["path"])] if file else []

    def _training(self, step: dict[str, Any]) -> TrainingStep:
        estimator = Estimator(
            self.image,
            role=self.request["role"],
            instance_type=step["instance"],
            instance_count=1,
            volume_size=self.request["volume"],
            max_run=step["seconds"],
            sagemaker_session=self.session,
            output_path=Join(on="/", values=[self.outputs, step["key"]]),
            hyperparameters=step["hyperparameters"],
            disable_profiler=True,
            debugger_hook_config=False,
        )
        channels = {one["name"]: TrainingInput(self._source(one)) for one in step["inputs"]}
        return TrainingStep(step["name"], step_args=estimator.fit(channels), display_name=step["title"])

    def _source(self, one: dict[str, Any]) -> Any:
        """An S3 URI, or what another step of this pipeline will have made."""
        if "uri" in one:
            return one["uri"]
        properties = self.steps[one["step"]].properties
        if self.kinds[one["step"]] == "training":
            return properties.ModelArtifacts.S3ModelArtifacts
        return properties.ProcessingOutputConfig.Outputs[one["output"]].S3Output.S3Uri

    def _gated(self, register: dict[str, Any]) -> ConditionStep:
        """What Refit's gates say again, before SageMaker's registry takes the model; nothing fails if they do not hold."""
        model = Model(
            image_uri=self.image,
            model_data=self._source(register["model"]),
            role=self.request["role"],
            sagemaker_session=self.session,
        )
        step = RegisterModel(
            name=register["name"],
            model=model,
            content_types=["text/csv"],
            response_types=["text/csv"],
            inference_instances=[self.request["instance"]],
            transform_instances=[self.request["instance"]],
            model_package_group_name=register["group"],
            approval_status="PendingManualApproval",
            description=register["description"],
        )
        conditions = [
            _CONDITIONS[gate["operator"]](
                left=JsonGet(
                    step_name=register["measured_by"], property_file=register["property_file"], json_path=gate["metric"]
                ),
                right=gate["value"],
            )
            for gate in register["gates"]
        ]
        return ConditionStep(name=register["condition"], conditions=conditions, if_steps=[step], else_steps=[])


def answer(path: Path) -> None:
    """Compile one request; what goes wrong is the answer then."""
    try:
        said = {"definition": Composition(json.loads(path.read_bytes())).definition()}
    except Exception as error:  # whatever the SDK raises is for the service to tell
        said = {"error": f"{type(error).__name__}: {error}"[:2_000]}
    making = path.with_suffix(".making")
    making.write_text(json.dumps(said), encoding="ascii")
    os.replace(making, path.with_suffix(".answer"))


def main() -> None:
    with open(int(sys.argv[1]), "w", encoding="ascii", buffering=1) as done:
        print("ready", file=done)
        signal.alarm(_IDLE_SECONDS)
        for line in sys.stdin:
            signal.alarm(0)
            answer(Path(line.rstrip("\n")))
            print("done", file=done)
            signal.alarm(_IDLE_SECONDS)  # which ends this process: the SDK takes 200 MB, and the service starts another


if __name__ == "__main__":
    main()
