"""The store port, continued: many executions at once, and what stands for each pipeline at a commit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from service.adapters.database.unit_of_work import Database
from service.domain.execution import Execution, State
from service.domain.lineage import Standing
from service.ports.queues import Queue
from service.ports.store import AlreadyThere, ExecutionFilter
from tests import records

MAIN = "refs/heads/main"
_OTHER = replace(records.PIPELINE, name="other")


def other(**changes: object) -> Execution:
    return replace(records.execution(), pipeline=_OTHER, **changes)  # type: ignore[arg-type]


def standing(id: str, **changes: object) -> Standing:
    made = Standing(
        id, "acme/diamonds", MAIN, records.SHA, f"t-{id}", records.NOW, {"p": "e1"}, frozenset(), {"p": "m"}
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_many_executions_are_stored_whole_and_due(store: Database) -> None:
    made = [records.execution(), records.execution(ref=records.HOSTILE), other()]
    with store.begin() as work:
        assert work.executions.add_all(made) == {}
    with store.begin() as work:
        assert work.executions.get(made[0].id) == made[0]
        assert work.executions.get(made[2].id) == made[2]
        assert {lease.id for lease in work.jobs.claim(Queue.EXECUTIONS, 10, 30.0)} == {one.id for one in made}


def test_those_that_are_there_already_are_told_and_kept(store: Database) -> None:
    first, new = records.execution(), records.execution()
    with store.begin() as work:
        work.executions.add(first)
    again = replace(first, id="zz-again", message="another")
    with store.begin() as work:
        assert work.executions.add_all([again, new]) == {"zz-again": first.id}
        assert work.executions.add_all([]) == {}
        with pytest.raises(AlreadyThere, match=first.id):
            work.executions.add(again)
    with store.begin() as work:
        assert work.executions.get("zz-again") is None
        assert work.executions.get(first.id) == first
        assert {one.id for one in work.executions.page(ExecutionFilter()).items} == {first.id, new.id}


def test_only_live_ones_of_the_same_ref_and_pipeline_are_superseded(store: Database) -> None:
    older, ended = records.execution(), records.ended(records.execution(), State.SUCCEEDED, State.SUCCEEDED)
    elsewhere = [records.execution(ref="refs/heads/side"), records.execution(repository="acme/else"), other()]
    newer = [records.execution(), other(ref="refs/heads/side")]
    with store.begin() as work:
        work.executions.add_all([older, ended, *elsewhere])
        work.executions.save(ended)
        work.executions.add_all(newer)
        work.executions.supersede(newer)
    with store.begin() as work:
        found = {one.id: one.superseded_by for one in work.executions.page(ExecutionFilter()).items}
    assert {id: by for id, by in found.items() if by} == {older.id: newer[0].id}


def test_an_execution_has_succeeded_once_it_ended_well(store: Database) -> None:
    good = records.ended(records.execution(), State.SUCCEEDED, State.REUSED)
    bad = records.ended(records.execution(), State.SUCCEEDED, State.FAILED)
    running = records.execution()
    with store.begin() as work:
        work.executions.add_all([good, bad, running])
        for one in (good, bad):
            work.executions.save(one)
    with store.begin() as work:
        assert work.executions.succeeded([good.id, bad.id, running.id, "unknown"]) == {good.id}
        assert work.executions.succeeded([]) == frozenset()


def test_the_newest_standing_of_a_ref(store: Database) -> None:
    with store.begin() as work:
        assert work.standings.newest("acme/diamonds", MAIN) is None
        first = standing("s1", executions={"p": "e1", "q": "e2"}, fresh=frozenset({"q"}), marks={"p": "m", "q": "n"})
        work.standings.add(first)
        work.standings.add(standing("s9", ref="refs/heads/side"))
        work.standings.add(standing("s8", repository="acme/else"))
    with store.begin() as work:
        assert work.standings.newest("acme/diamonds", MAIN) == first
        second = standing("s2", commit="c" * 40)
        work.standings.add(second)
        work.standings.add(replace(second, id="s3", executions={}))
    with store.begin() as work:
        assert work.standings.newest("acme/diamonds", MAIN) == second, "a planning that is repeated changes nothing"
        assert work.standings.newest("acme/diamonds", "refs/heads/side") == standing("s9", ref="refs/heads/side")


def test_what_stood_at_a_commit_is_kept_and_its_marks_are_not(store: Database) -> None:
    with store.begin() as work:
        work.standings.add(standing("s1"))
        work.standings.add(standing("s2", commit="c" * 40))
        work.standings.add(standing("s3", ref=records.HOSTILE))
    with store.begin() as work:
        newer, older = work.standings.of_commit(records.SHA)
        assert (newer.id, newer.marks) == ("s3", {"p": "m"})
        assert older == standing("s1", marks={})
        assert work.standings.of_commit("d" * 40) == []


def test_a_planning_without_executions_is_the_tip(store: Database) -> None:
    first = records.execution("a1")
    with store.begin() as work:
        assert work.executions.tip("acme/diamonds", MAIN) == ""
        work.executions.add(first)
        assert work.executions.tip("acme/diamonds", MAIN) == records.SHA
        work.standings.add(standing("a2", commit="c" * 40))
        work.executions.add(records.execution("a3", trigger="rerun-1", commit="d" * 40))
        assert work.executions.tip("acme/diamonds", MAIN) == "c" * 40
        assert work.executions.tips("acme/diamonds") == {MAIN: "c" * 40}
        assert work.executions.newest() == "a3"
        work.standings.add(standing("a4", ref="refs/heads/side"))
        assert work.executions.newest() == "a4"
        work.executions.add(records.execution("a5", commit="e" * 40))
        assert work.executions.tip("acme/diamonds", MAIN) == "e" * 40
        assert work.executions.tips("acme/diamonds") == {MAIN: "e" * 40, "refs/heads/side": records.SHA}


def test_the_baselines_of_many_pipelines(store: Database) -> None:
    later = records.NOW + timedelta(hours=1)
    with store.begin() as work:
        work.lineage.add(records.record("r1", ended_at=records.NOW))
        work.lineage.add(records.record("r2", pipeline="other", ref="refs/heads/side", ended_at=records.NOW))
        work.lineage.add(records.record("r3", pipeline="other", repository="acme/else", ended_at=later))
        work.lineage.promote(records.promotion("r1", ref="refs/heads/new", at=later))
    components = {"diamonds": ["preprocess", "train"], "other": ["preprocess"], "third": ["preprocess"]}
    with store.begin() as work:
        found = work.lineage.baselines("acme/diamonds", components, [MAIN])
        told = {pipeline: {name: one.id for name, one in results.items()} for pipeline, results in found.items()}
        assert told == {"diamonds": {"preprocess": "r1"}, "other": {"preprocess": "r2"}}
        assert work.lineage.baselines("acme/diamonds", {}, [MAIN]) == {}


def test_what_executions_made_or_took_over(store: Database) -> None:
    with store.begin() as work:
        for n in range(1, 5):
            work.lineage.add(records.record(f"r{n}", execution=f"e{n}"))
        work.lineage.promote(records.promotion("r3", execution="e1"))
    with store.begin() as work:
        assert [one.id for one in work.lineage.of_executions(["e1", "e2"], 10)] == ["r3", "r2", "r1"]
        assert [one.id for one in work.lineage.of_executions(["e1", "e2"], 2)] == ["r3", "r2"]
        assert work.lineage.of_executions([], 10) == []
        assert [one.id for one in work.lineage.records(["r4", "none", "r1", "r4"])] == ["r4", "r1"]


def test_lists_of_any_length_can_be_asked_for(store: Database) -> None:
    """SQLite takes 32,766 variables in a statement, PostgreSQL 65,535."""
    keys = [f"key-{n}" for n in range(70_000)]
    with store.begin() as work:
        work.lineage.add(records.record("r1", static_key="key-69999"))
        assert [one.id for one in work.lineage.with_static_keys(keys)] == ["r1"]
        assert work.executions.failed(keys) == {}
