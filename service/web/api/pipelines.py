"""Owns the routes of pipelines, components, results and metrics; refuses to aggregate what the store does not hold."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import StringConstraints

from service.domain.execution import Execution
from service.ports.store import ResultFilter, Work
from service.web.api.documents import execution_document, measurement_document, result_document
from service.web.api.paged import answer, whole
from service.web.api.parameters import AnySha, Cursor, Limit, Text
from service.web.api.shapes import ComponentShape, MetricPoint, PageOf, PipelineShape, ResultShape
from service.web.auth import Reads, services_of
from service.web.problems import documented

router = APIRouter(tags=["pipelines"])


@router.get("/pipelines", response_model=PageOf[PipelineShape], operation_id="listPipelines", summary="List pipelines")
def list_pipelines(request: Request, caller: Reads, repository: Text = "") -> Any:
    """Every pipeline that was ever planned, with its newest execution, all in one page."""
    with services_of(request).store.read() as work:
        newest = [one for one in work.executions.latest() if repository in ("", one.repository)]
    return whole(
        [
            {
                "repository": one.repository,
                "pipeline": one.pipeline.name,
                "status": one.status.value,
                "components": [component.name for component in one.pipeline.components],
                "latest": execution_document(one),
            }
            for one in newest
        ]
    )


@router.get(
    "/components", response_model=PageOf[ComponentShape], operation_id="listComponents", summary="List components"
)
def list_components(request: Request, caller: Reads, repository: Text = "", pipeline: Text = "") -> Any:
    """The components that each pipeline's newest execution declares, all in one page."""
    with services_of(request).store.read() as work:
        counted = {(r, p, c): (ran, reused, mean) for r, p, c, ran, reused, mean in work.lineage.components()}
        return whole(
            [
                _component(work, execution, component.name, counted)
                for execution in work.executions.latest()
                if repository in ("", execution.repository) and pipeline in ("", execution.pipeline.name)
                for component in execution.pipeline.components
            ]
        )


def _component(
    work: Work, execution: Execution, name: str, counted: dict[tuple[str, str, str], tuple[int, int, float]]
) -> dict[str, Any]:
    place = (execution.repository, execution.pipeline.name, name)
    ran, reused, mean = counted.get(place, (0, 0, None))
    made = work.lineage.page(ResultFilter(*place), limit=1).items
    return {
        **dict(zip(("repository", "pipeline", "component"), place, strict=True)),
        "ran": ran,
        "reused": reused,
        "mean_seconds": mean,
        "latest": result_document(made[0]) if made else None,
    }


@router.get(
    "/results",
    response_model=PageOf[ResultShape],
    operation_id="listResults",
    summary="List results of steps",
    responses=documented(400),
)
def list_results(
    request: Request,
    response: Response,
    caller: Reads,
    repository: Text = "",
    pipeline: Text = "",
    component: Text = "",
    commit: AnySha = "",
    execution: Text = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Any:
    """Every successful run of a step, newest first."""
    chosen = ResultFilter(repository, pipeline, component, commit, execution)
    return answer(request, response, lambda work: work.lineage.page(chosen, cursor, limit), result_document)


@router.get(
    "/metrics",
    response_model=PageOf[MetricPoint],
    operation_id="listMetrics",
    summary="A metric over commits",
    responses=documented(400),
)
def list_metrics(
    request: Request,
    response: Response,
    caller: Reads,
    name: Annotated[Text, StringConstraints(min_length=1), Query(examples=["rmse"])],
    repository: Text = "",
    pipeline: Text = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Any:
    """What each commit measured, or took over from an earlier result, newest first."""
    return answer(
        request,
        response,
        lambda work: work.lineage.measurements(name, repository, pipeline, cursor, limit),
        measurement_document,
    )
