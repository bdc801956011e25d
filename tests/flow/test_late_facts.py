"""Facts that wait a moment to be written: known at once, on disk soon, and at the end in any case."""

from __future__ import annotations

import time

from service.adapters.database.unit_of_work import Database
from service.bootstrap.late_facts import LateFacts
from service.bootstrap.parts import StoredFacts
from service.domain.facts import Kind, TextFacts

ONE, TWO = (Kind.DVC, "1" * 40), (Kind.DVC, "2" * 40)


def test_what_waits_is_known_and_then_written(store: Database) -> None:
    stored = StoredFacts(store)
    with LateFacts.opened(stored) as late:
        late.put([(ONE, TextFacts("a"))], "v")
        assert late.get([ONE, TWO], "v") == {ONE: TextFacts("a")}
        assert late.get([ONE], "another") == {}
        deadline = time.monotonic() + 20
        while not stored.get([ONE], "v"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        late.put([(TWO, TextFacts("b"))], "v")
        assert late.get([ONE, TWO], "v") == {ONE: TextFacts("a"), TWO: TextFacts("b")}
    assert stored.get([ONE, TWO], "v") == {ONE: TextFacts("a"), TWO: TextFacts("b")}
