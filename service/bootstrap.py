"""The only composition root: settings in, wired rooms out; refuses rules, loops and anything that outlives its context."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path

import httpx
import uv
from fastapi import FastAPI
from starlette.testclient import TestClient

from service.adapters.backends import BUILT_IN, make_backend
from service.adapters.clock import SystemClock
from service.adapters.database.unit_of_work import Database
from service.adapters.git.checkout import Checkout
from service.adapters.git.host import MirrorHost
from service.adapters.github.webhook import GitHubWebhooks
from service.adapters.notifiers.console import Console
from service.adapters.reading import IsolatedReader
from service.domain.errors import Refused
from service.domain.execution import Execution
from service.domain.facts import Fact, Request
from service.domain.names import short
from service.flow.assess import Assessor
from service.flow.receive import Inbox
from service.flow.schedule import Request as Wanted
from service.flow.schedule import Scheduler
from service.ports.backend import Backend
from service.ports.git_host import GitHost, Repository
from service.ports.store import Queue, Store
from service.settings import Settings
from service.web.app import create_app
from service.web.services import Services
from service.worker.handlers import Handlers
from service.worker.loop import Loop


@dataclass(frozen=True)
class Runtime:
    """A server's rooms, wired."""

    settings: Settings
    database: Database
    reader: IsolatedReader
    assessor: Assessor
    scheduler: Scheduler
    repositories: Mapping[str, str]


@contextmanager
def runtime(settings: Settings) -> Iterator[Runtime]:
    """Everything a server or a worker needs; closed in the reverse order."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with _database(settings) as store, IsolatedReader() as reading:
        hosts = MirrorHost(
            settings.home / "mirrors",
            settings.repositories,
            token=settings.github_token.get_secret_value(),
            protocols=tuple(settings.git_protocols.split(":")),
        )
        try:
            backends = _backends(settings)
            assessor = Assessor(reading, _StoredFacts(store), tuple(backends))
            scheduler = Scheduler(store, hosts, assessor, backends, SystemClock())
            yield Runtime(settings, store, reading, assessor, scheduler, settings.repositories)
        finally:
            hosts.close()


def loop(made: Runtime) -> Loop:
    """The worker's loop, not started."""
    return _loop(made.scheduler, made.settings.slots, made.repositories)


def web(made: Runtime) -> FastAPI:
    """The web room."""
    return create_app(
        Services(
            store=made.database,
            inbox=Inbox(made.database),
            read_webhook=GitHubWebhooks(made.settings.secrets),
            scheduler=made.scheduler,
            repositories=tuple(made.repositories),
            ready=lambda: _ready(made),
            open_reading=made.settings.reads_openly,
            version=version(),
        )
    )


def version() -> str:
    """The installed version, or the checkout's."""
    try:
        return metadata.version("refit")
    except metadata.PackageNotFoundError:
        return "checkout"


def clock() -> SystemClock:
    return SystemClock()


@contextmanager
def database() -> Iterator[Store]:
    """The server's database alone, for verbs that need nothing else."""
    settings = Settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    with _database(settings) as store:
        yield store


@contextmanager
def reader() -> Iterator[IsolatedReader]:
    with IsolatedReader() as reading:
        yield reading


def known_backends() -> Collection[str]:
    """The names that a manifest may use here."""
    return tuple(BUILT_IN)


def choices(settings: Settings) -> list[str]:
    """What a server started with these settings has chosen, for its operator to read."""
    store = "PostgreSQL" if settings.database.startswith("postgresql") else f"SQLite ({settings.home / 'refit.db'})"
    repositories = ", ".join(settings.repositories) or "none yet: set REFIT_REPOSITORIES"
    return [
        f"database: {store}",
        f"backends: {', '.join(BUILT_IN)} ({settings.slots} steps at once)",
        f"repositories: {repositories}",
        "webhook secret: "
        + ("set" if settings.secrets else "none, so every webhook is refused: set REFIT_WEBHOOK_SECRET"),
        "reading the API: " + ("open" if settings.reads_openly else "needs a token: refit token create"),
    ]


# without a server -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Here:
    """A user's own repository, and what plans its commits."""

    name: str
    repository: Checkout
    assessor: Assessor

    def default_base(self, head: str) -> str | None:
        """The merge-base with the default branch; for a commit of that branch itself, its first parent."""
        default = self.repository.default_branch()
        base = self.repository.merge_base(default, head) if default else None
        if base != head:
            return base
        parents = self.repository.commit(head).parents
        return parents[0] if parents else None


@contextmanager
def checkout(path: Path) -> Iterator[Here]:
    """Plan in place: no server, no database, no network."""
    with Checkout(path) as repository, IsolatedReader() as reading:
        yield Here(_name(path), repository, Assessor(reading, _Forgetful(), known_backends()))


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
            ref=f"local/{pipeline or ''}",
            commit=commit,
            trigger=f"run-{self.scheduler.clock.new_id()}",
            author=commit.author,
            base=base,
            pipelines=(pipeline,) if pipeline else (),
            forced=tuple(forced),
        )
        findings = self.scheduler.findings(wanted)
        names = [p.name for p in findings.after.manifest.pipelines]
        if pipeline and pipeline not in names:
            raise Refused(f"running {pipeline}: refit.yaml at {short(sha)} declares {', '.join(names) or 'none'}")
        with self.scheduler.store.begin() as work:
            return self.scheduler.store_plans(work, wanted, findings)

    def look(self, ids: Sequence[str]) -> list[Execution]:
        """The executions as they stand."""
        with self.scheduler.store.begin() as work:
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
        working = _loop(scheduler, settings.slots, (here.name,))
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
        )
        with TestClient(create_app(services)) as http:
            yield http


