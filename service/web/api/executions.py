"""Owns the routes of executions: list, look, cancel, rerun, approve; refuses to move one by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response
from pydantic import BaseModel, Field

from service.domain.execution import Execution, Status
from service.ports.store import ExecutionFilter
from service.web.api.documents import detailed_document, execution_document
from service.web.api.paged import answer
from service.web.api.parameters import AnySha, Cursor, InPath, Limit, Text
from service.web.api.settled import UNCHANGED, settled
from service.web.api.shapes import DetailedExecution, ExecutionShape, PageOf
from service.web.auth import Reads, Runs, services_of
from service.web.problems import Problem, documented

router = APIRouter(tags=["executions"])
Id = Annotated[Text, InPath]


class Rerun(BaseModel):
    """``components`` run whatever the past; without any, what did not succeed runs again."""

    components: list[Text] = Field(default_factory=list, max_length=1000, examples=[["train"]])


@router.get(
    "/executions",
    response_model=PageOf[ExecutionShape],
    operation_id="listExecutions",
    summary="List executions",
    responses=documented(400),
)
def list_executions(
    request: Request,
    response: Response,
    caller: Reads,
    repository: Text = "",
    pipeline: Text = "",
    branch: Text = "",
    commit: AnySha = "",
    trigger: Annotated[Text, Query(description="A delivery's GUID.")] = "",
    status: Annotated[Text, Query(description="Comma-separated.", examples=["failed,running"])] = "",
    since: Annotated[datetime | None, Query(description="UTC unless it says otherwise.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Any:
    """Newest first."""
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    chosen = ExecutionFilter(repository, pipeline, branch, commit, statuses_of(status), since, trigger)
    return answer(request, response, lambda work: work.executions.page(chosen, cursor, limit), execution_document)


def statuses_of(text: str) -> tuple[Status, ...]:
    """``failed,running`` as values."""
    try:
        return tuple(Status(one) for one in text.split(",") if one)
    except ValueError as error:
        raise Problem(422, f"status: {error}; there are {', '.join(Status)}") from error


@router.get(
    "/executions/{id}",
    response_model=DetailedExecution,
    operation_id="getExecution",
    summary="One execution with its steps",
    responses={**documented(404), **UNCHANGED},
)
def get_execution(request: Request, response: Response, caller: Reads, id: Id) -> Any:
    """Every step's decision with its evidence, and its outcome. What has ended has a weak ETag."""
    document = DetailedExecution.model_validate(detailed_document(found(request, id)))
    return document if document.ended_at is None else settled(request, response, document)


@router.post(
    "/executions/{id}/cancel",
    response_model=ExecutionShape,
    status_code=202,
    operation_id="cancelExecution",
    summary="Cancel an execution",
    responses=documented(404, 409),
)
def cancel(request: Request, caller: Runs, id: Id) -> Any:
    """Ends what runs, with everything it started; what has ended stays as it is."""
    found(request, id)
    with services_of(request).store.begin() as work:
        if not work.executions.mark(id, cancelled=f"cancelled by {caller.name}"):
            raise Problem(409, f"Execution {id} has ended already.")
    return execution_document(found(request, id))


@router.post(
    "/executions/{id}/approve",
    response_model=ExecutionShape,
    status_code=202,
    operation_id="approveExecution",
    summary="Approve an execution",
    responses=documented(404, 409),
)
def approve(request: Request, caller: Runs, id: Id) -> Any:
    """Lets an execution run that waits for a person's yes."""
    with services_of(request).store.begin() as work:
        execution = work.executions.get(id)
        if execution is not None and execution.status is not Status.AWAITING_APPROVAL:
            raise Problem(409, f"Execution {id} does not wait for approval.")
        work.executions.mark(id, approved_by=caller.name)
    return execution_document(found(request, id))


@router.post(
    "/executions/{id}/rerun",
    response_model=ExecutionShape,
    status_code=201,
    operation_id="rerunExecution",
    summary="Run an execution again",
    responses=documented(404, 409, 503),
)
def rerun(request: Request, response: Response, caller: Runs, id: Id, body: Annotated[Rerun, Body()] = Rerun()) -> Any:
    """A new execution of the same pipeline at the same commit."""
    found(request, id)
    made = services_of(request).scheduler.rerun(id, caller.name, body.components)
    response.headers["Location"] = f"/api/v1/executions/{made.id}"
    return execution_document(made)


def found(request: Request, id: str) -> Execution:
    """The execution, or 404."""
    with services_of(request).store.read() as work:
        execution = work.executions.get(id)
    if execution is None:
        raise Problem(404, "There is no such execution.")
    return execution
