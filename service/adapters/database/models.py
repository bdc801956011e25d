"""Owns registered model versions and what happened to each, as rows; refuses to decide whether one is good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from service.adapters.database import tables
from service.adapters.database.documents import certain, dumps, loads
from service.adapters.database.jobs import clock
from service.domain.lineage import ModelVersion
from service.domain.names import shown

_T = tables.models


class Models:
    """Implements the models part of the store port, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def register(self, model: ModelVersion) -> ModelVersion:
        known = self._connection.execute(
            select(_T).where(_T.c.name == model.name, _T.c.execution == model.execution)
        ).one_or_none()
        if known is not None:
            return _model(known)
        newest = self._connection.scalar(select(func.max(_T.c.version)).where(_T.c.name == model.name)) or 0
        numbered = replace(model, version=newest + 1)
        self._connection.execute(
            insert(_T).values(
                name=model.name,
                version=numbered.version,
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
        return numbered

    def all(self, name: str = "", digest: str = "") -> Sequence[ModelVersion]:
        query = select(_T).order_by(_T.c.name, _T.c.version.desc())
        if name:
            query = query.where(_T.c.name == name)
        if digest:
            query = query.where(_T.c.digest == digest)
        return [_model(row) for row in self._connection.execute(query)]

    def settle(self, name: str, version: int, status: str, by: str, why: str) -> ModelVersion | None:
        same = (_T.c.name == name, _T.c.version == version)
        if self._connection.execute(update(_T).where(*same).values(status=status)).rowcount != 1:
            return None
        self._connection.execute(
            insert(tables.model_events).values(
                name=name, version=version, status=status, by=shown(by), why=shown(why), at=clock(self._connection)
            )
        )
        return _model(self._connection.execute(select(_T).where(*same)).one())


def _model(row: Any) -> ModelVersion:
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
    )
