"""What planning and lineage ask of the database is answered from indices: a long past must not make every push slower."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from service.adapters.database import tables
from service.adapters.database.unit_of_work import Database, UnitOfWork
from service.ports.store import ExecutionFilter, ResultFilter
from tests import records

PLACES = {"diamonds": ["preprocess", "train"]}
QUESTIONS: dict[str, Callable[[UnitOfWork], object]] = {
    "an execution": lambda work: work.executions.get("e1"),
    "the executions of a commit": lambda work: work.executions.page(ExecutionFilter(commit=records.SHA)),
    "those that succeeded": lambda work: work.executions.succeeded(["e1", "e2"]),
    "what failed": lambda work: work.executions.failed(["k1", "k2"]),
    "what is in flight": lambda work: work.executions.in_flight(["k1", "k2"], besides="e1"),
    "results": lambda work: work.lineage.results(["r1", "r2"]),
    "records": lambda work: work.lineage.records(["r1", "r2"]),
    "what results with static keys made": lambda work: work.lineage.made(["k1", "k2"]),
    "results with static keys": lambda work: work.lineage.with_static_keys(["k1", "k2"]),
    "records of executions": lambda work: work.lineage.of_executions(["e1", "e2"], 10),
    "baselines": lambda work: work.lineage.baselines("acme/diamonds", PLACES, ["refs/heads/main"]),
    "who read a content": lambda work: work.lineage.page(ResultFilter(read_digest="sha256:1")),
    "who made a content": lambda work: work.lineage.page(ResultFilter(digest="sha256:1")),
}


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[tuple[Database, Path]]:
    """A little of everything: what a question finds leads to the next statement."""
    path = tmp_path / "refit.db"
    store = Database(f"sqlite:///{path}")
    store.migrate()
    with store.begin() as work:
        work.executions.add(records.execution("e1"))
        work.lineage.add(records.record("r1", execution="e1", static_key="k1"))
    yield store, path
    store.close()


@pytest.mark.parametrize("name", QUESTIONS)
def test_no_table_is_read_as_a_whole(filled: tuple[Database, Path], name: str) -> None:
    store, path = filled
    with _heard() as statements, store.begin() as work:
        QUESTIONS[name](work)
    selects = [(text, values) for text, values in statements if text.startswith(("SELECT", "WITH"))]
    assert selects
    with closing(sqlite3.connect(path)) as plain:
        for text, values in selects:
            plan = [row[3] for row in plain.execute(f"EXPLAIN QUERY PLAN {text}", values)]
            assert not [step for step in plan if _reads_all(step)], (text, plan)


def _reads_all(step: str) -> bool:
    found = re.match(r"SCAN (\w+)", step)
    return found is not None and found[1].rstrip("_0123456789") in tables.metadata.tables


@contextmanager
def _heard() -> Iterator[list[tuple[str, Any]]]:
    found: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        found.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
