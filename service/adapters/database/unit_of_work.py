"""Owns transactions, migrations on start and waking up, for SQLite and PostgreSQL; refuses queries of its own.

A database that cannot be used now (locked, read-only, full, away) raises ``Retry``: nothing that waits on it is to blame.
"""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

import service
from service.adapters.database.answers import Answers
from service.adapters.database.deliveries import Deliveries
from service.adapters.database.executions import Executions
from service.adapters.database.facts import Facts
from service.adapters.database.jobs import Jobs
from service.adapters.database.lineage import Lineage
from service.adapters.database.models import Models
from service.adapters.database.notices import Notices
from service.adapters.database.sole import sole_process
from service.adapters.database.standings import Standings
from service.adapters.database.tokens import Tokens
from service.domain.errors import Retry
from service.domain.names import shown

_CHANNEL = "refit_jobs"
_MIGRATION_LOCK = 0x5EF17
_SHORTEST_WAIT = 0.05
_PATIENCE_SECONDS = 20.0
"""How long one transaction waits for a lock that another has, and for a server that does not answer."""
_GLANCE_SECONDS = 1.0


class UnitOfWork:
    """Every repository on one connection in one transaction; only ``Database.begin`` commits it."""

    def __init__(self, connection: Connection) -> None:
        self.jobs = Jobs(connection)
        self.deliveries = Deliveries(connection)
        self.lineage = Lineage(connection)
        self.executions = Executions(connection, self.lineage)
        self.standings = Standings(connection)
        self.models = Models(connection)
        self.facts = Facts(connection)
        self.tokens = Tokens(connection)
        self.notices = Notices(connection)
        self.answers = Answers(connection)


class Database:
    """Implements the store port. ``url`` is an SQLAlchemy URL of SQLite or PostgreSQL (psycopg)."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._is_sqlite = self._url.get_backend_name() == "sqlite"
        self._engine = (
            _sqlite(url)
            if self._is_sqlite
            else create_engine(
                url,
                pool_size=10,
                max_overflow=20,
                pool_pre_ping=True,
                connect_args={"connect_timeout": int(_PATIENCE_SECONDS)},
            )
        )
        self._views = (
            _sqlite(url, only_views=True)
            if self._is_sqlite
            else self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        )
        self._changed = threading.Condition()
        self._generation = 0
        self._listener: psycopg.Connection[tuple[object, ...]] | None = None

    @contextlib.contextmanager
    def begin(self) -> Iterator[UnitOfWork]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        with _usable(), self._engine.begin() as connection:
            connection.info.pop("work", None)
            yield UnitOfWork(connection)
            work = connection.info.pop("work", False)
            if work and not self._is_sqlite:
                connection.execute(text(f"NOTIFY {_CHANNEL}"))
        if work:
            self._look_again()

    @contextlib.contextmanager
    def read(self) -> Iterator[UnitOfWork]:
        """One moment's view: rows of several tables agree with each other, and nobody waits for anybody."""
        with _usable(), self._views.begin() as connection:
            yield UnitOfWork(connection)

    def wait(self, seconds: float) -> None:
        """Return when some job may have become due: a commit here, a notification from elsewhere, or its time."""
        with self._changed:
            seen = self._generation
        with _usable(), self._engine.connect() as connection:
            due = Jobs(connection).next_due()
        limit = min(seconds, max(_SHORTEST_WAIT, due)) if due is not None else seconds
        if self._is_sqlite:
            with self._changed:
                if self._generation == seen:
                    self._changed.wait(limit)
        else:
            self._listen(limit)

    def interrupt(self) -> None:
        """Make whoever waits look again, here and, on PostgreSQL, everywhere."""
        if not self._is_sqlite:
            with self._engine.begin() as connection:
                connection.execute(text(f"NOTIFY {_CHANNEL}"))
        self._look_again()

    def _look_again(self) -> None:
        with self._changed:
            self._generation += 1
            self._changed.notify_all()

    def migrate(self) -> None:
        """Bring the schema up to date, one process at a time."""
        with _usable(), self._migration_lock(), self._engine.begin() as connection:
            if not self._is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def head(self) -> tuple[str | None, str | None]:
        """The schema revision that the database has, and the one that this version needs."""
        with _usable(), self._engine.connect() as connection:
            have = MigrationContext.configure(connection).get_current_revision()
        return have, ScriptDirectory.from_config(_config()).get_current_head()

    def glance(self) -> str:
        """What keeps this database from being written now, found out within a second or so; ``""``: nothing."""
        try:
            with _usable():
                if self._is_sqlite and self._url.database:
                    with contextlib.closing(sqlite3.connect(self._url.database, _GLANCE_SECONDS)) as connection:
                        connection.execute("BEGIN IMMEDIATE")
                        connection.rollback()
                else:
                    with self._engine.connect() as pooled:
                        pooled.execute(text("SELECT 1"))
        except Retry as problem:
            return problem.reason
        return ""

    @contextlib.contextmanager
    def sole(self) -> Iterator[None]:
        """Serve the database for the block: an SQLite file alone (``Refused`` if somebody else does), PostgreSQL among
        others. Who is alone need not wait for the leases of a predecessor that was killed."""
        if not self._is_sqlite or not self._url.database or self._url.database == ":memory:":
            yield
            return
        with sole_process(Path(self._url.database)):
            yield

    def take_over(self) -> None:
        """End the leases that a killed predecessor left, inside ``sole`` and once the schema is there."""
        if self._is_sqlite:
            with self.begin() as work:
                work.jobs.free_all()

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._views.dispose()
        self._engine.dispose()

    def _listen(self, seconds: float) -> None:
        with _usable():
            self._listened(seconds)

    def _listened(self, seconds: float) -> None:
        if self._listener is None or self._listener.closed:
            plain = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
            self._listener = psycopg.connect(plain, autocommit=True)
            self._listener.execute(f"LISTEN {_CHANNEL}")
            return  # what was notified before we listened is found by looking again
        for _ in self._listener.notifies(timeout=seconds, stop_after=1):
            return

    @contextlib.contextmanager
    def _migration_lock(self) -> Iterator[None]:
        """SQLite cannot lock before its first table exists, so a file beside it is locked; PostgreSQL locks inside."""
        if not self._is_sqlite or not self._url.database or self._url.database == ":memory:":
            yield
            return
        path = Path(f"{self._url.database}.migrating")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@contextlib.contextmanager
def _usable() -> Iterator[None]:
    """What is wrong with the database and not with the work on it becomes ``Retry``."""
    try:
        yield
    except (DBAPIError, psycopg.OperationalError, sqlite3.OperationalError, NoConnectionFree) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        passing = (
            not isinstance(error, DBAPIError) or isinstance(error, OperationalError) or error.connection_invalidated
        )
        if not passing and not isinstance(cause, psycopg.errors.ReadOnlySqlTransaction):
            raise
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        raise Retry(f"the database cannot be used now: {shown(lines[0])}") from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(service.__file__).resolve().parents[1] / "migrations"))
    return config


def _sqlite(url: str, *, only_views: bool = False) -> Engine:
    """WAL, FULL sync, and every transaction IMMEDIATE, as a deferred one that writes late fails instead of waiting;
    deferred where nothing can be written."""
    engine = create_engine(
        url, pool_size=10, max_overflow=20, connect_args={"timeout": _PATIENCE_SECONDS, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: object, _record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", *["query_only=ON"] * only_views):
            connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if only_views else "BEGIN IMMEDIATE")

    return engine
