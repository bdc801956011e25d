"""What a claim costs when much waits, and superseding when much has ended, in steps of SQLite's own machine and not in time:
neither a backlog nor a long past may hold up whoever receives more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from service.adapters.database.unit_of_work import Database, UnitOfWork
from service.ports.queues import Queue
from tests import records

_STEP = 100


def steps(store: Database, act: Callable[[UnitOfWork], None]) -> int:
    """Of the act in a transaction of its own; in hundreds of virtual instructions."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    with store.begin() as work:
        raw = work.jobs._connection.connection.driver_connection
        assert raw is not None
        raw.set_progress_handler(count, _STEP)
        act(work)
        raw.set_progress_handler(None, 0)
    return counted


def claim_two(work: UnitOfWork) -> None:
    assert len(work.jobs.claim(Queue.DELIVERIES, 2, 30.0, share=8)) == 2


def test_a_claim_costs_in_proportion_to_what_waits(tmp_path: Path) -> None:
    costs = []
    for waiting in (400, 1_600):
        store = Database(f"sqlite:///{tmp_path / str(waiting)}.db")
        store.migrate()
        with store.begin() as work:
            work.deliveries.add(
                [records.push(f"guid-{number:05}", ref=f"refs/heads/{number}") for number in range(waiting)]
            )
        with store.begin() as work:
            assert len(work.jobs.claim(Queue.DELIVERIES, 4, 30.0, share=8)) == 4
        costs.append(steps(store, claim_two))  # while some work of the repository is in hand
        store.close()
    assert costs[0] > 10
    assert costs[1] < 8 * costs[0], (
        f"{costs}: four times as much waits; a claim that looks at all for each costs 16 times"
    )


def test_what_is_superseded_costs_the_same_however_much_has_ended(tmp_path: Path) -> None:
    costs = []
    for ended in (100, 3_200):
        store = Database(f"sqlite:///{tmp_path / str(ended)}.db")
        store.migrate()
        past = [records.execution(f"a{number:05}", trigger=f"push-{number}") for number in range(ended)]
        older, newer = records.execution("b1", trigger="push-b"), records.execution("c1", trigger="push-c")
        with store.begin() as work:
            work.executions.add_all([*past, older, newer])
            for one in past:
                work.executions.save(replace(one, ended_at=records.NOW))
        costs.append(steps(store, lambda work, newer=newer: work.executions.supersede([newer])))  # type: ignore[misc]
        with store.read() as work:
            found = work.executions.get("b1")
        assert found is not None and found.superseded_by == "c1"
        store.close()
    assert costs[1] <= costs[0] + 3, f"{costs}: what has ended is looked at"
