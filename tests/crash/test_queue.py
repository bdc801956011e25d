"""The queue when it is not the job's fault: remotes and disks that fail, clocks that are set, workers that are gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from service.adapters.clock import SystemClock
from service.adapters.database.jobs import LONGEST_WAIT, MOST_ATTEMPTS
from service.adapters.database.unit_of_work import Database
from service.domain.errors import Refused, Retry
from service.ports.queues import Lease, Queue
from service.worker.loop import Loop
from tests import records

TOO_OFTEN = MOST_ATTEMPTS * 2


def claim(store: Database, seconds: float = 30.0) -> list[Lease]:
    with store.begin() as work:
        return list(work.jobs.claim(Queue.DELIVERIES, 10, seconds))


def deliver(store: Database, guid: str = "guid-0001") -> None:
    with store.begin() as work:
        work.deliveries.add([records.push(guid)])


def job(store: Database, guid: str = "guid-0001"):  # type: ignore[no-untyped-def]
    with store.begin() as work:
        found = work.jobs.get(Queue.DELIVERIES, guid)
    assert found is not None
    return found


def shift(url: str, **columns: float) -> None:
    """Set times ahead of the database's clock: what is left when the clock was set back by so many seconds."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for name, seconds in columns.items():
            connection.execute(text(f"UPDATE deliveries SET {name} = due_at + {seconds}"))
    engine.dispose()


def test_what_fails_for_no_fault_of_its_own_is_tried_for_ever(store: Database) -> None:
    deliver(store)
    for count in range(1, TOO_OFTEN):
        (lease,) = claim(store)
        assert lease.attempt == min(count, MOST_ATTEMPTS - 1)
        with store.begin() as work:
            work.jobs.put_off(lease, 0.0, "the remote is away")
    assert job(store).last_error == "the remote is away"
    assert not job(store).quarantined


def test_a_worker_that_dies_over_it_every_time_ends_in_quarantine_all_the_same(store: Database) -> None:
    deliver(store)
    for _ in range(TOO_OFTEN):
        (lease,) = claim(store)
        with store.begin() as work:
            work.jobs.put_off(lease, 0.0, "the remote is away")
    deaths = 0
    while claim(store, seconds=-1.0):  # a lease that has ended: its worker died
        deaths += 1
    assert deaths == 2
    assert job(store).quarantined


@pytest.mark.parametrize(
    ("failure", "quarantined"),
    [
        (Retry("the remote is away", 0.0), False),
        (OSError(28, "No space left on device"), False),
        (Refused("never"), True),
    ],
)
def test_the_worker_tells_the_jobs_fault_from_the_machines(
    store: Database, failure: Exception, quarantined: bool
) -> None:
    deliver(store)

    def fail(lease: Lease) -> None:
        raise failure

    loop = Loop(store, {Queue.DELIVERIES: fail}, {Queue.DELIVERIES: 1})
    loop.start()
    try:
        while not job(store).last_error:
            store.wait(0.05)
    finally:
        loop.stop()
    assert job(store).quarantined is quarantined


def test_a_clock_that_was_set_back_leaves_nothing_waiting_for_it(store: Database, database_url: str) -> None:
    deliver(store)
    shift(database_url, due_at=10_000.0, leased_until=20_000.0)
    assert claim(store) == []
    with store.begin() as work:
        assert work.jobs.mend_times() == 2
        assert work.jobs.mend_times() == 0
    assert [lease.id for lease in claim(store)] == ["guid-0001"]


def test_what_waits_or_is_leased_as_ever_is_not_mended(store: Database) -> None:
    deliver(store)
    deliver(store, "guid-0002")
    (first, *_) = claim(store)
    with store.begin() as work:
        work.jobs.put_off(first, 3 * LONGEST_WAIT, "later")
        assert work.jobs.mend_times() == 0
    assert claim(store) == []


def test_the_only_process_of_a_database_takes_over_at_once(store: Database) -> None:
    deliver(store)
    (lost,) = claim(store)
    assert claim(store) == []
    with store.begin() as work:
        work.jobs.free_all()
    (taken,) = claim(store)
    assert (taken.id, taken.attempt) == (lost.id, 2)


def test_identifiers_sort_behind_what_is_stored_whatever_the_clock_says(store: Database) -> None:
    ahead = _SetClock(timedelta(hours=5)).new_id()
    with store.begin() as work:
        assert work.executions.newest() == ""
        work.executions.add(records.execution(ahead))
    with store.begin() as work:
        newest = work.executions.newest()
    made = [SystemClock().new_id(after=newest)]
    clock = SystemClock()
    made += [clock.new_id(after=newest) for _ in range(3)]
    assert newest == ahead
    assert all(ahead < one for one in made)
    assert made[1:] == sorted(set(made[1:]))
    assert SystemClock().new_id(after="not one of ours") < ahead


class _SetClock(SystemClock):
    """The system's clock, set."""

    def __init__(self, by: timedelta) -> None:
        super().__init__()
        self._by = by

    def now(self) -> datetime:
        return datetime.now(UTC) + self._by


def test_what_was_in_work_at_every_death_is_left_alone_for_a_while(store: Database) -> None:
    deliver(store)
    for _ in range(2):
        assert claim(store)
        with store.begin() as work:
            work.jobs.free_all()
    assert claim(store)
    with store.begin() as work:
        work.jobs.free_all()
    assert claim(store) == []
    found = job(store)
    assert (found.attempt, found.quarantined) == (3, False)


def test_no_repository_has_more_than_its_share_in_work(store: Database) -> None:
    with store.begin() as work:
        busy = [records.push(f"busy-{n:04}", repository="acme/busy", ref=f"refs/heads/{n}") for n in range(5)]
        work.deliveries.add(busy)

    def shared(limit: int) -> list[Lease]:
        with store.begin() as work:
            return list(work.jobs.claim(Queue.DELIVERIES, limit, 30.0, share=2))

    first = sorted(shared(4), key=lambda lease: lease.id)
    assert [lease.id for lease in first] == ["busy-0000", "busy-0001"]
    assert shared(4) == []
    with store.begin() as work:
        work.deliveries.add([records.push("calm-0001", repository="acme/calm")])
    assert [lease.id for lease in shared(4)] == ["calm-0001"]
    with store.begin() as work:
        work.deliveries.settle(first[0], "done", [])
    assert [lease.id for lease in shared(4)] == ["busy-0002"]
