"""Owns a database with a hundred thousand executions: three told by the store, the rest copied from their rows with other
names; refuses chance."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, create_engine, insert, select, text

from service.adapters.database import tables
from service.adapters.database.unit_of_work import Database
from service.domain.execution import Artifact, Attempt, Execution, Seen, State, StepRun
from service.domain.ingredients import Ingredients
from service.domain.lineage import InputRecord, ModelVersion, Promotion, ResultRecord
from service.domain.pipeline import Component, Pipeline, RepositoryInput, UpstreamInput
from service.domain.plan import Decision, Result
from service.domain.step_key import Part, PartKind, Reason

REPOSITORY, PIPELINES, BRANCHES = "acme/diamonds", 20, 40
EVERY_PREPARED, EVERY_MODEL = 10, 50
"""Of a pipeline's executions, each so-manieth prepares its data anew, or registers a model."""
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_PARTS = 25
_SHARE = 1_000
_EXECUTION, _COMMIT, _PIPELINE, _BRANCH, _MAKER = "@execution@", "@commit@", "@pipeline@", "@branch@", "@maker@"
_TIMES = frozenset({"created_at", "started_at", "ended_at", "at"})
_TABLES = (
    tables.executions, tables.steps, tables.attempts, tables.results, tables.result_keys, tables.result_inputs,
    tables.result_outputs, tables.result_metrics, tables.promotions, tables.models, tables.model_events,
)  # fmt: skip

PREPROCESS = Component("preprocess", "prep.py", inputs=(("raw", RepositoryInput("d.csv")),), outputs=("data",))
TRAIN = Component("train", "train.py", inputs=(("data", UpstreamInput("preprocess", "data")),), outputs=("model",))
EVALUATE = Component(
    "evaluate", "evaluate.py", inputs=(("model", UpstreamInput("train", "model")),), metrics="metrics.json"
)


