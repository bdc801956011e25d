"""Owns which records answer a question about lineage; refuses to draw and to answer over HTTP.

Up and down are walked apart: what a commit's data was also used for elsewhere did not make this commit's model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from service.domain.lineage import Graph, ModelVersion, ResultRecord, graph
from service.ports.store import ResultFilter, Work

MOST = 2_000
"""Results in one graph; a larger answer is cut, and says so."""
_SOURCE = "result:"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about: walk up from ``tops`` and down from ``bottoms``. ``commits`` get their promotions shown,
    ``metric`` is the only one shown if it is what was asked for."""

    tops: tuple[ResultRecord, ...]
    bottoms: tuple[ResultRecord, ...]
    commits: frozenset[str] = frozenset()
    models: tuple[ModelVersion, ...] = ()
    metric: str = ""

    @property
    def is_known(self) -> bool:
        return bool(self.tops or self.bottoms or self.models)


def of_commit(work: Work, sha: str) -> Subject:
    """What it made, and the earlier results that satisfied it."""
    made = tuple(_every(work, ResultFilter(commit=sha)))
    kept = _records(work, (promotion.result for promotion in work.lineage.promotions(commit=sha)))
    kept += _standing(work, sha, MOST - len(made) - len(kept))
    return Subject((*made, *kept), made, frozenset({sha}))


def _standing(work: Work, sha: str, most: int) -> tuple[ResultRecord, ...]:
    """The results of the executions that stand for what the commit leaves alone, as many as fit."""
    ids = {
        execution
        for standing in work.standings.of_commit(sha)
        for pipeline, execution in standing.executions.items()
        if pipeline not in standing.fresh
    }
    return tuple(work.lineage.of_executions(ids, max(0, most)))


def of_result(work: Work, id: str, metric: str = "") -> Subject:
    found = _records(work, [id])
    if metric and not all(metric in one.metrics for one in found):
        found = ()
    return Subject(found, found, metric=f"metric:{id}/{metric}" if metric else "")


def of_digest(work: Work, digest: str) -> Subject:
    """Whoever made content like this, and whoever read it."""
    makers = tuple(_every(work, ResultFilter(digest=digest)))
    return Subject(makers, tuple(_every(work, ResultFilter(read_digest=digest))))


def of_model(work: Work, name: str, version: str) -> Subject:
    """The result behind it, and what measured it in the execution that registered it."""
    models = tuple(one for one in work.models.all(name) if str(one.version) == version)
    tops: list[ResultRecord] = []
    for model in models:
        execution = work.executions.get(model.execution)
        steps = [step.result.id for step in execution.steps if step.result] if execution else []
        measured = [one for one in _records(work, steps) if any(read.digest == model.digest for read in one.inputs)]
        tops += [*_records(work, [model.result]), *measured]
    readers = tuple(reader for model in models for reader in _every(work, ResultFilter(read_digest=model.digest)))
    return Subject(tuple(tops), readers, frozenset(model.commit for model in models), models)


def traced(work: Work, subject: Subject, *, up: bool, down: bool) -> tuple[Graph, bool]:
    """The graph, and whether it was cut."""
    reached = {one.id: one for one in (*subject.tops, *(subject.bottoms if down else ()))}
    below = _walk(subject.bottoms, lambda one: _readers(work, one)) if down else {}
    above = _walk(subject.tops, lambda one: _sources(work, one)) if up else {}
    known = {**above, **reached, **below}
    promotions = [one for sha in sorted(subject.commits) for one in work.lineage.promotions(commit=sha)]
    models = list(subject.models)
    if models:  # the commits that a model stands for: a squash-merge trained nothing, and still it is main's model
        promotions += [one for top in subject.tops for one in work.lineage.promotions(result=top.id)]
    if down:
        promotions += [one for id in {**reached, **below} for one in work.lineage.promotions(result=id)]
        models += [one for one in work.models.all() if one.result in reached or one.result in below]
    drawn = graph(_in_order(known.values()), [one for one in promotions if one.result in known], _once(models))
    return _with_one_metric(drawn, subject.metric), len(known) >= MOST


def _walk(
    start: Iterable[ResultRecord], near: Callable[[ResultRecord], Iterable[ResultRecord]]
) -> dict[str, ResultRecord]:
    known = {one.id: one for one in start}
    waiting = list(known.values())
    while waiting and len(known) < MOST:
        for record in near(waiting.pop()):
            if record.id not in known:
                known[record.id] = record
                waiting.append(record)
    return known


def _sources(work: Work, record: ResultRecord) -> Iterable[ResultRecord]:
    sources = (read.source for read in record.inputs if read.source.startswith(_SOURCE))
    return _records(work, (source.removeprefix(_SOURCE).partition("#")[0] for source in sources))


def _readers(work: Work, record: ResultRecord) -> Iterator[ResultRecord]:
    """Who read what this very result made: equal content alone may come from elsewhere."""
    for output in record.outputs:
        for reader in _every(work, ResultFilter(read_digest=output.digest)):
            if any(read.source.startswith(f"{_SOURCE}{record.id}#") for read in reader.inputs):
                yield reader


def _every(work: Work, chosen: ResultFilter) -> Iterator[ResultRecord]:
    cursor: str | None = None
    for _ in range(MOST // 100):
        page = work.lineage.page(chosen, cursor, 100)
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return


def _records(work: Work, ids: Iterable[str]) -> tuple[ResultRecord, ...]:
    return tuple(work.lineage.records(ids))


def _in_order(records: Iterable[ResultRecord]) -> list[ResultRecord]:
    return sorted(records, key=lambda record: (record.started_at, record.id))


def _once(models: Iterable[ModelVersion]) -> Iterable[ModelVersion]:
    return {(model.name, model.version): model for model in models}.values()


def _with_one_metric(whole: Graph, metric: str) -> Graph:
    """All metrics, or only the one that was asked about."""
    if not metric:
        return whole
    hidden = {node.id for node in whole.nodes if node.kind == "metric" and node.id != metric}
    return replace(
        whole,
        nodes=tuple(node for node in whole.nodes if node.id not in hidden),
        edges=tuple(edge for edge in whole.edges if edge.target not in hidden),
    )
