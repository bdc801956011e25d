"""A native pipeline is carried out on SageMaker: what changed and all that depends on it, as one selective execution with an
explicit source; else the whole pipeline, and the execution says why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.domain.execution import Execution, State, Status
from tests.emulators.sagemaker.process import BUCKET, SageMaker, reachable
from tests.flow.workshop import Workshop, states
from tests.native import FILES as FIRST
from tests.native import PIPELINE, STEPS, edited, executions, ran, workshop
from tests.origins import Origin

RAN = dict.fromkeys(STEPS, "succeeded")
REUSED = dict.fromkeys(STEPS, "reused")
AFTER_MERGE = {"Merge", "Enough", "Publish", "TooSmall"}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SageMaker]:
    """An emulator of the test's own: all that it holds is the test's."""
    with reachable(tmp_path / "sagemaker") as made:
        yield made


@pytest.fixture
def make(
    cloud: SageMaker, sqlite: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path, compiled: Path
) -> Callable[..., Workshop]:  # fmt: skip
    return lambda **more: workshop(cloud, sqlite, pushed, hosts, reader, tmp_path, compiled, **more)


@pytest.fixture
def shop(make: Callable[..., Workshop]) -> Workshop:
    return make()


def why(execution: Execution, step: str) -> list[tuple[str, str]]:
    return [(reason.kind, reason.detail) for reason in execution.step(step).reasons]


def test_first_all_of_it_then_what_changed_with_what_depends_on_it_then_nothing(
    shop: Workshop, cloud: SageMaker
) -> None:
    head = shop.push(FIRST)
    first = shop.carry_out(head)
    assert (first.status, states(first)) == (Status.SUCCEEDED, RAN)
    assert why(first, "TooSmall")[-1] == ("branch", "it did not run: Enough came out as true")
    (whole,) = executions(cloud)
    assert "SelectiveExecutionConfig" not in whole
    assert ran(cloud, whole) == set(STEPS) - {"TooSmall"}
    assert head[:12] in str(whole["PipelineExecutionDisplayName"])
    assert f"at {head}" in str(whole["PipelineExecutionDescription"])
    with shop.store.begin() as work:
        merged = work.lineage.get(first.step("Merge").result.id)  # type: ignore[union-attr]
    assert merged is not None
    assert dict(merged.metrics) == {"total": 3.0}
    assert merged.outputs[0].uri.startswith(f"s3://{BUCKET}/sums/")
    handle = first.step("Merge").attempts[0].handle
    assert handle is not None
    assert [line.text for line in shop.scheduler.backends["aws"].logs(handle, 0, 10)] == ["total 3"]

    second_head = shop.push(edited("ml/merge.py", "'total', total", "'total is', total"), parents=(head,))
    second = shop.carry_out(second_head, base=head)
    assert states(second) == {name: "succeeded" if name in AFTER_MERGE else "reused" for name in STEPS}
    _, selective = executions(cloud)
    assert selective["SelectiveExecutionConfig"] == {
        "SourcePipelineExecutionArn": whole["PipelineExecutionArn"],
        "SelectedSteps": [{"StepName": name} for name in STEPS if name in AFTER_MERGE],
    }
    assert ran(cloud, selective) == AFTER_MERGE - {"TooSmall"}

    # The newest has what it took of the first one too: an execution's source is the last of a chain.
    third_head = shop.push(
        edited("ml/publish.py", "'yes'", "'true'", edited("ml/merge.py", "'total', total", "'total is', total"))
    )
    third = shop.carry_out(third_head, base=second_head)
    assert [name for name, one in states(third).items() if one == "succeeded"] == ["Enough", "Publish", "TooSmall"]
    assert why(third, "Enough") == [("upstream", "Publish runs, and Enough is the condition that says whether it does")]
    assert (
        executions(cloud)[2]["SelectiveExecutionConfig"]["SourcePipelineExecutionArn"]
        == selective["PipelineExecutionArn"]
    )  # type: ignore[index]

    nothing = shop.carry_out(
        shop.push(
            {
                **edited(
                    "ml/publish.py", "'yes'", "'true'", edited("ml/merge.py", "'total', total", "'total is', total")
                ),
                "README.md": "other",
            }
        )
    )
    assert states(nothing) == REUSED
    back = shop.carry_out(shop.push(FIRST, parents=(head,)))
    assert states(back) == REUSED, "what ran once is known, whatever ran since"
    assert len(executions(cloud)) == 3


def test_results_of_two_executions_have_no_common_source_so_everything_runs_and_says_why(
    shop: Workshop, cloud: SageMaker
) -> None:
    head = shop.push(FIRST)
    shop.carry_out(head)
    left = edited("ml/left.py", "'1'", "'11'")
    shop.carry_out(shop.push(left, "refs/heads/left", (head,)), "refs/heads/left", head)
    shop.carry_out(
        shop.push(edited("ml/right.py", "'2'", "'22'"), "refs/heads/right", (head,)), "refs/heads/right", head
    )
    both = shop.carry_out(shop.push(edited("ml/right.py", "'2'", "'22'", left)), base=head)
    assert states(both) == RAN
    last = executions(cloud)[-1]
    assert "SelectiveExecutionConfig" not in last
    assert ran(cloud, last) == set(STEPS) - {"TooSmall"}
    for name in ("Left", "Right"):
        ((kind, detail),) = why(both, name)
        assert kind == "whole"
        assert "the whole pipeline runs: Merge needs" in detail
        assert "with the outputs that are wanted" in detail
    again = shop.carry_out(
        shop.push({**edited("ml/merge.py", "'total', total", "'t', total", edited("ml/right.py", "'2'", "'22'", left))})
    )
    assert states(again)["Left"] == "reused", "that execution has both"


def test_a_gate_that_refuses_ends_the_execution_and_nothing_is_repeated(shop: Workshop, cloud: SageMaker) -> None:
    head = shop.push(FIRST)
    shop.carry_out(head)
    failed = shop.carry_out(shop.push(edited(PIPELINE, "default_value=3.0", "default_value=4.0"), parents=(head,)))
    assert (failed.status, states(failed)) == (
        Status.FAILED,
        {**REUSED, "Enough": "succeeded", "Publish": "succeeded", "TooSmall": "failed"},
    )
    assert why(failed, "Publish")[-1] == ("branch", "it did not run: Enough came out as false")
    assert failed.step("TooSmall").attempts[0].error == "too small"
    assert len(executions(cloud)) == 2


def test_a_failure_has_its_traceback_and_what_it_kept_from_running_runs_with_the_repair(
    shop: Workshop, cloud: SageMaker
) -> None:
    broken = shop.push(edited("ml/merge.py", "time.sleep(0)", "raise ValueError('no sums today')"))
    failed = shop.carry_out(broken)
    assert states(failed) == {
        "Left": "succeeded", "Right": "succeeded", "Merge": "failed",
        "Enough": "blocked", "Publish": "blocked", "TooSmall": "blocked",
    }  # fmt: skip
    error = failed.step("Merge").attempts[0].error.splitlines()
    assert (error[0].partition(":")[0], error[-1]) == ("AlgorithmError", "ValueError: no sums today")
    mended = shop.carry_out(shop.push(FIRST, parents=(broken,)), base=broken)
    assert states(mended) == {**RAN, "Left": "reused", "Right": "reused"}
    first, second = executions(cloud)
    assert first["PipelineExecutionStatus"] == "Failed"
    assert second["SelectiveExecutionConfig"]["SourcePipelineExecutionArn"] == first["PipelineExecutionArn"]  # type: ignore[index]


def test_a_stopped_execution_is_no_source(shop: Workshop, cloud: SageMaker) -> None:
    slow = shop.begin(shop.push(edited("ml/merge.py", "time.sleep(0)", "time.sleep(60)")))
    while (
        shop.look(slow.id).step("Left").state is not State.SUCCEEDED
        or shop.look(slow.id).step("Right").state is not State.SUCCEEDED
    ):
        shop.drive()
    with shop.store.begin() as work:
        work.executions.mark(slow.id, cancelled="not today")
    assert shop.finish(slow.id).status is Status.CANCELLED
    found = shop.carry_out(shop.push(FIRST))
    assert states(found) == RAN
    ((kind, detail),) = why(found, "Left")
    assert (kind, detail.rpartition(" is ")[2]) == (
        "whole",
        "Stopped, and only one that succeeded or failed can be a source",
    )
    assert [one["PipelineExecutionStatus"] for one in executions(cloud)] == ["Stopped", "Succeeded"]


def test_what_no_longer_lies_where_it_was_made_is_made_again(shop: Workshop, cloud: SageMaker) -> None:
    """A definition may write to the same place each time: what lies there then is another step's."""
    head = shop.push(FIRST)
    first = shop.carry_out(head)
    with shop.store.begin() as work:
        left = work.lineage.get(first.step("Left").result.id)  # type: ignore[union-attr]
    assert left is not None
    key = left.outputs[0].uri.removeprefix(f"s3://{BUCKET}/")
    cloud.client("s3").put_object(Bucket=BUCKET, Key=f"{key}/n", Body=b"7")
    again = shop.carry_out(shop.push({**FIRST, "README.md": "other"}), base=head)
    assert [kind for kind, _ in why(again, "Left")] == ["lost"]
    assert states(again) == {**RAN, "Right": "reused"}


