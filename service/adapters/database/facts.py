"""Owns the cache of facts per blob, as rows; refuses to compute a fact."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, select

from service.adapters.database import tables
from service.adapters.database.documents import dumps, loads
from service.adapters.database.upsert import insert_new
from service.domain.fact_codec import from_json, to_json
from service.domain.facts import Fact, Kind, Request

_T = tables.facts
_BATCH = 500
"""SQLite takes a bounded number of variables in one statement."""


class Facts:
    """Implements the facts part of the store port, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, requests: Collection[Request], version: str) -> Mapping[Request, Fact]:
        wanted: dict[Kind, list[str]] = defaultdict(list)
        for kind, oid in requests:
            wanted[kind].append(oid)
        found: dict[Request, Fact] = {}
        for kind, oids in wanted.items():
            for start in range(0, len(oids), _BATCH):
                query = select(_T.c.oid, _T.c.body).where(
                    _T.c.kind == kind.value, _T.c.version == version, _T.c.oid.in_(oids[start : start + _BATCH])
                )
                found |= {(kind, row.oid): from_json(loads(row.body)) for row in self._connection.execute(query)}
        return found

    def put(self, facts: Iterable[tuple[Request, Fact]], version: str) -> None:
        for (kind, oid), fact in facts:
            values = {"oid": oid, "kind": kind.value, "version": version, "body": dumps(to_json(fact))}
            insert_new(self._connection, _T, values, "oid", "kind", "version")
