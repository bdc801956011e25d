"""Owns results, promotions and their queries both ways, as rows; refuses to draw the graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, exists, func, literal, or_, select, true, union, union_all

from service.adapters.database import tables
from service.adapters.database.among import among, pairs
from service.adapters.database.documents import certain, dumps, loads, parts_of, parts_text
from service.adapters.database.paging import before, cursor_of
from service.adapters.database.upsert import insert_new
from service.domain.execution import Artifact
from service.domain.lineage import InputRecord, Measurement, Promotion, ResultRecord
from service.domain.names import shown
from service.domain.plan import Result
from service.ports.store import Page, ResultFilter

_R, _K, _P = tables.results, tables.result_keys, tables.promotions
_IN, _OUT, _M = tables.result_inputs, tables.result_outputs, tables.result_metrics

# Made once: putting them together takes longer than running them.
_PLANNED = (_R.c.id, _R.c.component, _R.c.execution, _R.c.commit, _R.c.started_at, _R.c.ended_at, _R.c.parts)
_RESULTS = select(*_PLANNED, _R.c.key, _R.c.static_key).where(among(_R.c.id, "wanted"))
_WITH_STATIC_KEYS = (
    select(*_PLANNED, _K.c.key, _K.c.static_key)
    .join(_K, _K.c.result == _R.c.id)
    .where(among(_K.c.static_key, "wanted"))
    .order_by(_R.c.ended_at.desc(), _R.c.id.desc())
)
_MADE = select(_OUT.c.digest).distinct().join(_K, _K.c.result == _OUT.c.result).where(among(_K.c.static_key, "wanted"))
_OUTPUTS = select(_OUT.c.result, _OUT.c.name, _OUT.c.digest).where(among(_OUT.c.result, "ids")).order_by(_OUT.c.name)
_OF_RESULTS = {
    table.name: select(table).where(among(table.c.result, "ids")).order_by(table.c.result, table.c.name)
    for table in (_IN, _OUT, _M)
}


class Lineage:
    """Implements the lineage part of the store port, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, record: ResultRecord) -> None:
        values = {
            "id": record.id,
            "repository": record.repository,
            "pipeline": record.pipeline,
            "component": record.component,
            "execution": record.execution,
            "commit": record.commit,
            "tree": record.tree,
            "ref": shown(record.ref),
            "pull_request": record.pull_request,
            "author": shown(record.author),
            "key": record.key,
            "static_key": record.static_key,
            "parts": parts_text(record.parts),
            "parameters": dumps(dict(record.parameters)),
            "environment": shown(record.environment),
            "backend": record.backend,
            "job": shown(record.job),
            "attempt": record.attempt,
            "started_at": record.started_at.timestamp(),
            "ended_at": record.ended_at.timestamp(),
        }
        if not insert_new(self._connection, _R, values, "id"):
            return
        self.alias(record.id, record.key, record.static_key)
        for read in record.inputs:
            row = {"result": record.id, "name": read.name, "source": shown(read.source), "digest": shown(read.digest)}
            insert_new(self._connection, _IN, {**row, "size": read.size}, "result", "name")
        for made in record.outputs:
            row = {"result": record.id, "name": made.name, "digest": made.digest, "uri": made.uri}
            insert_new(self._connection, _OUT, {**row, "size": made.size}, "result", "name")
        for name, value in record.metrics.items():
            insert_new(
                self._connection, _M, {"result": record.id, "name": shown(name)[:256], "value": value}, "result", "name"
            )

    def alias(self, result: str, key: str, static_key: str) -> None:
        insert_new(self._connection, _K, {"key": key, "result": result, "static_key": static_key}, "key", "result")

    def promote(self, promotion: Promotion) -> None:
        values = {
            "execution": promotion.execution,
            "component": promotion.component,
            "repository": promotion.repository,
            "pipeline": promotion.pipeline,
            "commit": promotion.commit,
            "ref": shown(promotion.ref),
            "result": promotion.result,
            "at": promotion.at.timestamp(),
        }
        insert_new(self._connection, _P, values, "execution", "component")

    def get(self, id: str) -> ResultRecord | None:
        found = self._records(select(_R).where(_R.c.id == id))
        return found[0] if found else None

    def records(self, ids: Iterable[str]) -> Sequence[ResultRecord]:
        wanted = list(dict.fromkeys(ids))
        found = {one.id: one for one in self._records(select(_R).where(among(_R.c.id, wanted)))}
        return [found[id] for id in wanted if id in found]

    def of_executions(self, executions: Collection[str], limit: int) -> Sequence[ResultRecord]:
        kept = select(_P.c.result).where(among(_P.c.execution, executions))
        made = select(_R.c.id).where(among(_R.c.execution, executions))
        query = select(_R).where(_R.c.id.in_(union(made, kept))).order_by(_R.c.id.desc()).limit(limit)
        return self._records(query) if executions else []

    def results(self, ids: Collection[str]) -> dict[str, Result]:
        """Results as planning sees them, by id, under their own keys."""
        return {result.id: result for result in self._planning(_RESULTS, ids)} if ids else {}

    def with_static_keys(self, keys: Collection[str]) -> Sequence[Result]:
        return self._planning(_WITH_STATIC_KEYS, keys) if keys else []

    def made(self, keys: Collection[str]) -> frozenset[str]:
        return frozenset(self._connection.execute(_MADE, {"wanted": keys}).scalars()) if keys else frozenset()

    def baselines(
        self, repository: str, components: Mapping[str, Sequence[str]], refs: Sequence[str]
    ) -> Mapping[str, Mapping[str, Result]]:
        waiting = {(pipeline, one) for pipeline, names in components.items() for one in names}
        chosen: dict[tuple[str, str], str] = {}
        for ref in (*refs, None):
            found = self._newest(repository, sorted(waiting), ref) if waiting else {}
            chosen |= found
            waiting -= found.keys()
        known = self.results(list(chosen.values()))
        baselines: dict[str, dict[str, Result]] = defaultdict(dict)
        for (pipeline, component), result in sorted(chosen.items()):
            if result in known:
                baselines[pipeline][component] = known[result]
        return baselines

    def _newest(
        self, repository: str, places: Sequence[tuple[str, str]], ref: str | None
    ) -> dict[tuple[str, str], str]:
        """(pipeline, component) → its newest success or promotion; one look into an index for each."""
        given = {"places": places, "repository": repository} | ({} if ref is None else {"ref": shown(ref)})
        query = _newest(self._connection.dialect.name, anywhere=ref is None)
        found: dict[tuple[str, str], str] = {}
        for pipeline, component, result, ended, taken, at in self._connection.execute(query, given):
            newer = [(when, one) for when, one in ((ended, result), (at, taken)) if one is not None]
            if newer:
                found[pipeline, component] = max(newer)[1]
        return found

    def page(self, filter: ResultFilter, cursor: str | None = None, limit: int = 50) -> Page[ResultRecord]:
        query = select(_R).order_by(_R.c.id.desc()).limit(limit + 1)
        for name in ("repository", "pipeline", "component", "commit", "execution"):
            if value := getattr(filter, name):
                query = query.where(_R.c[name] == value)
        for table, digest in ((_OUT, filter.digest), (_IN, filter.read_digest)):
            if digest:  # few have it: asked in this way they are found first, instead of looked for among all results
                query = query.where(_R.c.id.in_(select(table.c.result).where(table.c.digest == digest)))
        if filter.metric:
            query = query.where(exists().where(_M.c.result == _R.c.id, _M.c.name == filter.metric))
        if cursor:
            query = query.where(_R.c.id < before(cursor))
        found = self._records(query)
        more = cursor_of(found[limit - 1].id) if len(found) > limit else None
        return Page(tuple(found[:limit]), more)

    def promotions(self, *, commit: str = "", result: str = "", execution: str = "") -> Sequence[Promotion]:
        query = select(_P).order_by(_P.c.at, _P.c.execution, _P.c.component)
        for column, value in ((_P.c.commit, commit), (_P.c.result, result), (_P.c.execution, execution)):
            if value:
                query = query.where(column == value)
        return [
            Promotion(r.execution, r.repository, r.pipeline, r.component, r.commit, r.ref, r.result, certain(r.at))
            for r in self._connection.execute(query)
        ]

    def components(self) -> Sequence[tuple[str, str, str, int, int, float]]:
        """(repository, pipeline, component, times run, times reused, mean seconds) of everything ever made."""
        ran = {
            (r.repository, r.pipeline, r.component): (r.n, float(r.mean))
            for r in self._connection.execute(
                select(
                    _R.c.repository,
                    _R.c.pipeline,
                    _R.c.component,
                    func.count().label("n"),
                    func.avg(_R.c.ended_at - _R.c.started_at).label("mean"),
                ).group_by(_R.c.repository, _R.c.pipeline, _R.c.component)
            )
        }
        kept = {
            (r.repository, r.pipeline, r.component): r.n
            for r in self._connection.execute(
                select(_P.c.repository, _P.c.pipeline, _P.c.component, func.count().label("n")).group_by(
                    _P.c.repository, _P.c.pipeline, _P.c.component
                )
            )
        }
        return [(*place, n, kept.get(place, 0), mean) for place, (n, mean) in sorted(ran.items())]

    def measurements(
        self, name: str, repository: str = "", pipeline: str = "", cursor: str | None = None, limit: int = 50
    ) -> Page[Measurement]:
        def values(table: Any, result: Any, at: Any, reused: int) -> Any:
            columns = [table.c[one] for one in ("repository", "pipeline", "component", "commit", "ref", "execution")]
            query = select(
                _M.c.value, *columns, result.label("result"), at.label("at"), literal(reused).label("reused")
            ).join(_M, and_(_M.c.result == result, _M.c.name == name))
            if repository:
                query = query.where(table.c.repository == repository)
            return query.where(table.c.pipeline == pipeline) if pipeline else query

        both = union_all(values(_R, _R.c.id, _R.c.ended_at, 0), values(_P, _P.c.result, _P.c.at, 1)).subquery()
        query = select(both).order_by(both.c.execution.desc(), both.c.component.desc()).limit(limit + 1)
        if cursor:
            execution, _, component = before(cursor).partition(" ")
            same = and_(both.c.execution == execution, both.c.component < component)
            query = query.where(or_(both.c.execution < execution, same))
        rows = self._connection.execute(query).all()
        more = cursor_of(f"{rows[limit - 1].execution} {rows[limit - 1].component}") if len(rows) > limit else None
        return Page(tuple(_measurement(row) for row in rows[:limit]), more)

    def metrics(self) -> Sequence[tuple[str, str, str, str]]:
        names = (_R.c.repository, _R.c.pipeline, _R.c.component, _M.c.name)
        query = select(*names).join(_M, _M.c.result == _R.c.id).distinct().order_by(*names)
        return [(row[0], row[1], row[2], row[3]) for row in self._connection.execute(query)]

    def _planning(self, query: Select[Any], wanted: Collection[str]) -> list[Result]:
        rows = self._connection.execute(query, {"wanted": wanted}).all()
        outputs: dict[str, dict[str, str]] = defaultdict(dict)
        for result, name, digest in self._connection.execute(_OUTPUTS, {"ids": [row.id for row in rows]}):
            outputs[result][name] = digest
        return [
            Result(
                id=id,
                component=component,
                key=key,
                static_key=static_key,
                parts=parts_of(parts),
                outputs=outputs[id],
                execution=execution,
                commit=commit,
                seconds=ended - started,
            )
            for id, component, execution, commit, started, ended, parts, key, static_key in rows
        ]

    def _records(self, query: Select[Any]) -> list[ResultRecord]:
        rows = self._connection.execute(query).all()
        ids = [row.id for row in rows]
        inputs: dict[str, list[InputRecord]] = defaultdict(list)
        for read in self._rows(_IN, ids):
            inputs[read.result].append(InputRecord(read.name, read.source, read.digest, read.size))
        outputs: dict[str, list[Artifact]] = defaultdict(list)
        for made in self._rows(_OUT, ids):
            outputs[made.result].append(Artifact(made.name, made.digest, made.size, made.uri))
        metrics: dict[str, dict[str, float]] = defaultdict(dict)
        for metric in self._rows(_M, ids):
            metrics[metric.result][metric.name] = metric.value
        return [_record(row, inputs[row.id], outputs[row.id], metrics[row.id]) for row in rows]

    def _rows(self, table: Any, ids: Sequence[str]) -> Sequence[Any]:
        if not ids:
            return []
        return self._connection.execute(_OF_RESULTS[table.name], {"ids": ids}).all()


