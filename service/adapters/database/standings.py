"""Owns what stands for each pipeline at a planned commit, as rows; refuses to decide it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from service.adapters.database import tables
from service.adapters.database.documents import certain, dumps, loads
from service.adapters.database.upsert import insert_new
from service.domain.lineage import Standing
from service.domain.names import shown

_T = tables.standings
_HERE = select(_T).where(_T.c.repository == bindparam("repository"), _T.c.ref == bindparam("ref"))
_NEWEST = _HERE.order_by(_T.c.id.desc()).limit(1)
_NEWEST_ID = _NEWEST.with_only_columns(_T.c.id)


class Standings:
    """Implements the standings part of the store port, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, standing: Standing) -> None:
        values = {
            "id": standing.id,
            "repository": standing.repository,
            "ref": shown(standing.ref),
            "commit": standing.commit,
            "trigger": standing.trigger,
            "at": standing.at.timestamp(),
            "executions": dumps(dict(standing.executions)),
            "fresh": dumps(sorted(standing.fresh)),
            "marks": dumps(dict(standing.marks)),
        }
        before = self._connection.scalar(_NEWEST_ID, {"repository": standing.repository, "ref": shown(standing.ref)})
        if insert_new(self._connection, _T, values, "repository", "ref", "commit", "trigger") and before is not None:
            # Half of the row, and of use only as long as it is the newest.
            self._connection.execute(update(_T).where(_T.c.id == before).values(marks="{}"))

    def newest(self, repository: str, ref: str) -> Standing | None:
        row = self._connection.execute(_NEWEST, {"repository": repository, "ref": shown(ref)}).one_or_none()
        return None if row is None else _standing(row)

    def of_commit(self, commit: str) -> Sequence[Standing]:
        query = select(_T).where(_T.c.commit == commit).order_by(_T.c.id.desc())
        return [_standing(row) for row in self._connection.execute(query)]


def _standing(row: Any) -> Standing:
    return Standing(
        id=row.id,
        repository=row.repository,
        ref=row.ref,
        commit=row.commit,
        trigger=row.trigger,
        at=certain(row.at),
        executions=loads(row.executions),
        fresh=frozenset(loads(row.fresh)),
        marks=loads(row.marks),
    )
