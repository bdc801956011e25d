"""Owns the cache of facts per blob, as rows; refuses to compute a fact."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, bindparam, select

from service.adapters.database import tables
from service.adapters.database.among import among
from service.adapters.database.documents import dumps, loads
from service.adapters.database.upsert import ensure_all
from service.domain.fact_codec import from_json, to_json
from service.domain.facts import Fact, Kind, Request

_T = tables.facts
_KNOWN = select(_T.c.oid, _T.c.body).where(
    _T.c.kind == bindparam("kind"), _T.c.version == bindparam("version"), among(_T.c.oid, "oids")
)


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
            rows = self._connection.execute(_KNOWN, {"kind": kind.value, "version": version, "oids": oids})
            found |= {(kind, row.oid): from_json(loads(row.body)) for row in rows}
        return found

    def put(self, facts: Iterable[tuple[Request, Fact]], version: str) -> None:
        rows = [
            {"oid": oid, "kind": kind.value, "version": version, "body": dumps(to_json(fact))}
            for (kind, oid), fact in facts
        ]
        ensure_all(self._connection, _T, rows)