@cache
def _newest(dialect: str, *, anywhere: bool) -> Select[Any]:
    """For each of the ``places``: its newest result and its newest promotion."""
    wanted = pairs(dialect, "places")

    def newest(table: Any, found: Any, at: Any) -> Any:
        here = and_(
            table.c.repository == bindparam("repository"),
            table.c.pipeline == wanted.c.first,
            table.c.component == wanted.c.second,
            true() if anywhere else table.c.ref == bindparam("ref"),
        )
        query = select(found).where(here).order_by(at.desc(), found.desc()).limit(1)
        return query.correlate(wanted).scalar_subquery()

    made, kept = _R.alias(), _P.alias()
    taken_over = and_(kept.c.execution == newest(_P, _P.c.execution, _P.c.at), kept.c.component == wanted.c.second)
    return (
        select(wanted.c.first, wanted.c.second, made.c.id, made.c.ended_at, kept.c.result, kept.c.at)
        .select_from(wanted)
        .outerjoin(made, made.c.id == newest(_R, _R.c.id, _R.c.ended_at))
        .outerjoin(kept, taken_over)
    )


def _record(row: Any, inputs: list[InputRecord], outputs: list[Artifact], metrics: Mapping[str, float]) -> ResultRecord:
    return ResultRecord(
        id=row.id,
        repository=row.repository,
        pipeline=row.pipeline,
        component=row.component,
        execution=row.execution,
        commit=row.commit,
        tree=row.tree,
        ref=row.ref,
        pull_request=row.pull_request,
        author=row.author,
        key=row.key,
        static_key=row.static_key,
        parts=parts_of(row.parts),
        parameters=loads(row.parameters),
        environment=row.environment,
        backend=row.backend,
        job=row.job,
        attempt=row.attempt,
        started_at=certain(row.started_at),
        ended_at=certain(row.ended_at),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        metrics=metrics,
    )


def _measurement(row: Any) -> Measurement:
    return Measurement(
        value=row.value,
        repository=row.repository,
        pipeline=row.pipeline,
        component=row.component,
        commit=row.commit,
        ref=row.ref,
        execution=row.execution,
        result=row.result,
        at=certain(row.at),
        reused=bool(row.reused),
    )
