"""Owns the one lease mechanism behind all three queues; refuses to know what the work is.

A row is due when ``due_at`` has come and no lease is alive; claiming counts the attempt and raises the fence first, so
that a job which kills its process ends in quarantine, and a worker that stalls cannot write. The database's clock decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Table, and_, case, delete, func, insert, literal_column, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from service.adapters.database import tables
from service.adapters.database.documents import moment
from service.domain.names import shown
from service.ports.queues import Job, Lease, LeaseLost, Queue

MOST_ATTEMPTS = 8
LONGEST_WAIT = 60.0
"""Seconds: nothing is ever put off for longer, so what lies further ahead was written before the clock was set back."""
TABLES: dict[Queue, Table] = {
    Queue.DELIVERIES: tables.deliveries,
    Queue.EXECUTIONS: tables.executions,
    Queue.NOTICES: tables.notices,
}


def clock(connection: Connection) -> ColumnElement[float]:
    """The database's own time, in seconds since the epoch."""
    if connection.dialect.name == "postgresql":
        return literal_column("extract(epoch from clock_timestamp())::double precision")
    return literal_column("((julianday('now') - 2440587.5) * 86400.0)")


def announce_work(connection: Connection) -> None:
    """Whoever waits for work shall look again once this transaction is committed."""
    connection.info["work"] = True


