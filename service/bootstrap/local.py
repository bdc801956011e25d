"""Owns ``refit run``: a server's arrows on a database of this repository's own; refuses webhooks."""

from __future__ import annotations

import getpass
import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from fastapi import FastAPI

from service.adapters.clock import SystemClock
from service.adapters.github.webhook import GitHubWebhooks
from service.bootstrap.backends import open_backends, open_definitions, slots_of
from service.bootstrap.here import Here, checkout, known_backends
from service.bootstrap.parts import StoredFacts, make_loop, open_database, version
from service.domain.errors import Refused
from service.domain.execution import Execution
from service.domain.names import short
from service.flow.assess import Assessor
from service.flow.receive import Inbox
from service.flow.schedule import Request as Wanted
from service.flow.schedule import Scheduler
from service.ports.git_host import Repository
from service.settings import Settings
from service.web.app import create_app
from service.web.connections import Config, Server
from service.web.services import Bounds, Services


@dataclass(frozen=True)
class LocalRun:
    """Executions carried out in this process against a history of this repository's own."""

    here: Here
    scheduler: Scheduler

    def start(self, head: str, pipeline: str | None, forced: Sequence[str]) -> list[Execution]:
        """Store the executions that a commit needs; the loop behind this value carries them out."""
        repository = self.here.repository
        sha = repository.resolve(head)
        commit = repository.commit(sha)
        base = self.here.default_base(sha)
        wanted = Wanted(
            repository=self.here.name,
            ref="local",
            commit=commit,
            trigger=f"run-{self.scheduler.clock.new_id()}",
            author=commit.author,
            base=base,
            pipelines=(pipeline,) if pipeline else (),
            forced=tuple(forced),
        )
        prepared = self.scheduler.prepare(wanted)
        names = [p.name for p in prepared.findings.after.manifest.pipelines]
        if pipeline and pipeline not in names:
            raise Refused(f"running {pipeline}: refit.yaml at {short(sha)} declares {', '.join(names) or 'none'}")
        with self.scheduler.store.begin() as work:
            return self.scheduler.store_plans(work, wanted, prepared)

    def look(self, ids: Sequence[str]) -> list[Execution]:
        """The executions as they stand."""
        with self.scheduler.store.read() as work:
            found = [work.executions.get(one) for one in ids]
        return [one for one in found if one is not None]

    def cancel(self, ids: Sequence[str], why: str) -> None:
        """Ask for their end and wait for it."""
        with self.scheduler.store.begin() as work:
            for one in ids:
                work.executions.mark(one, cancelled=why)
        while not all(one.ended_at for one in self.look(ids)):
            self.scheduler.store.wait(0.2)


@contextmanager
def local_run(path: Path) -> Iterator[LocalRun]:
    """``refit run``: the same arrows as a server's, on a database of this repository's own."""
    settings = Settings(slots=max(1, os.cpu_count() or 1))
    with checkout(path) as here, _local_scheduler(settings, here) as scheduler:
        working = make_loop(scheduler, slots_of(settings, scheduler.backends), (here.name,))
        working.start()
        try:
            yield LocalRun(here, scheduler)
        finally:
            working.stop()


@contextmanager
def local_history(path: Path) -> Iterator[httpx.Client]:
    """The REST API over what ``refit run`` recorded for this repository, in process: one code path for the CLI."""
    settings = Settings()
    with checkout(path) as here, _local_scheduler(settings, here) as scheduler:
        services = Services(
            store=scheduler.store,
            inbox=Inbox(scheduler.store),
            read_webhook=GitHubWebhooks(()),
            scheduler=scheduler,
            repositories=(here.name,),
            ready=dict,
            open_reading=True,
            version=version(),
            owner=getpass.getuser(),
            bounds=Bounds(calls_per_minute=0),
        )
        with _answering(create_app(services), services.bounds) as http:
            yield http


@contextmanager
def _answering(app: FastAPI, bounds: Bounds) -> Iterator[httpx.Client]:
    """The app on a free loopback port for as long as the caller asks it something."""
    server = Server(Config(app, bounds, host="127.0.0.1", port=0))
    thread = threading.Thread(target=server.run, name="local-history", daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    address = server.servers[0].sockets[0].getsockname()
    try:
        with httpx.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=30.0) as http:
            yield http
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def _local_scheduler(settings: Settings, here: Here) -> Iterator[Scheduler]:
    folder = settings.home / "repositories" / hashlib.sha256(os.fsencode(here.repository.folder)).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    local = settings.model_copy(update={"database_url": f"sqlite:///{folder / 'history.db'}"})
    with open_database(local) as store:
        hosts = _One(here.name, here.repository)
        assessor = Assessor(
            here.assessor.reader,
            StoredFacts(store),
            known_backends(),
            open_definitions(settings, here.assessor.reader),
        )
        yield Scheduler(store, hosts, assessor, open_backends(settings, here.assessor.reader), SystemClock())


class _One:
    """A git host with one repository: the one we stand in."""

    def __init__(self, name: str, repository: Repository) -> None:
        self._name = name
        self._repository = repository

    def repository(self, name: str) -> Repository:
        if name != self._name:
            raise Refused(f"reading {name}: this history is of {self._name}")
        return self._repository
