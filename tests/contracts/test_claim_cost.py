"""What a claim costs when much waits, in steps of SQLite's own machine and not in time: a backlog must not hold up whoever
receives more."""

from __future__ import annotations

from pathlib import Path

from service.adapters.database.unit_of_work import Database
from service.ports.store import Queue
from tests import records

_STEP = 100


def steps_of_a_claim(store: Database) -> int:
    """A claim while some work of the repository is in hand; in hundreds of virtual instructions."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    with store.begin() as work:
        raw = work.jobs._connection.connection.driver_connection
        assert raw is not None
        raw.set_progress_handler(count, _STEP)
        assert len(work.jobs.claim(Queue.DELIVERIES, 2, 30.0, share=8)) == 2
        raw.set_progress_handler(None, 0)
    return counted


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
        costs.append(steps_of_a_claim(store))
        store.close()
    assert costs[0] > 10
    assert costs[1] < 8 * costs[0], (
        f"{costs}: four times as much waits; a claim that looks at all for each costs 16 times"
    )
