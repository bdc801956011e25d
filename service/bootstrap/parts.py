"""Owns the parts that a server and a local run share; refuses to start either."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata

import uv

from service.adapters.backends import BUILT_IN, make_backend
from service.adapters.database.unit_of_work import Database
from service.domain.facts import Fact, Request
from service.flow.schedule import Scheduler
from service.ports.backend import Backend
from service.ports.notifier import Notifier
from service.ports.store import Queue, Store
from service.settings import Settings
from service.worker.handlers import Handlers
from service.worker.loop import Loop


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
    settings.home.mkdir(parents=True, exist_ok=True)
    with open_database(settings) as store:
        yield store


@contextmanager
def open_database(settings: Settings) -> Iterator[Database]:
    store = Database(settings.database)
    try:
        if settings.migrate:
            store.migrate()
        yield store
    finally:
        store.close()


def open_backends(settings: Settings) -> dict[str, Backend]:
    uv_binary = uv.find_uv_bin()
    return {name: make_backend(name, settings.home / "local", uv=uv_binary) for name in BUILT_IN}


def make_loop(
    scheduler: Scheduler, slots: int, repositories: Collection[str], notifiers: Sequence[Notifier] = ()
) -> Loop:
    handlers = Handlers(scheduler, dict.fromkeys(scheduler.backends, slots), tuple(notifiers), tuple(repositories))
    driver = handlers.driver()
    return Loop(
        scheduler.store,
        {Queue.DELIVERIES: handlers.delivery, Queue.EXECUTIONS: driver.drive, Queue.NOTICES: handlers.notice},
        {Queue.DELIVERIES: 2, Queue.EXECUTIONS: 4, Queue.NOTICES: 1},
    )


class StoredFacts:
    """The database's fact cache, a unit of work at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, requests: Collection[Request], version: str) -> Mapping[Request, Fact]:
        with self._store.begin() as work:
            return work.facts.get(requests, version)

    def put(self, facts: Iterable[tuple[Request, Fact]], version: str) -> None:
        with self._store.begin() as work:
            work.facts.put(facts, version)
