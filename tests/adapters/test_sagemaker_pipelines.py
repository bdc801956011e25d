"""A submission is one real pipeline: jobs of the right kinds, the same definition each time, one execution however often it is
asked for, and failures of AWS that become a retry or a clear sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from service.adapters.backends.sagemaker.backend import SageMakerBackend
from service.adapters.backends.sagemaker.compiler import Compiler
from service.domain.errors import Refused, Retry
from service.domain.execution import Seen
from service.domain.ingredients import Ingredients
from service.domain.pipeline import Limits
from tests.backends import Files, local
from tests.emulators.sagemaker.process import SageMaker
from tests.sdks import sdks
from tests.three_steps import COMMIT, FILES, component, ended, made_alone, outputs, works

ROOT = Path(__file__).resolve().parents[2]
_numbers = count(1)


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compiler]:
    made = Compiler(sdks(), tmp_path_factory.mktemp("compiler"))
    yield made
    made.close()


@pytest.fixture
def backend(cloud: SageMaker, compiler: Compiler, tmp_path: Path) -> SageMakerBackend:
    return SageMakerBackend(cloud.declared(), tmp_path, compiler=compiler, poll=(0.1, 0.3))


def pipeline_of(handle: str) -> str:
    return handle.partition(":pipeline/")[2].partition("/")[0]


def definition(cloud: SageMaker, handle: str) -> dict[str, Any]:
    found = cloud.client().describe_pipeline_definition_for_execution(PipelineExecutionArn=handle.partition("#")[0])
    return dict(json.loads(found["PipelineDefinition"]))


def executions(cloud: SageMaker, handle: str) -> list[dict[str, Any]]:
    return list(cloud.client().list_pipeline_executions(PipelineName=pipeline_of(handle))["PipelineExecutionSummaries"])


# what it becomes -------------------------------------------------------------------------------------------------------


def test_three_steps_are_one_pipeline_with_the_digests_of_the_local_runner(
    cloud: SageMaker, backend: SageMakerBackend, name: str, tmp_path: Path
) -> None:
    handles = backend.submit(works(name, "preprocess", "train", "evaluate"))
    seen = ended(backend, handles)
    assert [one.seen for one in seen] == [Seen.SUCCEEDED] * 3, seen
    assert len({handle.partition("#")[0] for handle in handles}) == 1
    assert dict(seen[2].metrics) == {"r2": 0.8}

    known = made_alone(local(tmp_path / "local"), works(name, "preprocess", "train", "evaluate"))
    assert {key: (one.digest, one.size) for key, one in outputs(seen).items()} == {
        key: (one.digest, one.size) for key, one in known.items()
    }

    steps = {step["Name"]: step for step in definition(cloud, handles[0])["Steps"]}
    assert {key: step["Type"] for key, step in steps.items()} == {
        "preprocess": "Processing", "train": "Training", "evaluate": "Processing", "refit-gates": "Condition",
    }  # fmt: skip
    assert steps["train"]["Arguments"]["HyperParameters"]["rate"] == "0.1"
    (file,) = steps["evaluate"]["PropertyFiles"]
    assert file["OutputName"] == "metrics"
    (condition,) = steps["refit-gates"]["Arguments"]["Conditions"]
    assert (condition["Type"], condition["RightValue"]) == ("GreaterThanOrEqualTo", 0.5)
    (package,) = cloud.client().list_model_packages(ModelPackageGroupName="price")["ModelPackageSummaryList"]
    assert package["ModelApprovalStatus"] == "PendingManualApproval"

    (execution,) = executions(cloud, handles[0])
    assert COMMIT[:12] in execution["PipelineExecutionDisplayName"]
    assert len(execution["PipelineExecutionDisplayName"]) <= 82
    assert COMMIT in execution["PipelineExecutionDescription"]
    described = cloud.client().describe_pipeline(PipelineName=pipeline_of(handles[0]))
    tags = {one["Key"]: one["Value"] for one in cloud.client().list_tags(ResourceArn=described["PipelineArn"])["Tags"]}
    assert tags["refit:repository"] == "acme/diamonds"


def test_a_gate_that_does_not_hold_registers_nothing_and_fails_nothing(
    cloud: SageMaker, backend: SageMakerBackend, name: str
) -> None:
    before = len(cloud.client().list_model_packages()["ModelPackageSummaryList"])
    seen = ended(backend, backend.submit(works(name, "preprocess", "train", "evaluate", gates=["r2 >= 0.9"])))
    assert [one.seen for one in seen] == [Seen.SUCCEEDED] * 3
    assert len(cloud.client().list_model_packages()["ModelPackageSummaryList"]) == before


@pytest.mark.parametrize("gates", [["r2 >= 0.5", "r2 >= baseline * 0.9"], []])
def test_what_only_refit_can_judge_registers_nothing(
    cloud: SageMaker, backend: SageMakerBackend, name: str, gates: list[str]
) -> None:
    handles = backend.submit(works(name, "preprocess", "train", "evaluate", gates=gates))
    assert [step["Type"] for step in definition(cloud, handles[0])["Steps"]] == ["Processing", "Training", "Processing"]
    assert [one.seen for one in ended(backend, handles)] == [Seen.SUCCEEDED] * 3


def test_the_same_steps_are_the_same_bytes_and_one_version(
    cloud: SageMaker, compiler: Compiler, name: str, tmp_path: Path
) -> None:
    first = SageMakerBackend(cloud.declared(), tmp_path / "one", compiler=compiler, poll=(0.1, 0.3))
    other = Compiler(sdks(), tmp_path / "compiler")
    second = SageMakerBackend(cloud.declared(), tmp_path / "another/place", compiler=other, poll=(0.1, 0.3))
    try:
        handles = [one.submit(works(name, "preprocess", "train", "evaluate"))[0] for one in (first, second)]
    finally:
        other.close()
    client = cloud.client()
    texts = {
        client.describe_pipeline_definition_for_execution(PipelineExecutionArn=one.partition("#")[0])[
            "PipelineDefinition"
        ]
        for one in handles
    }
    assert len(texts) == 1
    assert len(executions(cloud, handles[0])) == 2
    assert len(client.list_pipeline_versions(PipelineName=pipeline_of(handles[0]))["PipelineVersionSummaries"]) == 1
    third = first.submit(works(name, "preprocess", "train", "evaluate", rate="0.2"))[0]
    assert len(client.list_pipeline_versions(PipelineName=pipeline_of(third))["PipelineVersionSummaries"]) == 2


def test_reused_outputs_are_injected_from_whatever_execution_made_them(
    cloud: SageMaker, backend: SageMakerBackend, name: str
) -> None:
    made = outputs(ended(backend, backend.submit(works(name, "preprocess", "train"))))
    (alone,) = backend.submit(works(f"{name}-elsewhere", "evaluate", made=made))
    assert [step["Name"] for step in definition(cloud, alone)["Steps"]] == ["evaluate", "refit-gates"]
    (seen,) = ended(backend, [alone])
    assert (seen.seen, dict(seen.metrics)) == (Seen.SUCCEEDED, {"r2": 0.8}), seen.error
    assert {one.name: one.digest for one in seen.inputs} == {
        "model": made["model"].digest,
        "rows": made["rows"].digest,
    }
    (again,) = ended(backend, backend.submit(works(name, "train", made=made, rate="0.1")))
    assert again.outputs[0].digest == made["model"].digest, "an archive's times are no content"


def test_what_its_failed_sibling_kept_from_beginning_is_skipped(backend: SageMakerBackend, name: str) -> None:
    broken = {"preprocess.py": "raise SystemExit('no data today')"}
    seen = ended(backend, backend.submit(works(name, "preprocess", "train", "evaluate", files=broken)))
    assert [one.seen for one in seen] == [Seen.FAILED, Seen.SKIPPED, Seen.SKIPPED]
    assert "no data today" in seen[0].error


def test_a_training_step_that_fails_says_why(backend: SageMakerBackend, name: str) -> None:
    broken = {"train.py": "def deep():\n    1 / 0\ndeep()\n"}
    handles = backend.submit(works(name, "preprocess", "train", files=broken))
    seen = ended(backend, handles)[1]
    assert (seen.seen, seen.exit_code) == (Seen.FAILED, 1)
    assert seen.error.splitlines()[0] == "the step ended with exit code 1"
    assert seen.error.splitlines()[-1] == "ZeroDivisionError: division by zero"


# one execution for one submission --------------------------------------------------------------------------------------


def test_an_answer_that_was_lost_starts_no_second_execution(
    cloud: SageMaker, backend: SageMakerBackend, name: str
) -> None:
    """Would two executions come of it if the token were not given: the emulator starts one for each call without."""
    given = works(name, "preprocess")
    cloud.fault("StartPipelineExecution", "ServiceUnavailable", times=2, after=True)
    with pytest.raises(Retry, match="StartPipelineExecution"):
        backend.submit(given)
    (handle,) = backend.submit(given)
    assert len(executions(cloud, handle)) == 1
    assert ended(backend, [handle])[0].seen is Seen.SUCCEEDED


def test_a_token_that_is_taken_by_another_version_is_adopted(
    cloud: SageMaker, backend: SageMakerBackend, name: str
) -> None:
    """As after an upgrade of Refit between the start and the restart: the definition is no longer the same."""
    given = works(name, "preprocess")
    (handle,) = backend.submit(given)
    changed = [replace(one, source=Files({**FILES, "other.py": ""})) for one in given]
    assert backend.submit(changed) == [handle]
    assert len(executions(cloud, handle)) == 1


CHILD = """
import sys
from pathlib import Path
from service.adapters.backends.sagemaker.backend import SageMakerBackend
from service.adapters.backends.sagemaker.compiler import Compiler
from service.adapters.backends.sagemaker.pipelines import Pipelines
from tests.dying import die, die_at
from tests.three_steps import works
from tests.emulators.sagemaker.process import SageMaker
from tests.sdks import sdks

