"""Owns a server's and a worker's wiring; refuses to run either."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from service.adapters.clock import SystemClock
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.github.webhook import GitHubWebhooks
from service.adapters.notifiers.console import Console
from service.adapters.reading import ReaderPool
from service.bootstrap.backends import names_of_backends, open_backends, open_definitions, slots_of
from service.bootstrap.late_facts import LateFacts
from service.bootstrap.parts import (
    StoredFacts,
    make_home,
    make_loop,
    serve_database,
    unwritable,
    version,
)
from service.domain.errors import Retry
from service.flow.assess import Assessor
from service.flow.mirror import Mirror
from service.flow.receive import Inbox
from service.flow.schedule import Scheduler
from service.flow.sweep import Sweeper
from service.settings import Settings
from service.web.app import create_app
from service.web.services import Bounds, Services
from service.worker.chores import Chore, Chores, auditing, mirroring, sweeping
from service.worker.listener import Listener


@dataclass(frozen=True)
class Runtime:
    """A server's rooms, wired."""

    settings: Settings
    database: Database
    reader: ReaderPool
    assessor: Assessor
    scheduler: Scheduler
    repositories: Mapping[str, str]


@contextmanager
def runtime(settings: Settings) -> Iterator[Runtime]:
    """Everything a server or a worker needs; closed in the reverse order."""
    make_home(settings)
    with serve_database(settings) as store, ReaderPool() as reading:
        hosts = MirrorHost(
            settings.home / "mirrors",
            settings.repositories,
            token=settings.github_token.get_secret_value(),
            protocols=tuple(settings.git_protocols.split(":")),
        )
        try:
            backends = open_backends(settings, reading)
            with LateFacts.opened(StoredFacts(store)) as facts:
                assessor = Assessor(reading, facts, tuple(backends), open_definitions(settings, reading))
                scheduler = Scheduler(store, hosts, assessor, backends, SystemClock())
                yield Runtime(settings, store, reading, assessor, scheduler, settings.repositories)
        finally:
            hosts.close()


@contextmanager
def working(made: Runtime) -> Iterator[None]:
    """The worker at work: jobs as they come, chores from time to time; what is in hand is finished at the end."""
    scheduler, settings = made.scheduler, made.settings
    sweeper = Sweeper(made.database, scheduler.hosts, scheduler.clock)
    loop = make_loop(scheduler, slots_of(settings, scheduler.backends), made.repositories, (Console(),))
    chores = Chores(
        (
            Chore("sweep", settings.sweep_seconds, sweeping(sweeper)),
            Chore("mirror", settings.registry_seconds, mirroring(Mirror(made.database, scheduler.backends))),
            Chore("audit", settings.audit_seconds, auditing(made.assessor, scheduler.hosts)),
        ),
        made.repositories,
    )
    listener = Listener(made.database, scheduler.backends)
    loop.start()
    chores.start()
    listener.start()
    try:
        yield
    finally:
        listener.stop()
        chores.stop()
        loop.stop()


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
            bounds=bounds(made.settings),
        )
    )


def bounds(settings: Settings) -> Bounds:
    """How much of this server anybody may take up."""
    return Bounds(
        calls_per_minute=settings.calls_per_minute,
        bad_signatures_per_minute=settings.bad_signatures_per_minute,
        connections=settings.connections,
        receive_seconds=settings.receive_seconds,
        streams=settings.streams,
    )


def choices(settings: Settings) -> list[str]:
    """What a server started with these settings has chosen, for its operator to read."""
    store = "PostgreSQL" if settings.database.startswith("postgresql") else f"SQLite ({settings.home / 'refit.db'})"
    repositories = ", ".join(settings.repositories) or "none yet: set REFIT_REPOSITORIES"
    return [
        f"database: {store}",
        f"backends: {', '.join(names_of_backends(settings))} ({settings.slots} local steps at once)",
        f"repositories: {repositories}",
        "webhook secret: "
        + ("set" if settings.secrets else "none, so every webhook is refused: set REFIT_WEBHOOK_SECRET"),
        "reading the API: " + ("open" if settings.reads_openly else "needs a token: refit token create"),
    ]


def _ready(made: Runtime) -> dict[str, str]:
    checks = {
        "database": made.database.glance(),
        "migrations": "",
        "worker": "",
        "home": unwritable(made.settings.home),
    }
    if checks["database"]:
        return checks
    try:
        have, want = made.database.head()
        checks["migrations"] = "" if have == want else f"at {have}, this version needs {want}"
        with made.database.read() as work:
            checks["worker"] = "" if work.jobs.beats(30.0) else "no worker has been seen for 30 s"
    except Retry as problem:
        checks["database"] = problem.reason
    except Exception as error:  # readiness reports whatever is wrong instead of failing itself
        checks["database"] = f"{type(error).__name__}"
    return checks