class Jobs:
    """Implements the jobs part of the store port, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._now = clock(connection)

    def claim(self, queue: Queue, limit: int, seconds: float, share: int | None = None) -> Sequence[Lease]:
        table = TABLES[queue]
        due = self._due(table)
        self._connection.execute(
            update(table)
            .where(due, table.c.attempt >= MOST_ATTEMPTS)
            .values(
                quarantined=True,
                leased_until=None,
                last_error=func.coalesce(func.nullif(table.c.last_error, ""), "the worker died every time"),
            )
        )
        is_shared = table is tables.deliveries
        chosen = self._chosen(table, due, limit, share) if is_shared else self._oldest(table, due, limit)
        rows = self._connection.execute(
            update(table)
            .where(table.c.id.in_(chosen))
            .values(leased_until=self._now + seconds, fence=table.c.fence + 1, attempt=table.c.attempt + 1)
            .returning(table.c.id, table.c.fence, table.c.attempt)
        )
        return [Lease(queue, row.id, row.fence, row.attempt) for row in rows]

    def _due(self, table: Table) -> ColumnElement[bool]:
        free = or_(table.c.leased_until.is_(None), table.c.leased_until < self._now)
        return and_(table.c.due_at <= self._now, free, table.c.quarantined.is_(False))

    def _oldest(self, table: Table, due: ColumnElement[bool], limit: int) -> Any:
        found = select(table.c.id).where(due).order_by(table.c.due_at).limit(limit)
        return found.with_for_update(skip_locked=True)

    def _chosen(self, table: Table, due: ColumnElement[bool], limit: int, share: int | None) -> Any:
        """Only the first open delivery of each ref, repositories taking turns, each with its share at most."""
        waiting = table.alias()  # asked about once and not for each row, which a long backlog would make slow
        heads = (
            select(func.min(waiting.c.seq))
            .where(waiting.c.due_at.is_not(None), waiting.c.quarantined.is_(False))
            .group_by(waiting.c.lane)
        )
        turn = func.row_number().over(partition_by=table.c.repository, order_by=table.c.seq).label("turn")
        first = select(table.c.id, table.c.seq, table.c.repository, turn).where(due, table.c.seq.in_(heads)).subquery()
        ids = select(first.c.id).order_by(first.c.turn, first.c.seq).limit(limit)
        if share is not None:
            busy = (
                select(waiting.c.repository, func.count().label("jobs"))
                .where(waiting.c.due_at.is_not(None), waiting.c.leased_until >= self._now)
                .group_by(waiting.c.repository)
                .subquery()
            )
            ids = ids.outerjoin_from(first, busy, busy.c.repository == first.c.repository)
            ids = ids.where(first.c.turn + func.coalesce(busy.c.jobs, 0) <= share)
        return select(table.c.id).where(table.c.id.in_(ids)).with_for_update(skip_locked=True)

    def renew(self, leases: Iterable[Lease], seconds: float) -> None:
        for lease in leases:
            table = TABLES[lease.queue]
            self._connection.execute(
                update(table)
                .where(table.c.id == lease.id, table.c.fence == lease.fence, table.c.leased_until.is_not(None))
                .values(leased_until=self._now + seconds)
            )

    def defer(self, lease: Lease, seconds: float, error: str = "", *, counts: bool = True) -> None:
        values: dict[str, Any] = {"due_at": self._now + min(seconds, LONGEST_WAIT), "leased_until": None}
        values |= {"last_error": shown(error)[:2_000]} if counts else {"attempt": 0, "last_error": ""}
        self._settle(lease, **values)

    def put_off(self, lease: Lease, seconds: float, why: str) -> None:
        """Attempts still grow, so that the pauses do, but stop short of quarantine: there is room for a worker to die."""
        count = min(lease.attempt, MOST_ATTEMPTS - 2)
        error = shown(why)[:2_000]
        self._settle(
            lease, due_at=self._now + min(seconds, LONGEST_WAIT), leased_until=None, attempt=count, last_error=error
        )

    def finish(self, lease: Lease) -> None:
        self._settle(lease, due_at=None, leased_until=None, last_error="")

    def quarantine(self, lease: Lease, error: str) -> None:
        self._settle(lease, leased_until=None, quarantined=True, last_error=shown(error)[:2_000])

    def _settle(self, lease: Lease, **values: Any) -> None:
        table = TABLES[lease.queue]
        announce_work(self._connection)
        done = self._connection.execute(
            update(table).where(table.c.id == lease.id, table.c.fence == lease.fence).values(**values)
        )
        if done.rowcount != 1:
            raise LeaseLost(f"{lease.queue.value} {lease.id}")

    def wake(self, queue: Queue, id: str) -> None:
        table = TABLES[queue]
        announce_work(self._connection)
        self._connection.execute(
            update(table).where(table.c.id == id, table.c.due_at.is_not(None)).values(due_at=self._now)
        )

    def get(self, queue: Queue, id: str) -> Job | None:
        table = TABLES[queue]
        row = self._connection.execute(select(table).where(table.c.id == id)).one_or_none()
        return None if row is None else job_of(row)

    def next_due(self) -> float | None:
        """Seconds until something may be due, by the database's clock; ``None``: nothing waits."""
        times = []
        for table in TABLES.values():
            at = func.max if self._connection.dialect.name == "sqlite" else func.greatest
            when = at(table.c.due_at, func.coalesce(table.c.leased_until, 0.0))
            waiting = and_(table.c.due_at.is_not(None), table.c.quarantined.is_(False))
            times.append(self._connection.scalar(select(func.min(when) - self._now).where(waiting)))
        return min((float(one) for one in times if one is not None), default=None)

    def beat(self, worker: str) -> None:
        table = tables.heartbeats
        old = or_(table.c.at < self._now - 3600.0, table.c.at > self._now + 60.0)
        self._connection.execute(delete(table).where(or_(table.c.worker == worker, old)))
        self._connection.execute(insert(table).values(worker=worker, at=self._now))

    def mend_times(self) -> int:
        found = 0
        for table in TABLES.values():
            for column, value in ((table.c.due_at, self._now), (table.c.leased_until, None)):
                far = and_(table.c.due_at.is_not(None), column > self._now + LONGEST_WAIT)
                found += self._connection.execute(update(table).where(far).values({column: value})).rowcount
        return found

    def free_all(self) -> None:
        for table in TABLES.values():
            held = and_(table.c.due_at.is_not(None), table.c.leased_until.is_not(None))
            pause = case({1: 0.0, 2: 0.0, 3: 2.0, 4: 4.0, 5: 8.0, 6: 16.0}, value=table.c.attempt, else_=32.0)
            self._connection.execute(update(table).where(held).values(leased_until=None, due_at=self._now + pause))

    def beats(self, within: float) -> int:
        table = tables.heartbeats
        return self._connection.scalar(select(func.count()).where(table.c.at >= self._now - within)) or 0

    def depth(self) -> dict[str, int]:
        """How many rows of each queue wait or are in work."""
        return {
            queue.value: self._connection.scalar(select(func.count()).where(table.c.due_at.is_not(None))) or 0
            for queue, table in TABLES.items()
        }


def job_of(row: Any) -> Job:
    """The job columns of any row."""
    return Job(row.id, moment(row.due_at), moment(row.leased_until), row.attempt, row.last_error, bool(row.quarantined))