url, folder, name, submission, point = sys.argv[1:]
backend = SageMakerBackend(SageMaker(url).declared(), Path(folder), compiler=Compiler(sdks(), Path(folder) / "compiler"))
if point != "started":
    die_at(point, {"compiled": (Pipelines, "start")}, {"pinned": (Pipelines, "_pinned")})
backend.submit(works(name, "preprocess", "train", submission=submission))
die()
"""


@pytest.mark.parametrize("point", ["compiled", "pinned", "started"])
def test_killed_anywhere_it_is_one_execution(
    cloud: SageMaker, backend: SageMakerBackend, name: str, tmp_path: Path, point: str
) -> None:
    submission = f"killed-{point}.preprocess.1"
    command = [sys.executable, "-c", CHILD, cloud.url, str(tmp_path / "child"), name, submission, point]
    died = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    handles = backend.submit(works(name, "preprocess", "train", submission=submission))
    assert [one.seen for one in ended(backend, handles)] == [Seen.SUCCEEDED] * 2
    assert len(executions(cloud, handles[0])) == 1
    client = cloud.client()
    assert len(client.list_pipeline_versions(PipelineName=pipeline_of(handles[0]))["PipelineVersionSummaries"]) == 1


# what AWS fails at -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "error", "raised", "words"),
    [
        ("StartPipelineExecution", "ThrottlingException", Retry, "patience"),
        ("DescribePipeline", "ServiceUnavailable", Retry, "AWS failed"),
        ("StartPipelineExecution", "ExpiredTokenException", Retry, "expired or wrong"),
        ("UpdatePipeline", "AccessDeniedException", Refused, "does not allow UpdatePipeline"),
        ("StartPipelineExecution", "ResourceLimitExceeded", Refused, "ask AWS to raise it"),
    ],
)
def test_a_submission_that_aws_does_not_take(
    cloud: SageMaker,
    backend: SageMakerBackend,
    name: str,
    operation: str,
    error: str,
    raised: type[Exception],
    words: str,
) -> None:
    given = works(name, "preprocess")
    cloud.fault(operation, error, times=2 if raised is Retry else 1)
    with pytest.raises(raised, match=words):
        backend.submit(given)
    cloud.clear()
    assert ended(backend, backend.submit(given))[0].seen is Seen.SUCCEEDED, "and the token is still good"


def test_an_upload_that_aws_does_not_take(cloud: SageMaker, compiler: Compiler, name: str, tmp_path: Path) -> None:
    """A file's upload fails in an exception of its own."""
    backend = SageMakerBackend(cloud.declared(bucket="there-is-none"), tmp_path, compiler=compiler)
    with pytest.raises(Refused, match=r"uploading the bundle: AWS refuses PutObject: NoSuchBucket: .* does not exist"):
        backend.submit(works(name, "preprocess"))


