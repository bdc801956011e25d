"""Owns answers that were given under an Idempotency-Key, as rows; refuses to judge a repeated call."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, select, update

from service.adapters.database import tables
from service.adapters.database.documents import certain, dumps, loads
from service.adapters.database.jobs import clock
from service.adapters.database.upsert import insert_new
from service.ports.answers import Answer

_T = tables.answers


class Answers:
    """Implements the answers part of the store port, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._now = clock(connection)

    def claim(self, key: str, request: str, seconds: float) -> Answer | None:
        self._connection.execute(delete(_T).where(_T.c.begun_at < self._now - seconds))
        row = None
        while row is None:
            if insert_new(self._connection, _T, {"key": key, "request": request, "begun_at": self._now}, "key"):
                return None
            row = self._connection.execute(select(_T).where(_T.c.key == key)).one_or_none()  # none: freed in between
        return Answer(row.request, certain(row.begun_at), row.status, loads(row.headers), loads(row.body))

    def keep(self, key: str, status: int, headers: Mapping[str, str], body: str) -> None:
        values = {"status": status, "headers": dumps(dict(headers)), "body": dumps(body)}
        self._connection.execute(update(_T).where(_T.c.key == key).values(**values))

    def free(self, key: str) -> None:
        self._connection.execute(delete(_T).where(_T.c.key == key))
