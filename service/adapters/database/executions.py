"""Owns executions, their steps and attempts, as rows; refuses to move them, and to store the status that they imply."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from service.adapters.database import tables
from service.adapters.database.among import among
from service.adapters.database.documents import ingredients_of, reasons_of, seconds
from service.adapters.database.execution_rows import (
    attempt_of,
    attempt_values,
    execution_of,
    execution_values,
    step_rows,
    verdict_values,
)
from service.adapters.database.jobs import announce_work, clock
from service.adapters.database.lineage import Lineage
from service.adapters.database.paging import before, cursor_of
from service.adapters.database.upsert import insert_all_new, insert_new, insert_or_update
from service.domain.execution import RERUN, Attempt, Execution, State, Status, StepRun
from service.domain.gates import Verdict
from service.domain.names import shown
from service.domain.plan import Decision
from service.ports.queues import Lease, LeaseLost
from service.ports.store import AlreadyThere, ExecutionFilter, Page

_E, _S, _A, _O, _V = tables.executions, tables.steps, tables.attempts, tables.occupations, tables.verdicts
_T = tables.standings
_UNIQUE = ("repository", "pipeline", "commit", "ref", "trigger")
_NEWS = ~_E.c.trigger.startswith(RERUN)

# Made once: putting them together takes longer than running them.
_WITH_KEYS = select(_S.c.key, _S.c.execution).where(
    or_(among(_S.c.key, "keys"), among(_S.c.static_key, "keys")), _S.c.key.is_not(None)
)
_FAILED = _WITH_KEYS.where(_S.c.state == State.FAILED.value).order_by(_S.c.execution)
_IN_FLIGHT = _WITH_KEYS.where(_S.c.state == State.RUNNING.value, _S.c.execution != bindparam("besides"))
_ATTEMPTS = select(_A).where(among(_A.c.execution, "ids")).order_by(_A.c.number)
_STEPS = select(_S).where(among(_S.c.execution, "ids")).order_by(_S.c.execution, _S.c.position)
_NEWEST = select(*(select(func.max(table.c.id)).scalar_subquery() for table in (_E, _T)))
_LIVE = select(_E.c.id, _E.c.pipeline).where(
    _E.c.repository == bindparam("repository"), _E.c.ref == bindparam("ref"), _E.c.ended_at.is_(None)
)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 0))")
_VERDICTS = select(_V).where(among(_V.c.execution, "ids")).order_by(_V.c.position)


class Executions:
    """Implements the executions part of the store port, in one transaction."""

    def __init__(self, connection: Connection, lineage: Lineage) -> None:
        self._connection = connection
        self._lineage = lineage
        self._now = clock(connection)

    def add(self, execution: Execution) -> None:
        existing = self.add_all([execution])
        if execution.id in existing:
            raise AlreadyThere(existing[execution.id])

    def add_all(self, executions: Sequence[Execution]) -> Mapping[str, str]:
        announce_work(self._connection)
        now = self._connection.scalar(select(self._now))
        rows = [{**execution_values(execution), "due_at": now} for execution in executions]
        fresh = insert_all_new(self._connection, _E, rows, *_UNIQUE)
        steps = [row for one in executions if one.id in fresh for row in step_rows(one)]
        if steps:
            self._connection.execute(insert(_S), steps)
        for execution in executions:
            if execution.id in fresh and any(step.attempts for step in execution.steps):
                self._write_steps(execution)
        return {row["id"]: self._same(row) for row in rows if row["id"] not in fresh}

    def _same(self, row: Mapping[str, Any]) -> str:
        same = and_(*(_E.c[name] == row[name] for name in _UNIQUE))
        return str(self._connection.scalar(select(_E.c.id).where(same)))

    def get(self, id: str) -> Execution | None:
        row = self._connection.execute(select(_E).where(_E.c.id == id)).one_or_none()
        return None if row is None else self._loaded([row])[0]

    def save(self, execution: Execution, lease: Lease | None = None) -> None:
        where = _E.c.id == execution.id
        if lease is not None:
            where = and_(where, _E.c.fence == lease.fence)
        done = self._connection.execute(update(_E).where(where).values(ended_at=seconds(execution.ended_at)))
        if done.rowcount != 1:
            raise LeaseLost(f"execution {execution.id}")
        self._write_steps(execution)
        for position, verdict in enumerate(execution.verdicts):
            insert_new(self._connection, _V, verdict_values(execution.id, position, verdict), "execution", "position")

    def _write_steps(self, execution: Execution) -> None:
        for step, values in zip(execution.steps, step_rows(execution), strict=True):
            insert_or_update(self._connection, _S, values, "execution", "position")
            for attempt in step.attempts:
                insert_or_update(self._connection, _A, attempt_values(execution.id, step.name, attempt), "token")
            if not step.attempts or step.state is State.WAITING:  # an attempt that found its key occupied is withdrawn
                number = len(step.attempts)
                self._connection.execute(
                    delete(_A).where(_A.c.execution == execution.id, _A.c.component == step.name, _A.c.number > number)
                )

    def mark(self, id: str, *, cancelled: str = "", superseded_by: str = "", approved_by: str = "") -> bool:
        announce_work(self._connection)
        given = {"cancelled": cancelled, "superseded_by": superseded_by, "approved_by": approved_by}
        values = {
            name: case((_E.c[name] == "", shown(value)), else_=_E.c[name]) for name, value in given.items() if value
        }
        done = self._connection.execute(
            update(_E).where(_E.c.id == id, _E.c.ended_at.is_(None)).values(**values, due_at=self._now)
        )
        return done.rowcount == 1

    def supersede(self, newer: Sequence[Execution]) -> None:
        for repository, ref in {(one.repository, one.ref) for one in newer}:
            here = {"repository": repository, "ref": shown(ref)}
            instead = {one.pipeline.name: one.id for one in newer if (one.repository, one.ref) == (repository, ref)}
            for id, pipeline in self._connection.execute(_LIVE, here).all():
                if pipeline in instead and id not in instead.values():
                    self.mark(id, superseded_by=instead[pipeline])

    def succeeded(self, ids: Collection[str]) -> frozenset[str]:
        return frozenset(self._connection.scalars(_succeeded(), {"ids": ids}) if ids else ())

    def planned(self, repository: str, ref: str) -> Execution | None:
        query = select(_E).where(_E.c.repository == repository, _E.c.ref == shown(ref), _NEWS)
        row = self._connection.execute(query.order_by(_E.c.id.desc()).limit(1)).one_or_none()
        return None if row is None else self._loaded([row])[0]

    def newest(self) -> str:
        return max(one or "" for one in self._connection.execute(_NEWEST).one())

    def last_success(self, repository: str, pipeline: str, ref: str, besides: str) -> Execution | None:
        query = select(_E).where(
            _E.c.repository == repository,
            _E.c.pipeline == pipeline,
            _E.c.ref == shown(ref),
            _E.c.id != besides,
            _E.c.ended_at.is_not(None),
            status_expression() == Status.SUCCEEDED.value,
        )
        row = self._connection.execute(query.order_by(_E.c.id.desc()).limit(1)).one_or_none()
        return None if row is None else self._loaded([row])[0]

    def tip(self, repository: str, ref: str) -> str:
        found = ("", "")
        for table, news in ((_E, _NEWS), (_T, true())):
            here = and_(table.c.repository == repository, table.c.ref == shown(ref), news)
            query = select(table.c.id, table.c.commit).where(here).order_by(table.c.id.desc()).limit(1)
            for id, commit in self._connection.execute(query):
                found = max(found, (id, commit))
        return found[1]

    def tips(self, repository: str) -> Mapping[str, str]:
        found: dict[str, tuple[str, str]] = {}
        for table, news in ((_E, _NEWS), (_T, true())):
            newest = select(func.max(table.c.id)).where(table.c.repository == repository, news).group_by(table.c.ref)
            query = select(table.c.ref, table.c.id, table.c.commit).where(table.c.id.in_(newest))
            for ref, id, commit in self._connection.execute(query):
                found[ref] = max(found.get(ref, ("", "")), (id, commit))
        return {ref: commit for ref, (_, commit) in sorted(found.items())}

    def page(self, filter: ExecutionFilter, cursor: str | None = None, limit: int = 50) -> Page[Execution]:
        query = select(_E).order_by(_E.c.id.desc()).limit(limit + 1)
        for name in ("repository", "pipeline", "commit", "trigger"):
            if value := getattr(filter, name):
                query = query.where(_E.c[name] == value)
        if filter.branch:
            query = query.where(_E.c.ref.in_([f"refs/heads/{shown(filter.branch)}", shown(filter.branch)]))
        if filter.since:
            query = query.where(_E.c.created_at >= filter.since.timestamp())
        if filter.statuses:
            query = query.where(status_expression().in_([status.value for status in filter.statuses]))
        if cursor:
            query = query.where(_E.c.id < before(cursor))
        rows = self._connection.execute(query).all()
        more = cursor_of(rows[limit - 1].id) if len(rows) > limit else None
        return Page(tuple(self._loaded(rows[:limit])), more)

    def live(self, repository: str, ref: str, pipeline: str = "") -> Sequence[Execution]:
        query = select(_E).where(_E.c.repository == repository, _E.c.ref == shown(ref), _E.c.ended_at.is_(None))
        if pipeline:
            query = query.where(_E.c.pipeline == pipeline)
        return self._loaded(self._connection.execute(query.order_by(_E.c.id)).all())

    def wanted(self, besides: str) -> frozenset[str]:
        query = (
            select(func.coalesce(_S.c.key, _S.c.static_key))
            .join(_E, _E.c.id == _S.c.execution)
            .where(
                _E.c.ended_at.is_(None),
                _E.c.cancelled == "",
                _E.c.superseded_by == "",
                _E.c.id != besides,
                _S.c.state.in_([State.WAITING.value, State.RUNNING.value]),
            )
        )
        return frozenset(self._connection.scalars(query))

    def in_flight(self, keys: Collection[str], besides: str) -> Mapping[str, str]:
        if not keys:
            return {}
        rows = self._connection.execute(_IN_FLIGHT, {"keys": keys, "besides": besides})
        return {row.key: row.execution for row in rows}

    def decide_alone(self, backend: str) -> None:
        """On PostgreSQL each statement sees what was committed just before it: a result may come between the looks at results and
        at what is in flight. On SQLite who may write is alone anyway."""
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(_LOCK, {"what": f"refit decides on {backend}"})

    def occupy(self, key: str, token: str, backend: str) -> bool:
        mine = self._connection.scalar(select(_O.c.key).where(_O.c.token == token))
        if mine is not None:
            return True
        return insert_new(self._connection, _O, {"key": key, "token": token, "backend": backend}, "key")

    def release(self, token: str) -> None:
        self._connection.execute(delete(_O).where(_O.c.token == token))

    def running(self, backend: str) -> int:
        return self._connection.scalar(select(func.count()).where(_O.c.backend == backend)) or 0

    def failed(self, keys: Collection[str]) -> Mapping[str, str]:
        if not keys:
            return {}
        return {row.key: row.execution for row in self._connection.execute(_FAILED, {"keys": keys})}

    def following(self, beginnings: Collection[str]) -> Sequence[str]:
        begins = or_(false(), *(_A.c.handle.startswith(one, autoescape=True) for one in beginnings))
        live = select(_E.c.id).where(_E.c.ended_at.is_(None))
        query = select(_A.c.execution).where(_A.c.execution.in_(live), begins).distinct().order_by(_A.c.execution)
        return list(self._connection.scalars(query))

    def counts(self) -> Mapping[str, int]:
        """How many executions have each status."""
        status = status_expression().label("status")
        rows = self._connection.execute(select(status, func.count().label("n")).select_from(_E).group_by(status))
        return {row.status: row.n for row in rows}

    def outcomes(self) -> Mapping[str, int]:
        rows = self._connection.execute(select(_S.c.state, func.count().label("n")).group_by(_S.c.state))
        return {row.state: row.n for row in rows}

    def latest(self) -> Sequence[Execution]:
        newest = select(func.max(_E.c.id)).group_by(_E.c.repository, _E.c.pipeline)
        query = select(_E).where(_E.c.id.in_(newest)).order_by(_E.c.repository, _E.c.pipeline)
        return self._loaded(self._connection.execute(query).all())

    def _loaded(self, rows: Sequence[Any]) -> list[Execution]:
        ids = [row.id for row in rows]
        attempts: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
        for row in self._connection.execute(_ATTEMPTS, {"ids": ids}):
            attempts[row.execution, row.component].append(attempt_of(row))
        found = self._connection.execute(_STEPS, {"ids": ids}).all()
        known = self._lineage.results([row.result for row in found if row.result])
        steps: dict[str, list[StepRun]] = defaultdict(list)
        for row in found:
            steps[row.execution].append(
                StepRun(
                    ingredients=ingredients_of(row.ingredients),
                    planned=Decision(row.planned),
                    decision=Decision(row.decision) if row.decision else None,
                    reasons=reasons_of(row.reasons),
                    static_key=row.static_key,
                    key=row.key,
                    state=State(row.state),
                    attempts=tuple(attempts[row.execution, row.component]),
                    result=known.get(row.result) if row.result else None,
                )
            )
        verdicts: dict[str, list[Verdict]] = defaultdict(list)
        for row in self._connection.execute(_VERDICTS, {"ids": ids}):
            verdicts[row.execution].append(
                Verdict(row.gate, bool(row.passed), row.detail, row.value, row.bound, row.baseline)
            )
        return [execution_of(row, steps[row.id], verdicts[row.id]) for row in rows]


@cache
def _succeeded() -> Select[tuple[str]]:
    ended_well = and_(_E.c.ended_at.is_not(None), status_expression() == Status.SUCCEEDED.value)
    return select(_E.c.id).where(among(_E.c.id, "ids"), ended_well)


def status_expression() -> ColumnElement[str]:
    """``Execution.status`` in SQL: derived from the steps there, so derived from them here."""

    def some(*states: State, negate: bool = False) -> ColumnElement[bool]:
        condition = _S.c.state.in_([state.value for state in states])
        return exists().where(_S.c.execution == _E.c.id, ~condition if negate else condition)

    stopping = or_(_E.c.cancelled != "", _E.c.superseded_by != "")
    waits = and_(_E.c.needs_approval != "", _E.c.approved_by == "", ~stopping)
    superseded = and_(_E.c.superseded_by != "", _E.c.cancelled == "")
    return case(
        (waits, Status.AWAITING_APPROVAL.value),
        (and_(some(State.WAITING, State.RUNNING), some(State.WAITING, negate=True)), Status.RUNNING.value),
        (some(State.WAITING, State.RUNNING), Status.QUEUED.value),
        (and_(some(State.CANCELLED), superseded), Status.SUPERSEDED.value),
        (some(State.CANCELLED), Status.CANCELLED.value),
        (or_(some(State.FAILED), exists().where(_V.c.execution == _E.c.id, ~_V.c.passed)), Status.FAILED.value),
        else_=Status.SUCCEEDED.value,
    )
