"""Owns the routes of pipelines, components and metrics over time; refuses to aggregate what lineage does not hold."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from service.ports.store import ExecutionFilter, ResultFilter
from service.web.api.paged import Cursor, Limit, answer
from service.web.api.shapes import ExecutionShape, PageOf, ResultShape, execution_document, result_document
from service.web.auth import Caller, requires, services_of

router = APIRouter(tags=["pipelines"])
Reads = Annotated[Caller, Depends(requires("read"))]


class ComponentShape(BaseModel):
    """A component and how often it ran or was reused."""

    repository: str = Field(examples=["acme/diamonds"])
    pipeline: str = Field(examples=["diamonds"])
    component: str = Field(examples=["train"])
    ran: int
    reused: int
    mean_seconds: float


class PipelineShape(BaseModel):
    """A pipeline with its components and its newest execution."""

    repository: str = Field(examples=["acme/diamonds"])
    pipeline: str = Field(examples=["diamonds"])
    components: list[str]
    latest: ExecutionShape | None


class MetricPoint(BaseModel):
    """One measured value."""

    commit: str
    ref: str
    execution: str
    result: str
    at: datetime
    value: float = Field(examples=[534.2])


@router.get("/pipelines", response_model=PageOf[PipelineShape], operation_id="listPipelines", summary="List pipelines")
def list_pipelines(request: Request, caller: Reads) -> Any:
    """Every pipeline that has made something."""
    with services_of(request).store.begin() as work:
        names: dict[tuple[str, str], list[str]] = {}
        for repository, pipeline, component, *_ in work.lineage.components():
            names.setdefault((repository, pipeline), []).append(component)
        items = []
        for (repository, pipeline), components in names.items():
            newest = work.executions.page(ExecutionFilter(repository, pipeline), limit=1).items
            latest = execution_document(newest[0]) if newest else None
            items.append({"repository": repository, "pipeline": pipeline, "components": components, "latest": latest})
    return {"items": items, "next_cursor": None}


@router.get(
    "/components", response_model=PageOf[ComponentShape], operation_id="listComponents", summary="List components"
)
def list_components(request: Request, caller: Reads, repository: str = "", pipeline: str = "") -> Any:
    """How often each ran, was reused, and how long a run takes."""
    with services_of(request).store.begin() as work:
        rows = work.lineage.components()
    names = ("repository", "pipeline", "component", "ran", "reused", "mean_seconds")
    items = [
        dict(zip(names, row, strict=True)) for row in rows if repository in ("", row[0]) and pipeline in ("", row[1])
    ]
    return {"items": items, "next_cursor": None}


@router.get("/results", response_model=PageOf[ResultShape], operation_id="listResults", summary="List results of steps")
def list_results(
    request: Request,
    response: Response,
    caller: Reads,
    repository: str = "",
    pipeline: str = "",
    component: str = "",
    commit: str = "",
    execution: str = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Any:
    """Every successful run of a step, newest first."""

    def ask() -> Any:
        with services_of(request).store.begin() as work:
            return work.lineage.page(ResultFilter(repository, pipeline, component, commit, execution), cursor, limit)

    return answer(request, response, ask, result_document)


@router.get("/metrics", response_model=PageOf[MetricPoint], operation_id="listMetrics", summary="A metric over commits")
def list_metrics(
    request: Request,
    response: Response,
    caller: Reads,
    name: Annotated[str, Query(min_length=1, examples=["rmse"])],
    repository: str = "",
    pipeline: str = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Any:
    """Every measurement of one metric, newest first."""

    def ask() -> Any:
        with services_of(request).store.begin() as work:
            return work.lineage.page(ResultFilter(repository, pipeline, metric=name), cursor, limit)

    def point(one: Any) -> dict[str, Any]:
        return {"commit": one.commit, "ref": one.ref, "execution": one.execution, "result": one.id, "at": one.ended_at,
                "value": one.metrics[name]}  # fmt: skip

    return answer(request, response, ask, point)
