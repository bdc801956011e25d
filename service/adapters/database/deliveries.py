"""Owns delivery rows; refuses to judge what a delivery means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from service.adapters.database import tables
from service.adapters.database.documents import certain, dumps, event_of, event_text, loads
from service.adapters.database.jobs import announce_work, clock, job_of
from service.adapters.database.paging import before, cursor_of
from service.adapters.database.upsert import insert_new
from service.domain.delivery import Delivery, Nothing
from service.domain.names import shown
from service.ports.queues import Lease, LeaseLost
from service.ports.store import Page, StoredDelivery

_TABLE = tables.deliveries


class Deliveries:
    """Implements the deliveries part of the store port, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        announce_work(self._connection)
        return [self._add(delivery) for delivery in deliveries]

    def _add(self, delivery: Delivery) -> bool:
        event = delivery.event
        # What has no consequence must not wait for what has: each such delivery is in a lane of its own.
        lane = delivery.guid if isinstance(event, Nothing) else f"{event.repository.lower()} {shown(event.ref)}"
        values = {
            "id": delivery.guid,
            "name": delivery.name,
            "action": delivery.action,
            "repository": event.repository,
            "lane": lane,
            "event": event_text(event),
            "received_at": delivery.received_at.timestamp(),
            "due_at": clock(self._connection),
        }
        return insert_new(self._connection, _TABLE, values, "id")

    def get(self, guid: str) -> StoredDelivery | None:
        row = self._connection.execute(select(_TABLE).where(_TABLE.c.id == guid)).one_or_none()
        return None if row is None else _delivery(row)

    def settle(self, lease: Lease, outcome: str, executions: Sequence[str]) -> None:
        announce_work(self._connection)  # the next delivery of its ref may go on
        done = self._connection.execute(
            update(_TABLE)
            .where(_TABLE.c.id == lease.id, _TABLE.c.fence == lease.fence)
            .values(
                outcome=shown(outcome),
                executions=dumps(list(executions)),
                due_at=None,
                leased_until=None,
                last_error="",
            )
        )
        if done.rowcount != 1:
            raise LeaseLost(f"delivery {lease.id}")

    def page(self, repository: str = "", cursor: str | None = None, limit: int = 50) -> Page[StoredDelivery]:
        query = select(_TABLE).order_by(_TABLE.c.seq.desc()).limit(limit + 1)
        if repository:
            query = query.where(_TABLE.c.repository == repository)
        if cursor:
            query = query.where(_TABLE.c.seq < int(before(cursor, "0")))
        rows = self._connection.execute(query).all()
        more = cursor_of(str(rows[limit - 1].seq)) if len(rows) > limit else None
        return Page(tuple(_delivery(row) for row in rows[:limit]), more)

    def replay(self, guid: str) -> bool:
        announce_work(self._connection)
        now = clock(self._connection)
        done = self._connection.execute(
            update(_TABLE)
            .where(_TABLE.c.id == guid, (_TABLE.c.leased_until.is_(None)) | (_TABLE.c.leased_until < now))
            .values(due_at=now, attempt=0, quarantined=False, last_error="", outcome="", executions="[]")
        )
        return done.rowcount == 1


def _delivery(row: Any) -> StoredDelivery:
    delivery = Delivery(row.id, row.name, row.action, event_of(row.event), certain(row.received_at))
    return StoredDelivery(delivery, row.outcome, tuple(loads(row.executions)), job_of(row))
