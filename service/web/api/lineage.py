"""Owns the route of lineage: which records belong to a question, both ways; refuses to draw."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from service.domain.lineage import ModelVersion, ResultRecord, graph
from service.ports.store import ResultFilter, Work
from service.web.auth import Caller, requires, services_of
from service.web.problems import Problem

router = APIRouter(tags=["lineage"])
_MOST = 2_000


class NodeShape(BaseModel):
    """A commit, file, result, artifact, metric or model."""

    id: str = Field(examples=["model:diamonds-price/1"])
    kind: str = Field(examples=["model"])
    label: str = Field(examples=["diamonds-price v1"])
    detail: str


class EdgeShape(BaseModel):
    """``source`` went into, or made, ``target``."""

    source: str
    target: str
    kind: str = Field(examples=["made"])


class GraphShape(BaseModel):
    """Everything that connects what was asked for."""

    nodes: list[NodeShape]
    edges: list[EdgeShape]


@router.get("/lineage", response_model=GraphShape, operation_id="getLineage", summary="What made what, both ways")
def get_lineage(
    request: Request,
    caller: Annotated[Caller, Depends(requires("read"))],
    commit: Annotated[str, Query(description="Everything that this commit made or is satisfied by.")] = "",
    result: Annotated[str, Query(description="A step's result: what made it and what it went into.")] = "",
    digest: Annotated[str, Query(description="An artifact, sha256:….")] = "",
    model: Annotated[str, Query(description="name/version: every commit, component and datum that made it.")] = "",
) -> Any:
    """Ask for exactly one thing."""
    if sum(bool(one) for one in (commit, result, digest, model)) != 1:
        raise Problem(422, "Ask for exactly one of commit, result, digest and model.")
    with services_of(request).store.begin() as work:
        roots, models = _roots(work, commit, result, digest, model)
        if not roots:
            raise Problem(404, "Nothing is known of it.")
        records = _closure(work, roots, downstream=not model)
        promotions = [one for record in records for one in work.lineage.promotions(result=record.id)]
        made = {output.digest for record in records for output in record.outputs}
        models = models or [one for one in work.models.all() if one.digest in made]
    found = graph(records, promotions, models)
    return {
        "nodes": [{"id": n.id, "kind": n.kind, "label": n.label, "detail": n.detail} for n in found.nodes],
        "edges": [{"source": e.source, "target": e.target, "kind": e.kind} for e in found.edges],
    }


def _roots(
    work: Work, commit: str, result: str, digest: str, model: str
) -> tuple[list[ResultRecord], list[ModelVersion]]:
    if commit:
        ids = {one.result for one in work.lineage.promotions(commit=commit)}
        own = list(work.lineage.page(ResultFilter(commit=commit), limit=100).items)
        return own + [found for one in sorted(ids) if (found := work.lineage.get(one))], []
    if digest:
        makers = work.lineage.page(ResultFilter(digest=digest), limit=100).items
        return list(makers) or list(work.lineage.page(ResultFilter(read_digest=digest), limit=100).items), []
    if model:
        name, _, version = model.rpartition("/")
        versions = [one for one in work.models.all(name) if str(one.version) == version]
        wanted = {step for one in versions for step in _steps_of(work, one)}
        return [found for one in sorted(wanted) if (found := work.lineage.get(one))], versions
    found = work.lineage.get(result)
    return ([found] if found else []), []


def _steps_of(work: Work, model: ModelVersion) -> Iterable[str]:
    """A model's own step, and those that measured it in the same execution."""
    yield model.result
    execution = work.executions.get(model.execution)
    for step in execution.steps if execution else ():
        if step.result is not None:
            yield step.result.id


def _closure(work: Work, roots: list[ResultRecord], *, downstream: bool) -> list[ResultRecord]:
    """Upstream of the roots through the results they read; downstream through who read what they made."""
    known = {one.id: one for one in roots}
    waiting = list(roots)
    while waiting and len(known) < _MOST:
        one = waiting.pop()
        near = [
            i.source.removeprefix("result:").partition("#")[0] for i in one.inputs if i.source.startswith("result:")
        ]
        found = [record for name in near if name not in known and (record := work.lineage.get(name))]
        if downstream:
            for output in one.outputs:
                page = work.lineage.page(ResultFilter(one.repository, read_digest=output.digest), limit=100)
                found += [record for record in page.items if record.id not in known]
        for record in found:
            if record.id not in known:
                known[record.id] = record
                waiting.append(record)
    return sorted(known.values(), key=lambda record: (record.started_at, record.id))
