"""The store port's contract, kept by SQLite and PostgreSQL alike."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from service.adapters.database.unit_of_work import Database
from service.domain.delivery import Closed
from service.domain.errors import Refused, Retry
from service.domain.execution import Attempt, Execution, Seen, State, Status
from service.domain.facts import Doubt, Import, Kind, Leaf, PythonFacts, TextFacts, ValuesFacts
from service.domain.gates import Verdict
from service.domain.lineage import ModelVersion
from service.domain.pipeline import Hint, Native, NativeStep
from service.domain.tokens import digest_of, new_token
from service.ports.queues import LeaseLost, Queue
from service.ports.store import AlreadyThere, ExecutionFilter, ResultFilter
from tests import records


def add_deliveries(store: Database, *deliveries: records.Delivery) -> list[bool]:
    with store.begin() as work:
        return list(work.deliveries.add(deliveries))


def claim(store: Database, queue: Queue, limit: int = 10, seconds: float = 30.0) -> list:
    with store.begin() as work:
        return list(work.jobs.claim(queue, limit, seconds))


# deliveries -----------------------------------------------------------------------------------------------------------


def test_a_redelivery_with_the_same_guid_changes_nothing(store: Database) -> None:
    first = records.push("guid-0001")
    assert add_deliveries(store, first, records.push("guid-0001", after="f" * 40)) == [True, False]
    assert add_deliveries(store, first) == [False]
    with store.begin() as work:
        stored = work.deliveries.get("guid-0001")
    assert stored is not None
    assert stored.delivery == first


def test_a_rollback_leaves_neither_delivery_nor_job(store: Database) -> None:
    def stored_and_lost() -> None:
        with store.begin() as work:
            work.deliveries.add([records.push("guid-0001")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stored_and_lost()
    assert claim(store, Queue.DELIVERIES) == []
    with store.begin() as work:
        assert work.deliveries.get("guid-0001") is None


def test_a_view_is_of_one_moment(store: Database) -> None:
    """An execution's steps and attempts lie in several tables; a commit in between must not show one half of itself."""
    with store.begin() as work:
        work.deliveries.add([records.push("guid-0001")])
    with store.read() as view:
        assert view.deliveries.get("guid-0001") is not None
        with store.begin() as work:
            work.deliveries.add([records.push("guid-0002")])
        assert view.deliveries.get("guid-0002") is None
    with store.read() as view:
        assert view.deliveries.get("guid-0002") is not None


def test_a_view_writes_nothing_and_keeps_no_writer_waiting(store: Database) -> None:
    def write(guid: str) -> None:
        with store.read() as view:
            view.deliveries.add([records.push(guid)])

    for guid in ("guid-0001", "guid-0002"):  # a connection that has refused once refuses again, and then writes
        with pytest.raises((Retry, DBAPIError), match=r"readonly|read-only"):
            write(guid)
    with store.read(), store.read():
        assert add_deliveries(store, records.push("guid-0003")) == [True]
    with store.read() as view:
        assert [view.deliveries.get(f"guid-000{n}") is not None for n in (1, 2, 3)] == [False, False, True]


def test_deliveries_of_one_ref_are_worked_on_in_order_and_others_beside_them(store: Database) -> None:
    add_deliveries(
        store, records.push("main-001"), records.push("main-002"), records.push("side-001", ref="refs/heads/side")
    )
    first = claim(store, Queue.DELIVERIES)
    assert {lease.id for lease in first} == {"main-001", "side-001"}
    assert claim(store, Queue.DELIVERIES) == []
    with store.begin() as work:
        work.deliveries.settle(next(lease for lease in first if lease.id == "main-001"), "done", [])
    assert [lease.id for lease in claim(store, Queue.DELIVERIES)] == ["main-002"]


