"""Owns the parts that a server and a local run share; refuses to start either."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from service.adapters.database.unit_of_work import Database
from service.domain.errors import Refused
from service.domain.facts import Fact, Request
from service.flow.schedule import Scheduler
from service.ports.notifier import Notifier
from service.ports.queues import Queue
from service.ports.store import Store
from service.settings import Settings
from service.worker.handlers import Handlers
from service.worker.loop import Loop

_PROBE_BYTES = 64 * 1024


def version() -> str:
    """The installed version, or the checkout's."""
    try:
        return metadata.version("refit")
    except metadata.PackageNotFoundError:
        return "checkout"


@contextmanager
def database_of_server() -> Iterator[Store]:
    """The server's database alone, for verbs that need nothing else."""
    settings = Settings()
    make_home(settings)
    with open_database(settings) as store:
        yield store


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    """The database, migrated, beside whoever else uses it."""
    store = Database(settings.database)
    try:
        _migrate(store, settings)
        yield store
    finally:
        store.close()


@contextmanager
def serve_database(settings: Settings) -> Iterator[Database]:
    """The database for the process that serves it: see ``Database.sole``."""
    store = Database(settings.database)
    try:
        with store.sole():
            _migrate(store, settings)
            store.take_over()
            yield store
    finally:
        store.close()


def _migrate(store: Database, settings: Settings) -> None:
    if settings.migrate:
        try:
            store.migrate()
        except OSError as error:
            raise Refused(f"opening the database: {error.filename}: {error.strerror}") from error


def make_home(settings: Settings) -> None:
    """Make the home folder; ``Refused`` says why it cannot be used."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        problem = unwritable(settings.home)
    except OSError as error:
        problem = f"{settings.home}: {error.strerror}"
    if problem:
        raise Refused(f"starting: {problem}; REFIT_HOME names the folder that Refit keeps its state in")


def unwritable(home: Path) -> str:
    """Why something cannot be written below ``home`` now, tried for real; ``""``: it can."""
    for folder in (home, home / "local", home / "mirrors"):
        if folder.is_dir():
            try:
                with tempfile.TemporaryFile(dir=folder) as file:
                    file.write(b"\0" * _PROBE_BYTES)
            except OSError as error:
                return f"{folder}: {error.strerror}"
    return ""


def make_loop(
    scheduler: Scheduler,
    slots: Mapping[str, int],
    repositories: Collection[str],
    notifiers: Sequence[Notifier] = (),
) -> Loop:
    """``slots``: how many steps each backend runs at once."""
    handlers = Handlers(scheduler, slots, tuple(notifiers), tuple(repositories))
    driver = handlers.driver()
    return Loop(
        scheduler.store,
        {Queue.DELIVERIES: handlers.delivery, Queue.EXECUTIONS: driver.drive, Queue.NOTICES: handlers.notice},
        {Queue.DELIVERIES: 4, Queue.EXECUTIONS: 4, Queue.NOTICES: 1},
        {Queue.DELIVERIES: 2},  # a repository that takes long to read leaves room for the others
    )


class StoredFacts:
    """The database's fact cache, a unit of work at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, requests: Collection[Request], version: str) -> Mapping[Request, Fact]:
        with self._store.read() as work:
            return work.facts.get(requests, version)

    def put(self, facts: Iterable[tuple[Request, Fact]], version: str) -> None:
        with self._store.begin() as work:
            work.facts.put(facts, version)
