"""Owns the outbox of announcements, one row for each execution; refuses to know who is told."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select, update

from service.adapters.database import tables
from service.adapters.database.jobs import announce_work, clock
from service.adapters.database.upsert import insert_all_new, insert_new

_T = tables.notices


class Notices:
    """Implements the notices part of the store port, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def enqueue_all(self, executions: Sequence[str]) -> None:
        announce_work(self._connection)
        now = self._connection.scalar(select(clock(self._connection)))
        insert_all_new(self._connection, _T, [{"id": one, "due_at": now} for one in executions], "id")

    def enqueue(self, execution: str) -> None:
        now = clock(self._connection)
        announce_work(self._connection)
        if not insert_new(self._connection, _T, {"id": execution, "due_at": now}, "id"):
            # A new fence voids the settling of an announcer that is at work with what was true before.
            self._connection.execute(
                update(_T)
                .where(_T.c.id == execution)
                .values(due_at=now, leased_until=None, fence=_T.c.fence + 1, attempt=0)
            )