def test_a_deferred_delivery_still_holds_back_the_later_ones_of_its_ref(store: Database) -> None:
    add_deliveries(store, records.push("main-001"), records.push("main-002"))
    (lease,) = claim(store, Queue.DELIVERIES)
    with store.begin() as work:
        work.jobs.defer(lease, 60.0, "not yet")
    assert claim(store, Queue.DELIVERIES) == []


def test_repositories_take_turns(store: Database) -> None:
    for number in range(5):
        add_deliveries(store, records.push(f"busy-{number:03}", repository="acme/busy", ref=f"refs/heads/{number}"))
    add_deliveries(store, records.push("calm-001", repository="acme/calm"))
    assert "calm-001" in {lease.id for lease in claim(store, Queue.DELIVERIES, limit=2)}


def test_a_replay_is_due_again_with_fresh_attempts(store: Database) -> None:
    add_deliveries(store, records.push("guid-0001"))
    (lease,) = claim(store, Queue.DELIVERIES)
    with store.begin() as work:
        assert not work.deliveries.replay("guid-0001")  # it is in work
        work.deliveries.settle(lease, "done", ["e1"])
    with store.begin() as work:
        assert work.deliveries.replay("guid-0001")
        assert not work.deliveries.replay("unknown")
    assert [lease.attempt for lease in claim(store, Queue.DELIVERIES)] == [1]


