"""Answers under an Idempotency-Key, on both databases: claimed by one, kept or freed, forgotten in time."""

from __future__ import annotations

import threading

from service.adapters.database.unit_of_work import Database
from service.ports.answers import Answer
from tests.records import HOSTILE

DAY = 86_400.0


def claim(store: Database, key: str = "k", request: str = "r", seconds: float = DAY) -> Answer | None:
    with store.begin() as work:
        return work.answers.claim(key, request, seconds)


def test_the_first_claims_and_the_others_see_it_at_work(store: Database) -> None:
    assert claim(store) is None
    found = claim(store, request="another")
    assert found is not None
    assert (found.request, found.status) == ("r", None)
    assert claim(store, "other key") is None


def test_what_is_kept_is_what_is_found(store: Database) -> None:
    headers = {"content-type": "application/json", "location": "/é"}
    assert claim(store) is None
    with store.begin() as work:
        work.answers.keep("k", 201, headers, HOSTILE)
    found = claim(store)
    assert found is not None
    assert (found.status, found.headers, found.body) == (201, headers, HOSTILE)


def test_what_is_freed_may_be_claimed_again(store: Database) -> None:
    assert claim(store) is None
    with store.begin() as work:
        work.answers.free("k")
    assert claim(store) is None


def test_what_is_old_is_forgotten(store: Database) -> None:
    assert claim(store) is None
    assert claim(store, seconds=60.0) is not None
    assert claim(store, seconds=-60.0) is None, "it began longer ago than that"


def test_of_many_that_claim_at_once_one_gets_it(store: Database) -> None:
    got: list[Answer | None] = []
    threads = [threading.Thread(target=lambda: got.append(claim(store))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one is None for one in got) == 1
    assert len(got) == 12


def test_a_claim_that_is_rolled_back_is_none(store: Database) -> None:
    class Oops(Exception): ...

    try:
        with store.begin() as work:
            assert work.answers.claim("k", "r", DAY) is None
            raise Oops
    except Oops:
        pass
    assert claim(store) is None
