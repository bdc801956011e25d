"""A repository that declares its pipeline with SageMaker's own SDK, pushed to the running service: exactly the steps that a
commit changes run, with all that depends on them, in one selective execution each; its models are approved here and there."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.cli.demo.stage import Stage
from service.cli.demo.story import Edit
from tests.conftest import REQUIRED, absent
from tests.crash.stand import until
from tests.e2e.test_flow import commit, ended, states
from tests.emulators.demo import NAMES, emulated
from tests.emulators.sagemaker.process import SageMaker, require_unshare
from tests.native import executions, ran
from tests.sdks import is_built

SOURCE = Path(__file__).resolve().parents[2] / "pipelines" / "diamonds_sagemaker"
MODEL = "pipelines/diamonds/steps/model"
STEPS = ("Preprocess", "Train", "Evaluate", "GoodEnough", "Register-RegisterModel", "TooWeak")


@dataclass(frozen=True)
class Twin:
    """One form of the reference pipeline: its name in refit.yaml, its file, how it says the learning rate, its steps."""

    name: str
    path: str
    rate: str
    other_rate: str
    steps: tuple[str, ...]


TWINS = {
    "v2": Twin(
        "diamonds", "pipelines/diamonds/pipeline.py", '"learning_rate": 0.1', '"learning_rate": 0.2', STEPS,
    ),
    "v3": Twin(
        "diamonds-v3", "pipelines/diamonds_v3/pipeline.py", '"learning_rate": "0.1"', '"learning_rate": "0.2"',
        tuple(one for one in STEPS if not one.startswith("Register")),
    ),
}  # fmt: skip


@contextmanager
def staged(twin: Twin, tmp_path: Path) -> Iterator[tuple[Stage, SageMaker]]:
    """A stage for one of the twins alone, and the cloud that it runs on."""
    require_unshare()
    source = tmp_path / "source"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    declared = yaml.safe_load((source / "refit.yaml").read_text())
    declared["pipelines"] = {twin.name: declared["pipelines"][twin.name]}
    (source / "refit.yaml").write_text(yaml.safe_dump(declared, sort_keys=False))
    with emulated("sagemaker", tmp_path / "emulated") as environment:
        url = yaml.safe_load(Path(environment["REFIT_BACKENDS"]).read_text())[NAMES["sagemaker"]]["endpoint_url"]
        with Stage(
            source,
            tmp_path / "stage",
            {**environment, "REFIT_REGISTRY_SECONDS": "0.5", "REFIT_COMPILE_UNCONFINED": "true"},
        ) as stage:
            yield stage, SageMaker(url)


def succeeded(execution: dict[str, Any]) -> list[str]:
    """What ran, or needed no run because its condition took the other branch; everything else was reused."""
    found = states(execution)
    assert set(found.values()) <= {"succeeded", "reused"}, found
    return [name for name, state in found.items() if state == "succeeded"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", TWINS)
def test_exactly_what_a_commit_changes_runs(version: str, tmp_path: Path) -> None:
    if version == "v3" and "sagemaker-v3" not in REQUIRED and not is_built("v3"):
        absent("sagemaker-v3", "REFIT_TEST_REQUIRE=sagemaker-v3 installs its gigabyte")
    twin = TWINS[version]
    with staged(twin, tmp_path) as (stage, cloud):
        first = ended(stage, commit(stage, "first"))
        assert succeeded(first) == list(twin.steps)
        (whole,) = executions(cloud)
        assert "SelectiveExecutionConfig" not in whole

        script = ended(stage, commit(stage, "rounder", Edit(f"{MODEL}/evaluate.py", "indent=2", "indent=4")))
        assert succeeded(script) == list(twin.steps[2:])
        rate = ended(stage, commit(stage, "faster", Edit(twin.path, twin.rate, twin.other_rate)))
        assert succeeded(rate) == list(twin.steps[1:])
        reason = next(one for one in rate["steps"] if one["component"] == "Train")["reasons"][0]
        assert (reason["subject"], reason["old"], reason["new"]) == ("hyperparameters.learning_rate", "0.1", "0.2")
        again = ended(stage, commit(stage, "tight", Edit(f"{MODEL}/evaluate.py", "indent=4", "indent=1")))
        assert succeeded(again) == list(twin.steps[2:])
        comment = Edit(f"{MODEL}/train.py", "import argparse", "# why\nimport argparse")
        assert succeeded(ended(stage, commit(stage, "explain", comment))) == []
        assert succeeded(ended(stage, commit(stage, "read me", Edit("README.md", "", "\nmore\n")))) == []

        ran_there = [ran(cloud, one) for one in executions(cloud)]
        asked = (twin.steps, twin.steps[2:], twin.steps[1:], twin.steps[2:])
        assert ran_there == [set(steps) - {"TooWeak"} for steps in asked]
        arns = [one["PipelineExecutionArn"] for one in executions(cloud)]
        sources = [one["SelectiveExecutionConfig"]["SourcePipelineExecutionArn"] for one in executions(cloud)[1:]]  # type: ignore[index]
        assert sources == [arns[0], arns[0], arns[2]], "the last one has the model, and what its own source had"
        (metrics,) = [one["metrics"] for one in stage.get(f"/commits/{first['commit']}")["results"] if one["metrics"]]
        assert metrics["r2"] > 0.97


def act(stage: Stage, token: str, path: str, why: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.post(f"{stage.url}/api/v1/models/{path}", json={"why": why}, headers=headers)
    answer.raise_for_status()
    return dict(answer.json())


@pytest.mark.timeout(600)
def test_a_model_that_the_definition_registers_is_approved_here_and_there(tmp_path: Path) -> None:
    with staged(TWINS["v2"], tmp_path) as (stage, cloud):
        first = ended(stage, commit(stage, "first"))
        model = stage.newest_model()
        assert model is not None
        assert (model["name"], model["version"], model["status"], model["execution"]) == (
            "diamonds", 1, "candidate", first["id"],
        )  # fmt: skip
        assert model["metrics"]["r2"] > 0.97
        graph = stage.lineage(model)
        files = {node["label"] for node in graph["nodes"] if node["kind"] in ("file", "result")}
        assert {"data/diamonds.csv.gz", "diamonds/Train", "diamonds/Preprocess"} <= files

        client = cloud.client()
        (row,) = client.list_model_packages(ModelPackageGroupName="diamonds")["ModelPackageSummaryList"]
        package = row["ModelPackageArn"]
        assert package in model["events"][0]["why"]
        client.update_model_package(
            ModelPackageArn=package, ModelApprovalStatus="Approved", ApprovalDescription="good on every cut"
        )
        approved = until(lambda: now(stage, "approved"), "Refit hears of it")
        assert [(one["status"], one["by"], one["why"]) for one in approved["events"][1:]] == [
            ("approved", "user/tests", "said in the registry: good on every cut")
        ]

        act(stage, stage.token("run"), "diamonds/1/rollback", "customers complain")
        there = until(
            lambda: (
                found
                if (found := client.describe_model_package(ModelPackageName=package))["ModelApprovalStatus"]
                == "Rejected"
                else None
            ),
            "SageMaker hears of it",
        )
        assert there["ApprovalDescription"] == "customers complain (stage, in Refit)"
        assert ended(stage, commit(stage, "read me", Edit("README.md", "", "\nmore\n")))["status"] == "succeeded"
        (still,) = stage.get("/models")["items"]
        assert (still["status"], len(still["events"])) == ("rolled_back", 3), "said once, and registered once"


def now(stage: Stage, status: str) -> dict[str, Any] | None:
    model = stage.newest_model()
    return model if model is not None and model["status"] == status else None


@pytest.mark.timeout(600)
def test_a_service_killed_in_the_middle_follows_the_execution_that_it_began(tmp_path: Path) -> None:
    with staged(TWINS["v2"], tmp_path) as (stage, cloud):
        sha = commit(stage, "first")
        until(lambda: executions(cloud), "it is started", seconds=300)  # after an SDK is installed and has compiled
        stage.stop_service(signal.SIGKILL)
        stage.start_service()
        found = ended(stage, sha)
        assert found["status"] == "succeeded", found["steps"]
        assert [len(step["attempts"]) for step in found["steps"]] == [1] * len(STEPS)
        assert len(executions(cloud)) == 1