@dataclass(frozen=True)
class Names:
    """What execution number so-and-so is called."""

    number: int

    @property
    def execution(self) -> str:
        return f"{self.number:012}"

    @property
    def commit(self) -> str:
        return hashlib.sha1(str(self.number).encode()).hexdigest()  # noqa: S324 – git's

    @property
    def pipeline(self) -> str:
        return f"pipeline-{self.number % PIPELINES:02}"

    @property
    def branch(self) -> str:
        """Half of all on main."""
        lap = self.number // PIPELINES
        return "main" if lap % 2 == 0 else f"branch-{lap % BRANCHES:02}"

    @property
    def prepared(self) -> bool:
        return self.number // PIPELINES % EVERY_PREPARED == 0

    @property
    def maker(self) -> str:
        """The execution that prepared the data that this one read."""
        laps = self.number // PIPELINES % EVERY_PREPARED
        return Names(self.number - laps * PIPELINES).execution

    @property
    def version(self) -> int | None:
        """Of the model that it registered, if it did."""
        lap, rest = divmod(self.number // PIPELINES, EVERY_MODEL)
        return lap + 1 if rest == 1 else None


def fill(url: str, executions: int) -> None:
    """Make the database and all that is in it."""
    store = Database(url)
    store.migrate()
    for prepared in (True, False):
        _tell(store, prepared)
    store.close()
    engine = create_engine(url)
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(text("PRAGMA synchronous=OFF"))
        patterns = {prepared: _taken(connection, prepared) for prepared in (True, False)}
        connection.commit()
        for start in range(0, executions, _SHARE):
            _copy(connection, patterns, range(start, min(start + _SHARE, executions)))
        connection.commit()
        if engine.dialect.name == "postgresql":  # which does so by itself sooner or later; Refit never asks SQLite to
            connection.execute(text("ANALYZE"))
            connection.commit()
    engine.dispose()


def _copy(connection: Connection, patterns: Mapping[bool, Mapping[str, list[_Row]]], numbers: range) -> None:
    made: dict[str, list[dict[str, Any]]] = {table.name: [] for table in _TABLES}
    for number in numbers:
        names = Names(number)
        for name, rows in patterns[names.prepared].items():
            made[name] += [row.of(names) for row in rows if names.version or not name.startswith("model")]
    for table in _TABLES:
        if made[table.name]:
            connection.execute(insert(table), made[table.name])
    connection.commit()


class _Row:
    """A row to be copied, and which of its columns speak of whose it is."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {name: value for name, value in values.items() if name != "seq"}
        self._named = [name for name, value in values.items() if isinstance(value, str) and "@" in value]
        self._timed = [name for name, value in values.items() if name in _TIMES and value is not None]

    def of(self, names: Names) -> dict[str, Any]:
        made = dict(self._values)
        said = {_EXECUTION: names.execution, _COMMIT: names.commit, _PIPELINE: names.pipeline, _BRANCH: names.branch,
                _MAKER: names.maker}  # fmt: skip
        for name in self._named:
            for mark, instead in said.items():
                made[name] = made[name].replace(mark, instead)
        for name in self._timed:
            made[name] += 60.0 * names.number
        if "version" in made:
            made["version"] = names.version
        return made


def _taken(connection: Connection, prepared: bool) -> dict[str, list[_Row]]:
    """The rows of an execution that was told, out of the database again."""
    found = {}
    for table in reversed(_TABLES):
        rows = [
            row for row in connection.execute(select(table)).mappings() if _mark(prepared) in str(list(row.values()))
        ]
        connection.execute(
            table.delete().where(table.primary_key.columns[0].in_([next(iter(r.values())) for r in rows]))
        )
        found[table.name] = [
            _Row({k: v.replace(_mark(prepared), "") if isinstance(v, str) else v for k, v in row.items()})
            for row in rows
        ]
    return found


def _mark(prepared: bool) -> str:
    return "@prepared@" if prepared else "@kept@"


def _tell(store: Database, prepared: bool) -> None:
    """One execution as the service stores it: all three steps ran, or the first was reused."""
    id, at = f"{_EXECUTION}{_mark(prepared)}", _AT
    pipeline = Pipeline(_PIPELINE, "local", (PREPROCESS, TRAIN, EVALUATE))
    maker = id if prepared else f"{_MAKER}{_mark(prepared)}"
    results = {
        "preprocess": _result(maker, "preprocess", {"data": f"sha256:{maker} data"}),
        "train": _result(id, "train", {"model": f"sha256:{id} model"}),
        "evaluate": _result(id, "evaluate", {}),
    }
    steps = tuple(_step(component, results[component.name], id, at) for component in pipeline.components)
    ref = f"refs/heads/{_BRANCH}"
    execution = Execution(
        id, REPOSITORY, pipeline, ref, _COMMIT, _COMMIT, None, "ada", "A message", f"push-{id}", at, steps
    )
    with store.begin() as work:
        work.executions.add(replace(execution, steps=tuple(replace(one, result=None) for one in steps)))
        for step in steps:
            if step.state is State.SUCCEEDED:
                work.lineage.add(_record(execution, results[step.name], results))
            else:
                place = (id, REPOSITORY, _PIPELINE, step.name, _COMMIT, ref)
                work.lineage.promote(Promotion(*place, results[step.name].id, at))
        work.executions.save(replace(execution, ended_at=at + timedelta(seconds=30)))
        model = ModelVersion(
            f"model-{_PIPELINE}{_mark(prepared)}", 0, REPOSITORY, results["train"].id, "model",
            results["train"].outputs["model"], id, _COMMIT, "candidate", at, {"rmse": 1.0, "r2": 0.9},
        )  # fmt: skip
        work.models.register(model, "ada", "its gates passed")


def _result(execution: str, name: str, outputs: Mapping[str, str]) -> Result:
    parts = tuple(Part(PartKind.SOURCE, f"src/{name}/file_{n}.py", f"100644 {n:040x}") for n in range(_PARTS))
    key, static = f"key {execution} {name}", f"static {execution} {name}"
    return Result(f"{execution}.{name}.1", name, key, static, parts, outputs, execution, _COMMIT, 10.0)


def _step(component: Component, result: Result, execution: str, at: datetime) -> StepRun:
    ran = result.execution == execution
    ingredients = Ingredients(component, result.parts, (("rate", ("0.1",)),), ())
    decision = Decision.RUN if ran else Decision.REUSE
    reason = Reason("source", component.run, f"source {component.run} changed", "0" * 40, "1" * 40)
    ended = at + timedelta(seconds=10)
    attempt = Attempt(1, result.id, result.id, Seen.SUCCEEDED, "", 0, at, ended)
    return StepRun(
        ingredients, decision, decision, (reason,), result.static_key, result.key,
        State.SUCCEEDED if ran else State.REUSED, (attempt,) if ran else (), result,
    )  # fmt: skip


def _record(execution: Execution, result: Result, results: Mapping[str, Result]) -> ResultRecord:
    return ResultRecord(
        id=result.id, repository=REPOSITORY, pipeline=_PIPELINE, component=result.component, execution=execution.id,
        commit=_COMMIT, tree=_COMMIT, ref=execution.ref, pull_request=None, author="ada", key=result.key,
        static_key=result.static_key, parts=result.parts, parameters={"rate": "0.1"}, environment="env", backend="local",
        job=result.id, attempt=1, started_at=_AT, ended_at=_AT + timedelta(seconds=10),
        inputs=tuple(_inputs(execution.pipeline.component(result.component), results)),
        outputs=tuple(Artifact(name, digest, 1_000) for name, digest in result.outputs.items()),
        metrics={"rmse": 1.0, "r2": 0.9, "mae": 0.5} if result.component == "evaluate" else {},
    )  # fmt: skip


def _inputs(component: Component, results: Mapping[str, Result]) -> Iterator[InputRecord]:
    for name, source in component.inputs:
        if isinstance(source, UpstreamInput):
            origin = results[source.component]
            yield InputRecord(name, f"result:{origin.id}#{source.output}", origin.outputs[source.output], 1_000)
        else:
            yield InputRecord(name, "git:d.csv", f"sha256:{'0' * 64}", 1_000)
