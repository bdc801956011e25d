"""What a push leaves alone gets no execution of its own when there is much of it; what stands for it is on record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import uv

from service.adapters.backends import make_backend
from service.adapters.clock import SystemClock
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.bootstrap.parts import StoredFacts
from service.domain.delivery import Delivery, Push
from service.domain.execution import RERUN, Execution, State
from service.domain.gates import Verdict
from service.domain.lineage import Standing
from service.domain.plan import Result, full_parts
from service.flow.assess import Assessor
from service.flow.schedule import Request, Scheduler
from service.ports.queues import Queue
from service.worker.handlers import Handlers
from tests import records
from tests.flow.conftest import NAME
from tests.origins import Files, Origin

MAIN, SIDE = "refs/heads/main", "refs/heads/side"
ALL = {"a", "b", "c"}


def manifest(**more: str) -> str:
    """Three pipelines of one step each; ``more`` is appended to one of them."""
    text = 'version: 1\ntriggers: {push: ["**"]}\npipelines:\n'
    for name in sorted(ALL):
        text += f"  {name}:\n    components: {{train: {{run: {name}.py, params: [{name}]{more.get(name + '_also', '')}}}}}\n"
        text += more.get(name, "")
    return text


FILES: Files = {
    "refit.yaml": manifest(),
    "params.yaml": "a: 1\nb: 1\nc: 1\n",
    **{f"{name}.py": f"print('{name}')\n" for name in ALL},
    "README.md": "one\n",
}


class Pushed:
    """A repository whose commits are planned, and whose executions end as the test says."""

    def __init__(self, store: Database, origin: Origin, hosts: MirrorHost, reader: IsolatedReader, root: Path) -> None:
        self.store, self.origin, self.hosts = store, origin, hosts
        backends = {"local": make_backend("local", root / "local", uv=uv.find_uv_bin())}
        assess = Assessor(reader, StoredFacts(store), ("local",))
        self.scheduler = Scheduler(store, hosts, assess, backends, SystemClock(), spelled_out=1)
        self.files: dict[str, str | bytes | tuple[str, str]] = dict(FILES)
        self.head = ""

    def commit(self, ref: str = MAIN, **edits: str) -> str:
        self.files |= {name.replace("_", "."): text for name, text in edits.items()}
        self.head = self.origin.commit(self.files, ref, (self.head,) if self.head else ())
        self.hosts.repository(NAME).fetch(self.head)
        return self.head

    def request(self, ref: str = MAIN, **more: object) -> Request:
        commit = self.hosts.repository(NAME).commit(self.head)
        made = Request(NAME, ref, commit, self.scheduler.clock.new_id(), "ada", None, MAIN)
        return replace(made, **more)  # type: ignore[arg-type]

    def plan(self, ref: str = MAIN, **more: object) -> dict[str, Execution]:
        request = self.request(ref, **more)
        prepared = self.scheduler.prepare(request)
        with self.store.begin() as work:
            made = self.scheduler.store_plans(work, request, prepared)
        return {execution.pipeline.name: execution for execution in made}

    def push(self, ref: str = MAIN, **edits: str) -> dict[str, Execution]:
        self.commit(ref, **edits)
        return self.plan(ref)

    def end(self, *executions: Execution, state: State = State.SUCCEEDED) -> None:
        now = self.scheduler.clock.now()
        with self.store.begin() as work:
            for execution in executions:
                (step,) = execution.steps
                result = Result(
                    f"{execution.id}.train.1", "train", step.static_key, step.static_key,
                    full_parts(step.ingredients.parts, step.ingredients.component, {}), {}, execution.id,
                    execution.commit, 1.0,
                )  # fmt: skip
                if state is State.SUCCEEDED:
                    work.lineage.add(
                        replace(
                            records.record(result.id), pipeline=execution.pipeline.name, component="train",
                            execution=execution.id, commit=execution.commit, key=result.key,
                            static_key=result.static_key, parts=result.parts, outputs=(), ref=execution.ref,
                        )
                    )  # fmt: skip
                done = replace(step, state=state, key=result.key, result=result if state is State.SUCCEEDED else None)
                work.executions.save(replace(execution, steps=(done,), ended_at=now))

    def standing(self, ref: str = MAIN) -> Standing:
        with self.store.begin() as work:
            found = work.standings.newest(NAME, ref)
        assert found is not None
        return found


@pytest.fixture
def pushed_to(store: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path) -> Pushed:
    return Pushed(store, pushed, hosts, reader, tmp_path)


@pytest.fixture
def succeeded(pushed_to: Pushed) -> dict[str, Execution]:
    """The first commit, on which everything ran and went well."""
    first = pushed_to.push()
    assert first.keys() == ALL, "nothing is known yet"
    pushed_to.end(*first.values())
    return first


def test_what_a_push_leaves_alone_stands_as_it_did(pushed_to: Pushed, succeeded: dict[str, Execution]) -> None:
    assert pushed_to.push(README_md="two\n") == {}
    standing = pushed_to.standing()
    assert standing.commit == pushed_to.head
    assert standing.executions == {name: one.id for name, one in succeeded.items()}
    assert not standing.fresh
    third = pushed_to.push(params_yaml="a: 2\nb: 1\nc: 1\n")
    assert third.keys() == {"a"}
    assert third["a"].steps[0].decision == "run"
    assert pushed_to.standing().executions == {
        "a": third["a"].id, "b": succeeded["b"].id, "c": succeeded["c"].id,
    }  # fmt: skip
    assert pushed_to.standing().fresh == {"a"}


def test_few_pipelines_are_spelled_out(pushed_to: Pushed, succeeded: dict[str, Execution]) -> None:
    pushed_to.scheduler = replace(pushed_to.scheduler, spelled_out=3)
    second = pushed_to.push(README_md="two\n")
    assert second.keys() == ALL
    assert {step.decision for one in second.values() for step in one.steps} == {"reuse"}


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_what_did_not_succeed_is_planned_again_by_whatever_comes(pushed_to: Pushed, state: State) -> None:
    first = pushed_to.push()
    pushed_to.end(first["b"], first["c"])
    pushed_to.end(first["a"], state=state)
    second = pushed_to.push(README_md="two\n")
    assert second.keys() == {"a"}
    assert second["a"].steps[0].decision == "run"
    third = pushed_to.push(README_md="three\n")
    assert third.keys() == {"a"}, "and again, as long as it has not succeeded"
    pushed_to.end(third["a"])
    assert pushed_to.push(README_md="four\n") == {}
    assert pushed_to.standing().executions["a"] == third["a"].id


def test_what_still_runs_is_planned_and_superseded_as_ever(pushed_to: Pushed) -> None:
    first = pushed_to.push()
    pushed_to.end(first["b"], first["c"])
    second = pushed_to.push(README_md="two\n")
    assert second.keys() == {"a"}
    with pushed_to.store.begin() as work:
        older = work.executions.get(first["a"].id)
    assert older is not None
    assert older.superseded_by == second["a"].id


def test_a_failed_gate_is_no_success(pushed_to: Pushed, succeeded: dict[str, Execution]) -> None:
    gated = pushed_to.push(refit_yaml=manifest(a="    gates: ['rmse < 1']\n"))
    assert gated.keys() == {"a"}, "other gates judge anew, although nothing runs"
    assert gated["a"].steps[0].decision == "reuse"
    with pushed_to.store.begin() as work:
        verdict = Verdict("rmse < 1", False, "rmse = 2 is not < 1", 2.0, 1.0, "")
        work.executions.save(
            replace(
                gated["a"],
                steps=tuple(replace(s, state=State.REUSED, result=s.result) for s in gated["a"].steps),
                verdicts=(verdict,),
                ended_at=pushed_to.scheduler.clock.now(),
            )
        )
    assert pushed_to.push(README_md="two\n").keys() == {"a"}


def test_a_revert_names_what_it_goes_back_to(pushed_to: Pushed, succeeded: dict[str, Execution]) -> None:
    second = pushed_to.push(params_yaml="a: 2\nb: 1\nc: 1\n")
    pushed_to.end(second["a"])
    third = pushed_to.push(params_yaml="a: 1\nb: 1\nc: 1\n")
    assert third.keys() == {"a"}
    step = third["a"].steps[0]
    assert step.decision == "reuse"
    assert succeeded["a"].id in step.reasons[0].detail


def test_a_new_branch_takes_over_from_where_it_left(pushed_to: Pushed, succeeded: dict[str, Execution]) -> None:
    branch = pushed_to.push(SIDE, params_yaml="a: 1\nb: 2\nc: 1\n")
    assert branch.keys() == {"b"}
    standing = pushed_to.standing(SIDE)
    assert standing.executions == {"a": succeeded["a"].id, "b": branch["b"].id, "c": succeeded["c"].id}
    pushed_to.end(branch["b"])
    assert pushed_to.push(SIDE, README_md="two\n") == {}
    assert pushed_to.standing(SIDE).executions == standing.executions
    assert pushed_to.push(params_yaml="a: 1\nb: 3\nc: 1\n").keys() == {"b"}, "main stands for itself"


def test_data_of_unknown_version_is_planned_every_time(pushed_to: Pushed) -> None:
    first = pushed_to.push(refit_yaml=manifest(a_also=", inputs: {raw: 's3://bucket/key'}"))
    pushed_to.end(*first.values())
    assert pushed_to.push(README_md="two\n").keys() == {"a"}


def test_a_pipeline_that_was_removed_stands_no_more(pushed_to: Pushed, succeeded: dict[str, Execution]) -> None:
    gone = pushed_to.push(refit_yaml=manifest().replace("  c:\n", "  d:\n"))
    assert gone.keys() == {"d"}
    assert pushed_to.standing().executions.keys() == {"a", "b", "d"}


def test_part_of_a_commit_says_nothing_about_where_its_ref_stands(
    pushed_to: Pushed, succeeded: dict[str, Execution]
) -> None:
    before = pushed_to.standing()
    assert pushed_to.plan(pipelines=("a",)).keys() == {"a"}
    assert pushed_to.plan(forced=("train",), trigger=f"{RERUN}1", supersedes=False).keys() == ALL
    assert pushed_to.standing() == before


def test_a_head_that_runs_nothing_counts_as_planned(pushed_to: Pushed, succeeded: dict[str, Execution]) -> None:
    """For the delivery that comes twice, for what the next push compares with, and for the sweep."""
    handlers = Handlers(pushed_to.scheduler, {"local": 1}, (), (NAME,))

    def deliver(before: str) -> str:
        event = Push(NAME, MAIN, before, pushed_to.head, False, "ada", "message", "main")
        guid = pushed_to.scheduler.clock.new_id()
        with pushed_to.store.begin() as work:
            work.deliveries.add([Delivery(guid, "push", "", event, records.NOW)])
            (lease,) = work.jobs.claim(Queue.DELIVERIES, 1, 60.0)
        handlers.delivery(lease)
        with pushed_to.store.begin() as work:
            stored = work.deliveries.get(guid)
        assert stored is not None
        return stored.outcome

    first = pushed_to.head
    second = pushed_to.commit(README_md="two\n")
    assert deliver(first) == f"{second[:10]}: 3 pipelines as before"
    assert deliver(first) == f"main is at {second[:10]}, planned already"
    with pushed_to.store.begin() as work:
        assert work.executions.tip(NAME, MAIN) == second
        assert work.executions.tips(NAME) == {MAIN: second}
    pushed_to.commit(params_yaml="a: 2\nb: 1\nc: 1\n")
    assert deliver("0" * 40).startswith(f"{pushed_to.head[:10]}: a → ")
    with pushed_to.store.begin() as work:
        newest = work.executions.planned(NAME, MAIN)
    assert newest is not None
    assert newest.base == second
