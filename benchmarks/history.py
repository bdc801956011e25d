"""Owns how fast a long past answers, through the store and over HTTP, beside the bare SQL of the same answers."""

from __future__ import annotations

import http.client
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event

from benchmarks.archive import EVERY_MODEL, PIPELINES, REPOSITORY, Names, fill
from benchmarks.measure import SCRATCH, Report, progress, settle, timed
from benchmarks.serving import Served, served
from service.adapters.database.unit_of_work import Database
from service.ports.store import ExecutionFilter, Work
from service.web.api.tracing import of_commit, of_model, traced

EXECUTIONS, ROUNDS = 100_000, 40
Question = Callable[[Work], object]


def run(executions: int = EXECUTIONS, rounds: int = ROUNDS) -> None:
    report = Report("history", f"History: answers out of {executions:,} executions, SQLite")
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="refit-history-", dir=SCRATCH) as folder:
        home = Path(folder) / "home"
        home.mkdir()
        url = f"sqlite:///{home / 'refit.db'}"
        progress.print("history: filling the database")
        seconds = timed(lambda: fill(url, executions)) / 1_000
        size = (home / "refit.db").stat().st_size / 1e6
        report.note(f"The database has {size:,.0f} MB; filling it took {seconds:,.0f} s.")
        with served(home, "-m", "service", "serve", "--no-worker", REFIT_CALLS_PER_MINUTE="0") as service:
            settle()
            _ask_all(url, service, executions, rounds, report)
    report.note("Reference: the very statements that the store sent, sent again by the bare driver, every row fetched.")
    report.note("HTTP: a kept connection to `refit serve` over loopback, until the last byte of the answer.")
    report.publish()


def _ask_all(url: str, service: Served, executions: int, rounds: int, report: Report) -> None:
    middle = executions // 2 // (PIPELINES * EVERY_MODEL) * (PIPELINES * EVERY_MODEL) + PIPELINES  # registered a model
    one = Names(middle)
    version = str(one.version)
    model = f"model-{one.pipeline}"
    branch = ExecutionFilter(repository=REPOSITORY, pipeline=one.pipeline, branch="main")
    questions: dict[str, tuple[Question, str]] = {
        "50 newest executions": (lambda work: work.executions.page(ExecutionFilter()), "/executions"),
        "50 newest of a pipeline on main": (
            lambda work: work.executions.page(branch),
            f"/executions?repository={REPOSITORY}&pipeline={one.pipeline}&branch=main",
        ),
        "one execution": (lambda work: work.executions.get(one.execution), f"/executions/{one.execution}"),
        "lineage from a commit, both ways": (
            lambda work: traced(work, of_commit(work, one.commit), up=True, down=True),
            f"/lineage?commit={one.commit}",
        ),
        "lineage from a model, upstream": (
            lambda work: traced(work, of_model(work, model, version), up=True, down=False),
            f"/lineage?model={model}/{version}",
        ),
    }
    with (
        closing(Database(url)) as store,
        closing(http.client.HTTPConnection(service.host, service.port, timeout=60)) as wire,
    ):
        for name, (question, path) in questions.items():
            progress.print(f"history: {name}")
            _ask(store, url, wire, name, question, f"/api/v1{path}", rounds, report)


def _ask(
    store: Database,
    url: str,
    wire: http.client.HTTPConnection,
    name: str,
    question: Question,
    path: str,
    rounds: int,
    report: Report,
) -> None:
    def through_store() -> None:
        with store.begin() as work:
            question(work)

    def through_http() -> None:
        wire.request("GET", path)
        answer = wire.getresponse()
        if answer.status != 200 or len(answer.read()) < 200:
            raise RuntimeError(f"GET {path} was answered {answer.status}")

    said = _statements(through_store)
    bare, stored, over_http = [], [], []
    engine = create_engine(url)
    with closing(engine.raw_connection()) as connection:
        for _ in range(rounds):
            bare.append(timed(lambda: _replay(connection, said)))
            stored.append(timed(through_store))
            over_http.append(timed(through_http))
    engine.dispose()
    ground = statistics.median(bare)
    report.add(f"{name}: store", "ms", stored, ratio=statistics.median(stored) / ground, to="× bare SQL")
    report.add(f"{name}: HTTP", "ms", over_http, ratio=statistics.median(over_http) / ground, to="× bare SQL")
    report.add(f"{name}: bare SQL ({len(said)} statements)", "ms", bare)


def _statements(act: Callable[[], None]) -> list[tuple[str, Any]]:
    """What is sent to the database meanwhile."""
    found: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            found.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return found


def _replay(connection: Any, statements: Sequence[tuple[str, Any]]) -> None:
    cursor = connection.cursor()
    for statement, parameters in statements:
        cursor.execute(statement, parameters)
        cursor.fetchall()
    connection.rollback()