# parts ----------------------------------------------------------------------------------------------------------------


@contextmanager
def _local_scheduler(settings: Settings, here: Here) -> Iterator[Scheduler]:
    folder = settings.home / "repositories" / hashlib.sha256(os.fsencode(here.repository.folder)).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    local = settings.model_copy(update={"database_url": f"sqlite:///{folder / 'history.db'}"})
    with _database(local) as store:
        hosts = _One(here.name, here.repository)
        assessor = Assessor(here.assessor.reader, _StoredFacts(store), known_backends())
        yield Scheduler(store, hosts, assessor, _backends(settings), SystemClock())


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    store = Database(settings.database)
    try:
        if settings.migrate:
            store.migrate()
        yield store
    finally:
        store.close()


def _backends(settings: Settings) -> dict[str, Backend]:
    uv_binary = uv.find_uv_bin()
    return {name: make_backend(name, settings.home / "local", uv=uv_binary) for name in BUILT_IN}


def _loop(scheduler: Scheduler, slots: int, repositories: Collection[str]) -> Loop:
    handlers = Handlers(scheduler, dict.fromkeys(scheduler.backends, slots), (Console(),), tuple(repositories))
    driver = handlers.driver()
    return Loop(
        scheduler.store,
        {Queue.DELIVERIES: handlers.delivery, Queue.EXECUTIONS: driver.drive, Queue.NOTICES: handlers.notice},
        {Queue.DELIVERIES: 2, Queue.EXECUTIONS: 4, Queue.NOTICES: 1},
    )


def _name(path: Path) -> str:
    folder = path.resolve()
    return f"local/{folder.name.removesuffix('.git') or 'repository'}"


def _ready(made: Runtime) -> dict[str, str]:
    checks = {"database": "", "migrations": "", "worker": ""}
    try:
        have, want = made.database.head()
        checks["migrations"] = "" if have == want else f"at {have}, this version needs {want}"
        with made.database.begin() as work:
            checks["worker"] = "" if work.jobs.beats(30.0) else "no worker has been seen for 30 s"
    except Exception as error:  # readiness reports whatever is wrong instead of failing itself
        checks["database"] = f"{type(error).__name__}"
    return checks


class _One:
    """A git host with one repository: the one we stand in."""

    def __init__(self, name: str, repository: Repository) -> None:
        self._name = name
        self._repository = repository

    def repository(self, name: str) -> Repository:
        if name != self._name:
            raise Refused(f"reading {name}: this history is of {self._name}")
        return self._repository


class _StoredFacts:
    """The database's fact cache, a unit of work at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, requests: Collection[Request], version: str) -> Mapping[Request, Fact]:
        with self._store.begin() as work:
            return work.facts.get(requests, version)

    def put(self, facts: Iterable[tuple[Request, Fact]], version: str) -> None:
        with self._store.begin() as work:
            work.facts.put(facts, version)


class _Forgetful:
    """No cache: a plan in a checkout leaves nothing behind."""

    def get(self, requests: Collection[Request], version: str) -> Mapping[Request, Fact]:
        return {}

    def put(self, facts: object, version: str) -> None:
        return None


# doctor ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One thing that was tried for real; ``detail`` says what was found, and the next step when it fails."""

    name: str
    ok: bool
    detail: str


def examine() -> list[Check]:
    """Try every setting against the real thing."""
    try:
        settings = Settings()
    except ValueError as error:
        return [Check("settings", False, str(error))]
    checks = [
        Check("python", True, platform.python_version()),
        _tried(
            "git",
            lambda: subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip(),
        ),
        _tried("uv", lambda: uv.find_uv_bin()),
        _tried("database", lambda: _tried_database(settings)),
        Check("webhook secret", bool(settings.secrets), "set" if settings.secrets else "set REFIT_WEBHOOK_SECRET"),
    ]
    for name in settings.repositories:
        checks.append(_tried(f"repository {name}", partial(_tried_repository, settings, name)))
    return checks


def _tried(name: str, act: Callable[[], object]) -> Check:
    try:
        return Check(name, True, str(act()))
    except Exception as error:  # a doctor reports every failure, whatever it is
        reason = error.reason if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
        return Check(name, False, reason)


def _tried_database(settings: Settings) -> str:
    settings.home.mkdir(parents=True, exist_ok=True)
    with _database(settings) as store:
        have, want = store.head()
    return f"migrated to {have}" if have == want else f"at {have}; `refit serve` migrates it to {want}"


def _tried_repository(settings: Settings, name: str) -> str:
    hosts: GitHost = MirrorHost(
        settings.home / "mirrors",
        settings.repositories,
        token=settings.github_token.get_secret_value(),
        protocols=tuple(settings.git_protocols.split(":")),
    )
    return f"{len(hosts.repository(name).fetch())} refs fetched"