@pytest.mark.parametrize("error", ["ThrottlingException", "AccessDeniedException", "ExpiredTokenException"])
def test_what_runs_is_not_given_up_because_nobody_can_look(
    cloud: SageMaker, backend: SageMakerBackend, name: str, error: str
) -> None:
    (handle,) = backend.submit(works(name, "preprocess"))
    cloud.fault("ListPipelineExecutionSteps", error, times=2)
    with pytest.raises(Retry):
        backend.observe(handle)
    cloud.clear()
    assert ended(backend, [handle])[0].seen is Seen.SUCCEEDED


def test_all_steps_of_an_execution_share_a_look(
    cloud: SageMaker, compiler: Compiler, name: str, tmp_path: Path
) -> None:
    slow = SageMakerBackend(cloud.declared(), tmp_path, compiler=compiler, poll=(30.0, 30.0))
    handles = slow.submit(works(name, "preprocess", "train", "evaluate"))
    before = cloud.calls().get("ListPipelineExecutionSteps", 0)
    for _ in range(50):
        for handle in handles:
            slow.observe(handle)
    assert cloud.calls()["ListPipelineExecutionSteps"] - before <= 2


def test_only_what_the_operator_offers(cloud: SageMaker, compiler: Compiler, name: str, tmp_path: Path) -> None:
    (given,) = works(name, "preprocess")
    declared = cloud.declared(repositories=("acme/*",), instances=("ml.c5.xlarge",))
    backend = SageMakerBackend(declared, tmp_path, compiler=compiler)
    big = component("preprocess", limits=Limits(instance="ml.p4d.24xlarge"))
    with pytest.raises(Refused, match=r"does not offer the instance ml.p4d.24xlarge; it has ml.c5.xlarge, ml.m5.large"):
        backend.submit([replace(given, ingredients=Ingredients(big, ()))])
    with pytest.raises(Refused, match="has not opened this backend to evil/diamonds"):
        backend.submit([replace(given, repository="evil/diamonds")])
