"""Owns the routes of executions: list, look, logs, cancel, rerun, approve; refuses to move one by itself."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from service.domain.execution import Execution, Status
from service.ports.store import ExecutionFilter
from service.web.api.paged import Cursor, Limit, answer
from service.web.api.shapes import ExecutionShape, PageOf, execution_document
from service.web.auth import Caller, requires, services_of
from service.web.problems import Problem

router = APIRouter(tags=["executions"])
Reads = Annotated[Caller, Depends(requires("read"))]
Runs = Annotated[Caller, Depends(requires("run"))]


class Rerun(BaseModel):
    """``components`` run whatever the past; without any, what did not succeed runs again."""

    components: list[str] = Field(default_factory=list, max_length=1000, examples=[["train"]])


class Line(BaseModel):
    """One line that a step wrote."""

    number: int
    at: datetime
    stream: str = Field(examples=["stderr"])
    text: str = Field(examples=["Traceback (most recent call last):"])


@router.get(
    "/executions", response_model=PageOf[ExecutionShape], operation_id="listExecutions", summary="List executions"
)
def list_executions(
    request: Request,
    response: Response,
    caller: Reads,
    repository: str = "",
    pipeline: str = "",
    branch: str = "",
    commit: str = "",
    trigger: Annotated[str, Query(description="A delivery's GUID.")] = "",
    status: Annotated[str, Query(description="Comma-separated.", examples=["failed,running"])] = "",
    since: datetime | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Any:
    """Newest first."""
    try:
        statuses = tuple(Status(one) for one in status.split(",") if one)
    except ValueError as error:
        raise Problem(422, f"status: {error}; there are {', '.join(s.value for s in Status)}") from error
    chosen = ExecutionFilter(
        _plain(repository), _plain(pipeline), _plain(branch), _plain(commit), statuses, since, _plain(trigger)
    )

    def ask() -> Any:
        with services_of(request).store.begin() as work:
            return work.executions.page(chosen, cursor, limit)

    return answer(request, response, ask, execution_document)


@router.get(
    "/executions/{id}",
    response_model=ExecutionShape,
    operation_id="getExecution",
    summary="One execution with its steps",
)
def get_execution(request: Request, response: Response, caller: Reads, id: str) -> Any:
    """Finished executions have a weak ETag: ask again with If-None-Match."""
    document = ExecutionShape.model_validate(execution_document(_found(request, id)))
    if document.ended_at is not None:
        tag = f'W/"{hashlib.sha256(document.model_dump_json().encode()).hexdigest()[:32]}"'
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"ETag": tag})
        response.headers["ETag"] = tag
    return document


@router.get("/executions/{id}/logs", response_model=PageOf[Line], operation_id="getLogs", summary="What a step wrote")
def get_logs(
    request: Request,
    caller: Reads,
    id: str,
    step: Annotated[str, Query(description="The component.", examples=["train"])],
    attempt: Annotated[int | None, Query(ge=1, description="Default: the last.")] = None,
    after: Annotated[int, Query(ge=0, description="The number of the last line seen.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Any:
    """Lines with a number above ``after``, also while the step runs. A reused step shows the run that made its result."""
    execution = _found(request, id)
    run = next((one for one in execution.steps if one.name == step), None)
    if run is None:
        raise Problem(404, f"Execution {id} has no step {step!r}.")
    handles = {one.number: one.handle for one in run.attempts}
    handle = handles.get(attempt) if attempt else (run.attempts[-1].handle if run.attempts else None)
    if handle is None and run.result is not None and attempt is None:
        handle = run.result.id
    backend = services_of(request).scheduler.backends.get(execution.pipeline.backend)
    lines = backend.logs(handle, after, limit) if backend and handle else []
    return {
        "items": [{"number": x.number, "at": x.at, "stream": x.stream, "text": x.text} for x in lines],
        "next_cursor": None,
    }


@router.post(
    "/executions/{id}/cancel",
    response_model=ExecutionShape,
    status_code=202,
    operation_id="cancelExecution",
    summary="Cancel",
)
def cancel(request: Request, caller: Runs, id: str) -> Any:
    """Ends what runs, with everything it started; what has ended stays as it is."""
    _found(request, id)
    with services_of(request).store.begin() as work:
        if not work.executions.mark(id, cancelled=f"cancelled by {caller.name}"):
            raise Problem(409, f"Execution {id} has ended already.")
    return execution_document(_found(request, id))


@router.post(
    "/executions/{id}/approve",
    response_model=ExecutionShape,
    status_code=202,
    operation_id="approveExecution",
    summary="Approve",
)
def approve(request: Request, caller: Runs, id: str) -> Any:
    """Lets an execution run that waits for a person's yes."""
    if _found(request, id).status is not Status.AWAITING_APPROVAL:
        raise Problem(409, f"Execution {id} does not wait for approval.")
    with services_of(request).store.begin() as work:
        work.executions.mark(id, approved_by=caller.name)
    return execution_document(_found(request, id))


@router.post(
    "/executions/{id}/rerun",
    response_model=ExecutionShape,
    status_code=201,
    operation_id="rerunExecution",
    summary="Run again",
)
def rerun(request: Request, response: Response, caller: Runs, id: str, body: Annotated[Rerun, Body()] = Rerun()) -> Any:
    """A new execution of the same pipeline at the same commit."""
    _found(request, id)
    made = services_of(request).scheduler.rerun(id, caller.name, body.components)
    response.headers["Location"] = f"/api/v1/executions/{made.id}"
    return execution_document(made)


def _found(request: Request, id: str) -> Execution:
    with services_of(request).store.begin() as work:
        execution = work.executions.get(_plain(id))
    if execution is None:
        raise Problem(404, "There is no such execution.")
    return execution


def _plain(text: str) -> str:
    """What cannot be in the database must not be asked of it: PostgreSQL refuses NUL."""
    if "\0" in text or not text.isprintable():
        raise Problem(422, "A parameter holds characters that no name has.")
    return text