def test_the_same_commit_from_two_places_is_one_version(make: Callable[..., Workshop], cloud: SageMaker) -> None:
    one = make()
    head = one.push(FIRST)
    first = one.carry_out(head)
    again = one.scheduler.rerun(first.id, "ada", ("Left",))
    assert states(one.finish(again.id)) == {**RAN, "Right": "reused"}, (
        "asked for, so what reads it is not the same either"
    )
    (name,) = [row["PipelineName"] for row in cloud.client().list_pipelines()["PipelineSummaries"]]
    versions = cloud.client().list_pipeline_versions(PipelineName=name)["PipelineVersionSummaries"]
    assert (name[:6], len(versions), len(executions(cloud))) == ("refit-", 1, 2)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (edited(PIPELINE, '"ml.m5.large"', '"ml.p4d.24xlarge"'), "does not offer; it has ml.m5.large"),
        (edited(PIPELINE, "role=role", 'role="arn:aws:iam::123456789012:role/admin"'), "wants the role"),
    ],
)  # fmt: skip
def test_what_the_operator_does_not_permit_is_not_started(
    shop: Workshop, cloud: SageMaker, files: dict[str, str], problem: str
) -> None:
    found = shop.carry_out(shop.push(files))
    assert found.status is Status.FAILED
    assert problem in found.step("Left").attempts[0].error
    assert executions(cloud) == []


def test_a_forks_pull_request_is_planned_and_not_run(shop: Workshop, cloud: SageMaker) -> None:
    head = shop.push(FIRST)
    shop.carry_out(head)
    fork = shop.push(edited("ml/left.py", "'1'", "'100'"), "refs/pull/1/head", (head,))
    found = shop.carry_out(fork, "refs/pull/1/head", head, manifest_at=head, pull_request=1)
    assert found.status is Status.FAILED
    assert "a fork's pull request is planned and not run" in found.step("Left").attempts[0].error
    assert len(executions(cloud)) == 1
