"""Owns registered model versions and what happened to each, as rows; refuses to decide whether one is good."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from service.adapters.database import tables
from service.adapters.database.documents import certain, dumps, loads
from service.adapters.database.jobs import clock
from service.domain.lineage import ModelEvent, ModelVersion
from service.domain.names import shown

_T, _H = tables.models, tables.model_events


class Models:
    """Implements the models part of the store port, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def register(self, model: ModelVersion, by: str, why: str) -> ModelVersion:
        known = [one for one in self.all(model.name) if one.execution == model.execution]
        if known:
            return known[0]
        newest = self._connection.scalar(select(func.max(_T.c.version)).where(_T.c.name == model.name)) or 0
        self._connection.execute(
            insert(_T).values(
                name=model.name,
                version=newest + 1,
                repository=model.repository,
                result=model.result,
                output=model.output,
                digest=model.digest,
                execution=model.execution,
                commit=model.commit,
                status=model.status,
                created_at=model.created_at.timestamp(),
                metrics=dumps(dict(model.metrics)),
            )
        )
        self._happened(model.name, newest + 1, model.status, by, why)
        return self._one(model.name, newest + 1)

    def all(self, name: str = "", digest: str = "") -> Sequence[ModelVersion]:
        query = select(_T).order_by(_T.c.name, _T.c.version.desc())
        if name:
            query = query.where(_T.c.name == name)
        if digest:
            query = query.where(_T.c.digest == digest)
        return self._with_events(self._connection.execute(query).all())

    def settle(self, model: ModelVersion, status: str, by: str, why: str) -> ModelVersion | None:
        same = (_T.c.name == model.name, _T.c.version == model.version, _T.c.status == model.status)
        if self._connection.execute(update(_T).where(*same).values(status=status)).rowcount != 1:
            return None
        self._happened(model.name, model.version, status, by, why)
        return self._one(model.name, model.version)

    def _one(self, name: str, version: int) -> ModelVersion:
        row = self._connection.execute(select(_T).where(_T.c.name == name, _T.c.version == version)).one()
        return self._with_events([row])[0]

    def _happened(self, name: str, version: int, status: str, by: str, why: str) -> None:
        row = {"name": name, "version": version, "status": status, "by": shown(by), "why": shown(why)}
        self._connection.execute(insert(_H).values(**row, at=clock(self._connection)))

    def _with_events(self, rows: Sequence[Any]) -> list[ModelVersion]:
        names = sorted({row.name for row in rows})
        events: dict[tuple[str, int], list[ModelEvent]] = defaultdict(list)
        for row in self._connection.execute(select(_H).where(_H.c.name.in_(names)).order_by(_H.c.seq)):
            events[row.name, row.version].append(ModelEvent(row.status, row.by, row.why, certain(row.at)))
        return [_model(row, tuple(events[row.name, row.version])) for row in rows]


def _model(row: Any, events: tuple[ModelEvent, ...]) -> ModelVersion:
    return ModelVersion(
        name=row.name,
        version=row.version,
        repository=row.repository,
        result=row.result,
        output=row.output,
        digest=row.digest,
        execution=row.execution,
        commit=row.commit,
        status=row.status,
        created_at=certain(row.created_at),
        metrics=loads(row.metrics),
        events=events,
    )
