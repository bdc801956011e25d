"""Group commit on both databases: few transactions for many deliveries, and no answer before its delivery is durable."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from service.adapters.database.unit_of_work import Database
from service.domain.delivery import Delivery
from service.domain.errors import Retry
from service.flow.receive import BACKLOG, BATCH, Inbox
from service.ports.store import Work
from tests.records import nothing, push


class Gate:
    """The real store behind a door: who begins waits until it is open. Counts, and can be away."""

    def __init__(self, store: Database) -> None:
        self._store = store
        self.is_open = threading.Event()
        self.begun = 0
        self.failure: Exception | None = None

    def begin(self) -> AbstractContextManager[Work]:
        return self._begin()

    @contextmanager
    def _begin(self) -> Iterator[Any]:
        self.is_open.wait(60)
        self.begun += 1
        if self.failure is not None:
            raise self.failure
        with self._store.begin() as work:
            yield work

    def wait(self, seconds: float) -> None: ...

    def interrupt(self) -> None: ...


@pytest.fixture
def gate(store: Database) -> Gate:
    return Gate(store)


@pytest.fixture
def inbox(gate: Gate) -> Iterator[Inbox]:
    made = Inbox(gate)
    yield made
    gate.is_open.set()
    made.close()


def is_stored(store: Database, delivery: Delivery) -> bool:
    with store.begin() as work:
        return work.deliveries.get(delivery.guid) is not None


def test_whatever_waits_is_one_transaction(store: Database, gate: Gate, inbox: Inbox) -> None:
    answers = [inbox.accept(push()) for _ in range(300)]
    assert not any(one.done() for one in answers), "nothing is durable yet"
    gate.is_open.set()
    assert all(one.result(60) for one in answers)
    assert gate.begun <= 5, "one that found the door closed, then whole batches"


def test_no_answer_comes_before_its_delivery_is_on_disk(database_url: str, gate: Gate, inbox: Inbox) -> None:
    """Looked up by another process's eyes at the moment of the answer."""
    other = Database(database_url)
    seen: dict[str, bool] = {}
    deliveries = [push() for _ in range(5)]
    for delivery in deliveries:
        answer = inbox.accept(delivery)
        answer.add_done_callback(lambda _, one=delivery: seen.update({one.guid: is_stored(other, one)}))  # type: ignore[misc]
    gate.is_open.set()
    inbox.close()
    other.close()
    assert seen == {one.guid: True for one in deliveries}


def test_many_at_once_are_each_told_the_truth(store: Database, gate: Gate, inbox: Inbox) -> None:
    gate.is_open.set()
    deliveries = [nothing() for _ in range(50)]
    answers: list[tuple[str, Future[bool]]] = []

    def send() -> None:
        answers.extend([(one.guid, inbox.accept(one)) for one in deliveries])

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait([answer for _, answer in answers], 60)
    for delivery in deliveries:
        told = [answer.result() for guid, answer in answers if guid == delivery.guid]
        assert sorted(told) == [False] * 7 + [True], "stored once, and seven are told that it was known"
        assert is_stored(store, delivery)


def test_one_that_cannot_be_stored_does_not_spoil_the_others(store: Database, gate: Gate, inbox: Inbox) -> None:
    good = [push() for _ in range(5)]
    odd: Any = replace(push(), action=object())  # type: ignore[arg-type]  # no database takes that
    answers = [inbox.accept(one) for one in (*good[:3], odd, *good[3:])]
    gate.is_open.set()
    inbox.close()
    failed = [one.exception() for one in answers]
    assert [error is not None for error in failed] == [False] * 3 + [True] + [False] * 2
    assert all(is_stored(store, one) for one in good)


def test_a_database_that_is_away_is_asked_once_for_all_of_them(gate: Gate, inbox: Inbox) -> None:
    gate.failure = Retry("the database cannot be used now")
    answers = [inbox.accept(push()) for _ in range(10)]
    gate.is_open.set()
    assert {type(one.exception(60)) for one in answers} == {Retry}
    assert gate.begun <= 2, "the first, and all the others"
    gate.failure, begun = None, gate.begun
    assert inbox.accept(push()).result(60), "it is back"
    assert gate.begun == begun + 1


def test_who_leaves_before_the_answer_stops_nothing(store: Database, gate: Gate, inbox: Inbox) -> None:
    left, stays = push(), push()
    gone = inbox.accept(left)
    kept = inbox.accept(stays)
    assert gone.cancel()
    gate.is_open.set()
    assert kept.result(60)
    assert is_stored(store, left), "what was sent counts"
    assert inbox.accept(push()).result(60)


def test_what_waits_is_stored_before_the_end_and_nothing_is_taken_after(
    store: Database, gate: Gate, inbox: Inbox
) -> None:
    deliveries = [push() for _ in range(BATCH + 10)]
    answers = [inbox.accept(one) for one in deliveries]
    gate.is_open.set()
    inbox.close()
    assert all(one.result(0) for one in answers)
    assert all(is_stored(store, one) for one in deliveries)
    with pytest.raises(queue.Full):
        inbox.accept(push())


def test_a_backlog_that_is_full_says_so(gate: Gate, inbox: Inbox) -> None:
    with pytest.raises(queue.Full):
        _fill(inbox)


def _fill(inbox: Inbox) -> None:
    for _ in range(BACKLOG + 2 * BATCH):
        inbox.accept(nothing())
