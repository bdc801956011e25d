"""Owns the route of lineage: what was asked, and its answer as a graph; refuses to draw."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from service.ports.store import Work
from service.web.api.parameters import AnySha, Text
from service.web.api.tracing import Subject, of_commit, of_digest, of_model, of_result, traced
from service.web.auth import Reads, services_of
from service.web.problems import Problem, documented

router = APIRouter(tags=["lineage"])


class Direction(StrEnum):
    """Towards what something was made of, or towards what was made of it."""

    UPSTREAM = "upstream"
    DOWNSTREAM = "downstream"
    BOTH = "both"


class NodeShape(BaseModel):
    """A commit, file, result, artifact, metric or model."""

    id: str = Field(examples=["model:diamonds-price/1"])
    kind: str = Field(examples=["model"])
    label: str = Field(examples=["diamonds-price v1"])
    detail: str = Field(examples=["candidate"])


class EdgeShape(BaseModel):
    """``source`` went into, or made, ``target``."""

    source: str = Field(examples=["artifact:sha256:3b8c1f6d2a54e0c9"])
    target: str = Field(examples=["model:diamonds-price/1"])
    kind: str = Field(examples=["registered"])


class GraphShape(BaseModel):
    """Everything that connects what was asked for; ``truncated`` if there is more than fits."""

    nodes: list[NodeShape]
    edges: list[EdgeShape]
    truncated: bool = Field(examples=[False])


@router.get(
    "/lineage",
    response_model=GraphShape,
    operation_id="getLineage",
    summary="What made what, both ways",
    responses=documented(404),
)
def get_lineage(
    request: Request,
    caller: Reads,
    commit: Annotated[AnySha, Query(description="What this commit made, or is satisfied by.")] = "",
    result: Annotated[Text, Query(description="A step's result.")] = "",
    digest: Annotated[Text, Query(description="An artifact, `sha256:…`.")] = "",
    model: Annotated[Text, Query(description="`name/version`.", examples=["diamonds-price/1"])] = "",
    metric: Annotated[Text, Query(description="With `result`: one metric that it measured.")] = "",
    direction: Annotated[
        Direction | None, Query(description="Default: upstream for a model or a metric, else both.")
    ] = None,
) -> Any:
    """Ask for one thing. From a commit: all that it made. From a model or a metric: every commit, component and datum
    that made it."""
    if sum(bool(one) for one in (commit, result, digest, model)) != 1 or (metric and not result):
        raise Problem(422, "Ask for exactly one of commit, result, digest and model; a metric needs its result.")
    direction = direction or (Direction.UPSTREAM if model or metric else Direction.BOTH)
    with services_of(request).store.read() as work:
        subject = _subject(work, commit, result, digest, model, metric)
        if not subject.is_known:
            raise Problem(404, "Nothing is known of it.")
        found, cut = traced(
            work, subject, up=direction is not Direction.DOWNSTREAM, down=direction is not Direction.UPSTREAM
        )
    return {
        "nodes": [{"id": n.id, "kind": n.kind, "label": n.label, "detail": n.detail} for n in found.nodes],
        "edges": [{"source": e.source, "target": e.target, "kind": e.kind} for e in found.edges],
        "truncated": cut,
    }


def _subject(work: Work, commit: str, result: str, digest: str, model: str, metric: str) -> Subject:
    if commit:
        return of_commit(work, commit)
    if result:
        return of_result(work, result, metric)
    if digest:
        return of_digest(work, digest)
    name, _, version = model.rpartition("/")
    return of_model(work, name, version)