def test_deliveries_are_paged_newest_first(store: Database) -> None:
    add_deliveries(store, *(records.push(f"guid-{n:04}") for n in range(7)))
    with store.begin() as work:
        seen: list[str] = []
        cursor = None
        while True:
            page = work.deliveries.page("acme/diamonds", cursor, 3)
            seen += [one.delivery.guid for one in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == [f"guid-{n:04}" for n in reversed(range(7))]
        with pytest.raises(Refused):
            work.deliveries.page("", "not-a-cursor", 3)


def test_every_event_survives_the_round_trip(store: Database) -> None:
    closed = replace(records.push("guid-0002"), event=Closed("acme/diamonds", "refs/heads/x", "gone"))
    hostile = records.push("guid-0003", message=records.HOSTILE, author=records.HOSTILE)
    for delivery in (records.nothing("guid-0001"), closed, hostile):
        add_deliveries(store, delivery)
        with store.begin() as work:
            stored = work.deliveries.get(delivery.guid)
        assert stored is not None
        assert stored.delivery == delivery


# leases ---------------------------------------------------------------------------------------------------------------


def test_a_lease_that_ran_out_goes_to_another_worker_and_the_first_can_no_longer_write(store: Database) -> None:
    add_deliveries(store, records.push("guid-0001"))
    (slow,) = claim(store, Queue.DELIVERIES, seconds=0.05)
    time.sleep(0.1)
    (quick,) = claim(store, Queue.DELIVERIES)
    assert (quick.fence, quick.attempt) == (slow.fence + 1, slow.attempt + 1)
    for write in (
        lambda work: work.deliveries.settle(slow, "late", []),
        lambda work: work.jobs.defer(slow, 1.0),
        lambda work: work.jobs.finish(slow),
    ):
        with pytest.raises(LeaseLost), store.begin() as work:
            write(work)
    with store.begin() as work:
        work.deliveries.settle(quick, "in time", [])


def test_a_renewed_lease_is_not_taken_over(store: Database) -> None:
    add_deliveries(store, records.push("guid-0001"))
    leases = claim(store, Queue.DELIVERIES, seconds=0.2)
    with store.begin() as work:
        work.jobs.renew(leases, 30.0)
    time.sleep(0.3)
    assert claim(store, Queue.DELIVERIES) == []


def test_a_job_that_kills_its_worker_every_time_ends_in_quarantine(store: Database) -> None:
    add_deliveries(store, records.push("guid-0001"), records.push("guid-0002"))
    for _ in range(8):
        assert [lease.id for lease in claim(store, Queue.DELIVERIES, seconds=0.0)] == ["guid-0001"]
        time.sleep(0.002)
    claimed = claim(store, Queue.DELIVERIES)
    with store.begin() as work:
        job = work.jobs.get(Queue.DELIVERIES, "guid-0001")
    assert job is not None
    assert job.quarantined
    assert job.last_error
    assert [lease.id for lease in claimed] == ["guid-0002"]  # the ref goes on without it


def test_a_poll_is_not_a_failure(store: Database) -> None:
    with store.begin() as work:
        work.executions.add(records.execution("exec-1"))
    for _ in range(20):
        (lease,) = claim(store, Queue.EXECUTIONS)
        with store.begin() as work:
            work.jobs.defer(lease, 0.0, counts=False)


def test_two_workers_never_hold_the_same_row(store: Database) -> None:
    with store.begin() as work:
        for number in range(40):
            work.executions.add(records.execution(f"exec-{number:03}"))
    held: list[str] = []
    lock = threading.Lock()

    def work_on() -> None:
        while leases := claim(store, Queue.EXECUTIONS, limit=3):
            with lock:
                held.extend(lease.id for lease in leases)

    threads = [threading.Thread(target=work_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(held) == [f"exec-{number:03}" for number in range(40)]


def test_a_commit_wakes_who_waits(store: Database) -> None:
    woken = threading.Event()

    def wait() -> None:
        store.wait(0.0)  # the first one begins to listen
        store.wait(60.0)
        woken.set()

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    for _ in range(100):
        if woken.is_set():
            break
        add_deliveries(store, records.push())
        time.sleep(0.1)
    assert woken.is_set()


def test_a_wait_ends_when_a_job_falls_due(store: Database) -> None:
    add_deliveries(store, records.push("guid-0001"))
    (lease,) = claim(store, Queue.DELIVERIES)
    with store.begin() as work:
        work.jobs.defer(lease, 0.3)
    for _ in range(50):
        store.wait(60.0)
        if claim(store, Queue.DELIVERIES):
            return
    pytest.fail("the deferred job never fell due")


# executions -----------------------------------------------------------------------------------------------------------


def test_an_execution_survives_the_round_trip(store: Database) -> None:
    attempt = Attempt(1, "token-1", "handle", Seen.FAILED, "boom", 1, records.NOW, records.NOW, True)
    made = records.execution(
        "exec-1",
        pull_request=7,
        removed=("old",),
        forced=("train",),
        needs_approval="a fork",
        base="b" * 40,
        steps=(
            records.step(records.PREPROCESS, state=State.FAILED, attempts=(attempt,)),
            records.step(records.TRAIN, key=None),
        ),
    )
    with store.begin() as work:
        work.executions.add(made)
    with store.begin() as work:
        assert work.executions.get("exec-1") == made
        assert work.executions.get("unknown") is None


def test_an_execution_of_a_native_pipeline_survives_the_round_trip(store: Database) -> None:
    native = NativeStep("Training", ("ml/train.py",), ("its code is elsewhere",), ("a note",))
    hint = Hint(params=("train",), constant_inputs=("raw",))
    defined = Native("sagemaker", "ml/pipeline.py", (("name", '"x"'),), (("train", hint),), "f" * 40)
    train = replace(records.TRAIN, native=native)
    pipeline = replace(records.PIPELINE, components=(records.PREPROCESS, train), native=defined)
    made = records.execution("exec-1", pipeline=pipeline, steps=(records.step(records.PREPROCESS), records.step(train)))
    with store.begin() as work:
        work.executions.add(made)
    with store.begin() as work:
        assert work.executions.get("exec-1") == made


def test_who_follows_a_handle_is_found_by_its_beginning(store: Database) -> None:
    def following(id: str, handle: str, **more: object) -> Execution:
        attempt = Attempt(1, f"token-{id}", handle)
        steps = (
            records.step(records.PREPROCESS, state=State.RUNNING, attempts=(attempt,)),
            records.step(records.TRAIN),
        )
        return records.execution(id, steps=steps, **more)

    with store.begin() as work:
        for one in (
            following("exec-1", "arn:a_1#x"),
            following("exec-2", "arn:ab1#x"),
            following("exec-3", "arn:b#x", ended_at=records.NOW),
        ):
            work.executions.add(one)
            work.executions.save(one)
    with store.begin() as work:
        assert work.executions.following(["arn:a_1#", "arn:b#"]) == ["exec-1"], "an underscore is no wildcard"
        assert work.executions.following([]) == []


def test_hostile_text_is_stored_escaped(store: Database) -> None:
    with store.begin() as work:
        work.executions.add(
            records.execution("exec-1", message=records.HOSTILE, author=records.HOSTILE, ref=records.HOSTILE)
        )
    with store.begin() as work:
        found = work.executions.get("exec-1")
    assert found is not None
    assert "\x00" not in found.message
    assert "\\x00" in found.message
    assert "\N{PILE OF POO}" in found.message


def test_the_same_trigger_makes_no_second_execution(store: Database) -> None:
    with store.begin() as work:
        work.executions.add(records.execution("exec-1", trigger="guid"))
    with pytest.raises(AlreadyThere) as known, store.begin() as work:
        work.executions.add(records.execution("exec-2", trigger="guid"))
    assert known.value.id == "exec-1"


def test_saving_never_overwrites_a_stop_that_came_meanwhile(store: Database) -> None:
    made = records.execution("exec-1")
    with store.begin() as work:
        work.executions.add(made)
    (lease,) = claim(store, Queue.EXECUTIONS)
    with store.begin() as work:
        assert work.executions.mark("exec-1", cancelled="by ada")
        assert work.executions.mark("exec-1", cancelled="by bob")
    with store.begin() as work:
        work.executions.save(made, lease)
    with store.begin() as work:
        found = work.executions.get("exec-1")
    assert found is not None
    assert found.cancelled == "by ada"


def test_what_has_ended_cannot_be_marked(store: Database) -> None:
    made = records.execution("exec-1")
    with store.begin() as work:
        work.executions.add(made)
        work.executions.save(records.ended(made, State.REUSED, State.REUSED))
    with store.begin() as work:
        assert not work.executions.mark("exec-1", cancelled="too late")
        assert not work.executions.mark("unknown", cancelled="never")


STATUSES = [
    (Status.QUEUED, {}, ()),
    (Status.AWAITING_APPROVAL, {"needs_approval": "a fork"}, ()),
    (Status.RUNNING, {}, (State.RUNNING, State.WAITING)),
    (Status.SUCCEEDED, {}, (State.SUCCEEDED, State.REUSED)),
    (Status.FAILED, {}, (State.FAILED, State.BLOCKED)),
    (Status.CANCELLED, {"cancelled": "by ada"}, (State.SUCCEEDED, State.CANCELLED)),
    (Status.SUPERSEDED, {"superseded_by": "exec-9"}, (State.CANCELLED, State.CANCELLED)),
]


def test_the_status_in_sql_is_the_status_of_the_domain(store: Database) -> None:
    for number, (_, flags, states) in enumerate(STATUSES):
        made = records.execution(f"exec-{number}", needs_approval=flags.get("needs_approval", ""))
        with store.begin() as work:
            work.executions.add(made)
            if marks := {name: value for name, value in flags.items() if name != "needs_approval"}:
                work.executions.mark(made.id, **marks)
            if states:
                steps = tuple(replace(one, state=state) for one, state in zip(made.steps, states, strict=True))
                work.executions.save(replace(made, steps=steps))
    for number, (status, _, _) in enumerate(STATUSES):
        with store.begin() as work:
            page = work.executions.page(ExecutionFilter(statuses=(status,)))
        assert [(one.id, one.status) for one in page.items] == [(f"exec-{number}", status)]
    with store.begin() as work:
        assert work.executions.counts() == {status.value: 1 for status, _, _ in STATUSES}


def test_executions_are_filtered_and_paged(store: Database) -> None:
    with store.begin() as work:
        for number in range(5):
            branch = "main" if number % 2 else "side"
            created = records.NOW + timedelta(hours=number)
            work.executions.add(records.execution(f"exec-{number}", ref=f"refs/heads/{branch}", created_at=created))
    with store.begin() as work:
        main = work.executions.page(ExecutionFilter(branch="main"))
        since = work.executions.page(ExecutionFilter(since=records.NOW + timedelta(hours=3)))
        first = work.executions.page(ExecutionFilter(), limit=2)
        second = work.executions.page(ExecutionFilter(), first.next_cursor, limit=2)
        newest = work.executions.planned("acme/diamonds", "refs/heads/side")
    assert [one.id for one in main.items] == ["exec-3", "exec-1"]
    assert [one.id for one in since.items] == ["exec-4", "exec-3"]
    assert [one.id for one in (*first.items, *second.items)] == ["exec-4", "exec-3", "exec-2", "exec-1"]
    assert newest is not None
    assert newest.id == "exec-4"


def test_wanted_names_the_keys_of_live_executions_only(store: Database) -> None:
    with store.begin() as work:
        work.executions.add(records.execution("exec-1"))
        work.executions.add(
            records.execution("exec-2", steps=(records.step(records.TRAIN, key=None, static_key="s2"),))
        )
        work.executions.add(records.execution("exec-3", steps=(records.step(records.TRAIN, key="k3"),)))
        work.executions.mark("exec-3", superseded_by="exec-2")
    with store.begin() as work:
        assert work.executions.wanted(besides="exec-1") == {"s2"}
        assert work.executions.wanted(besides="exec-2") == {"key-preprocess", "key-train"}


def test_a_key_is_computed_by_one_attempt_at_a_time(store: Database) -> None:
    with store.begin() as work:
        assert work.executions.occupy("key", "token-1", "local")
        assert work.executions.occupy("key", "token-1", "local")  # the same attempt, after a crash
        assert not work.executions.occupy("key", "token-2", "local")
        assert work.executions.running("local") == 1
        work.executions.release("token-1")
        assert work.executions.occupy("key", "token-2", "local")


def test_in_flight_and_failed_are_found_by_key_and_by_static_key(store: Database) -> None:
    with store.begin() as work:
        work.executions.add(
            records.execution("exec-1", steps=(records.step(records.TRAIN, state=State.RUNNING, key="k1"),))
        )
        work.executions.add(
            records.execution("exec-2", steps=(records.step(records.TRAIN, state=State.FAILED, key="k2"),))
        )
    with store.begin() as work:
        assert work.executions.in_flight(["static-train"], besides="") == {"k1": "exec-1"}
        assert work.executions.in_flight(["k1"], besides="exec-1") == {}
        assert work.executions.failed(["static-train"]) == {"k2": "exec-2"}
        assert work.executions.failed([]) == {}


# lineage --------------------------------------------------------------------------------------------------------------


def test_a_result_survives_the_round_trip_and_is_stored_once(store: Database) -> None:
    made = records.record("result-1")
    with store.begin() as work:
        work.lineage.add(made)
        work.lineage.add(replace(made, author="somebody else"))
    with store.begin() as work:
        assert work.lineage.get("result-1") == made
        assert work.lineage.get("unknown") is None


def test_results_are_found_by_every_key_they_have(store: Database) -> None:
    with store.begin() as work:
        work.lineage.add(records.record("result-1", key="k1", static_key="s1"))
        work.lineage.alias("result-1", "k2", "s2")
        work.lineage.alias("result-1", "k2", "s2")
    with store.begin() as work:
        assert [(r.id, r.key) for r in work.lineage.with_static_keys(["s1"])] == [("result-1", "k1")]
        assert [(r.id, r.key) for r in work.lineage.with_static_keys(["s2"])] == [("result-1", "k2")]
        assert work.lineage.with_static_keys(["s3"]) == []
        digests = {one.digest for one in records.record("result-1").outputs}
        assert digests and work.lineage.made(["s1"]) == work.lineage.made(["s1", "s2"]) == digests
        assert work.lineage.made(["s3"]) == work.lineage.made([]) == frozenset()


def test_the_baseline_is_the_newest_on_the_ref_else_on_the_next_else_anywhere(store: Database) -> None:
    old, new = records.NOW, records.NOW + timedelta(minutes=5)
    with store.begin() as work:
        work.lineage.add(records.record("main-old", ended_at=old))
        work.lineage.add(records.record("main-new", ended_at=new))
        work.lineage.add(records.record("side", ref="refs/heads/side", ended_at=new + timedelta(minutes=1)))
        work.lineage.add(records.record("only", component="train", ref="refs/heads/side", ended_at=old))

    def baseline(*refs: str) -> dict[str, str]:
        with store.begin() as work:
            return {
                name: r.id
                for name, r in work.lineage.baselines("acme/diamonds", {"diamonds": ["preprocess", "train"]}, refs)[
                    "diamonds"
                ].items()
            }

    assert baseline("refs/heads/main") == {"preprocess": "main-new", "train": "only"}
    assert baseline("refs/heads/new", "refs/heads/side") == {"preprocess": "side", "train": "only"}
    with store.begin() as work:  # a revert: the older result is what the ref stands on again
        work.lineage.promote(records.promotion("main-old", at=new + timedelta(minutes=2)))
    assert baseline("refs/heads/main")["preprocess"] == "main-old"


def test_lineage_is_queried_both_ways(store: Database) -> None:
    with store.begin() as work:
        work.lineage.add(records.record("result-1"))
        work.lineage.promote(records.promotion("result-1", commit="c" * 40))
        work.lineage.promote(records.promotion("result-1", commit="c" * 40))
    with store.begin() as work:
        assert [r.id for r in work.lineage.page(ResultFilter(digest="sha256:out")).items] == ["result-1"]
        assert [r.id for r in work.lineage.page(ResultFilter(read_digest="sha256:in")).items] == ["result-1"]
        assert [r.id for r in work.lineage.page(ResultFilter(metric="rmse")).items] == ["result-1"]
        assert work.lineage.page(ResultFilter(metric="mae")).items == ()
        assert [p.result for p in work.lineage.promotions(commit="c" * 40)] == ["result-1"]
        assert len(work.lineage.promotions(result="result-1")) == 1
        assert [row[:5] for row in work.lineage.components()] == [("acme/diamonds", "diamonds", "preprocess", 1, 1)]


def test_model_versions_count_up_and_an_execution_registers_once(store: Database) -> None:
    def model(execution: str) -> ModelVersion:
        return ModelVersion(
            "price",
            0,
            "acme/diamonds",
            "result",
            "model",
            f"sha256:{execution}",
            execution,
            records.SHA,
            "candidate",
            records.NOW,
            {"r2": 1.0},
        )

    with store.begin() as work:
        made = [work.models.register(model(e), "bob", "its gates passed") for e in ("e1", "e2", "e1")]
        assert [one.version for one in made] == [1, 2, 1]
        approved = work.models.settle(made[0], "approved", "ada", "good")
        assert work.models.settle(made[0], "rejected", "eve", "too late: it is no candidate any more") is None
    assert approved is not None
    assert [(event.status, event.by, event.why) for event in approved.events] == [
        ("candidate", "bob", "its gates passed"),
        ("approved", "ada", "good"),
    ]
    with store.begin() as work:
        assert [(m.version, m.status) for m in work.models.all("price")] == [(2, "candidate"), (1, "approved")]
        assert [m.version for m in work.models.all(digest="sha256:e2")] == [2]


def test_what_gates_said_is_kept_and_makes_an_execution_fail(store: Database) -> None:
    done = tuple(replace(step, state=State.REUSED) for step in records.execution().steps)
    good = records.execution(steps=done, targets=("refs/heads/main",))
    said = (Verdict("rmse < 1", True, "0.5 is < 1", 0.5, 1.0), Verdict("r2 > 0.9", False, "nobody measured r2"))
    with store.begin() as work:
        work.executions.add(good)
        work.executions.save(replace(good, ended_at=records.NOW, verdicts=said[:1]))
        bad = records.execution(steps=done)
        work.executions.add(bad)
        work.executions.save(replace(bad, ended_at=records.NOW, verdicts=said))
        work.executions.save(replace(bad, ended_at=records.NOW, verdicts=said))
    with store.begin() as work:
        kept = work.executions.get(bad.id)
        failed = work.executions.page(ExecutionFilter(statuses=(Status.FAILED,))).items
        newest = work.executions.last_success("acme/diamonds", "diamonds", "refs/heads/main", besides="")
        none = work.executions.last_success("acme/diamonds", "diamonds", "refs/heads/main", besides=good.id)
    assert kept is not None
    assert kept.verdicts == said
    assert kept.status is Status.FAILED
    assert [one.id for one in failed] == [bad.id]
    assert newest is not None
    assert (newest.id, newest.targets) == (good.id, ("refs/heads/main",))
    assert none is None


# the rest -------------------------------------------------------------------------------------------------------------


def test_facts_survive_the_round_trip_under_their_version(store: Database) -> None:
    facts = {
        (Kind.PYTHON, "1" * 40): PythonFacts(
            "k", "b", (Import("a.b", ("c",), 1),), ("x",), ("s.py",), True, (Doubt("d", 3, "all"),)
        ),
        (Kind.YAML, "1" * 40): ValuesFacts(
            (Leaf(("a", "b"), "1e-3", '"1e-3" | 0.001'),), ((("m",), "a.B"),), ("db/x",)
        ),
        (Kind.LINK, "2" * 40): TextFacts("target\udcff", ("i",), (Doubt("d"),)),
    }
    with store.begin() as work:
        work.facts.put(facts.items(), "1/py3.11")
        work.facts.put(facts.items(), "1/py3.11")
    with store.begin() as work:
        assert work.facts.get(list(facts), "1/py3.11") == facts
        assert work.facts.get(list(facts), "2/py3.11") == {}


def test_tokens_are_found_by_digest_and_revoked(store: Database) -> None:
    secret, token = new_token("ci", ["run"], records.NOW, records.NOW + timedelta(days=1))
    with store.begin() as work:
        work.tokens.add(token)
    with store.begin() as work:
        found = work.tokens.find(digest_of(secret))
        assert found == token
        assert found is not None
        assert found.is_valid(records.NOW)
        assert not found.is_valid(records.NOW + timedelta(days=2))
        assert work.tokens.find(digest_of("rft_other")) is None
        assert work.tokens.revoke(token.id)
        assert not work.tokens.revoke(token.id)
    with store.begin() as work:
        assert [one.is_valid(records.NOW) for one in work.tokens.list()] == [False]


def test_notices_coalesce_and_a_new_one_voids_the_announcer_at_work(store: Database) -> None:
    with store.begin() as work:
        work.notices.enqueue("exec-1")
        work.notices.enqueue("exec-1")
    (lease,) = claim(store, Queue.NOTICES)
    with store.begin() as work:
        work.notices.enqueue("exec-1")
    with pytest.raises(LeaseLost), store.begin() as work:
        work.jobs.finish(lease)
    assert [one.id for one in claim(store, Queue.NOTICES)] == ["exec-1"]


def test_workers_are_seen_by_their_heartbeat(store: Database) -> None:
    with store.begin() as work:
        assert work.jobs.beats(30.0) == 0
        work.jobs.beat("one")
        work.jobs.beat("one")
        work.jobs.beat("two")
    with store.begin() as work:
        assert work.jobs.beats(30.0) == 2


def test_the_schema_is_at_the_head_after_migrating(store: Database) -> None:
    have, want = store.head()
    assert have == want
    store.migrate()  # again: nothing to do
