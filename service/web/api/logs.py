"""Owns the route of a step's log, paged or followed, and whose log a step shows; refuses to keep a line."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field

from service.domain.execution import FINAL, Attempt, Execution, State, StepRun
from service.ports.backend import LogLine
from service.web.api.documents import line_document, standing_document
from service.web.api.executions import Id, found
from service.web.api.following import BATCH, MEDIA_TYPE, Followed, Look, Streams, resumed
from service.web.api.parameters import Text
from service.web.api.settled import UNCHANGED, settled
from service.web.auth import Reads, services_of
from service.web.problems import Problem, documented
from service.web.services import Services

router = APIRouter(tags=["executions"])
_STREAM = 'id: 1.1\nevent: line\ndata: {"number":1,"at":"2026-11-24T10:00:02+00:00","stream":"stdout","text":"53940 rows"}\n\n'


class Line(BaseModel):
    """One line that a step wrote; ``stream`` is ``stdout``, ``stderr`` or ``refit``."""

    number: int = Field(examples=[1])
    at: datetime = Field(examples=["2026-11-24T10:00:02Z"])
    stream: str = Field(examples=["stderr"])
    text: str = Field(examples=["Traceback (most recent call last):"])


class Lines(BaseModel):
    """Lines in order, and whose they are: of a reused step, the execution that ran it."""

    execution: str | None = Field(examples=["1n9v0k7m2q4x8c3b5t"])
    attempt: int | None = Field(examples=[1])
    items: list[Line]


@router.get(
    "/executions/{id}/logs",
    response_model=Lines,
    operation_id="getLogs",
    summary="What a step wrote",
    responses={
        **documented(404, 409, 503),
        **UNCHANGED,
        200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": _STREAM}}},
    },
)
def get_logs(
    request: Request,
    response: Response,
    caller: Reads,
    id: Id,
    step: Annotated[Text, Query(description="The component.", examples=["train"])],
    attempt: Annotated[int | None, Query(ge=1, lt=2**31, description="Default: the last.")] = None,
    after: Annotated[int, Query(ge=0, lt=2**53, description="The number of the last line seen.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    follow: Annotated[bool, Query(description="Server-sent events; so does `Accept: text/event-stream`.")] = False,
    last_event_id: Annotated[Text | None, Header(description="Where a broken stream was.", examples=["1.40"])] = None,
) -> Any:
    """Lines with a number above ``after``, also while the step runs: ask again with the last number, or follow them: a
    ``line`` event for each, over all attempts, a ``state`` event when the execution moves, then one ``end`` event with the
    step's state. A stream that stops without it is to be asked for again, with its last event's id. A page of an attempt that
    has ended has a weak ETag."""
    execution = found(request, id)
    if step not in [one.name for one in execution.steps]:
        raise Problem(404, f"Execution {id} has no step {step!r}.")
    if follow or MEDIA_TYPE in request.headers.get("accept", ""):
        return _followed(request, id, step, attempt, after, last_event_id)
    owner, chosen = attempt_of(services_of(request), execution, execution.step(step), attempt)
    if chosen is None and attempt is not None:
        raise Problem(404, f"Step {step!r} of execution {id} has no attempt {attempt}.")
    lines = read_lines(services_of(request), owner, chosen, after, limit)
    page = Lines(
        execution=owner.id if chosen else None,
        attempt=chosen.number if chosen else None,
        items=[Line(**line_document(line)) for line in lines],
    )
    return settled(request, response, page) if chosen and chosen.ended_at else page


def _followed(
    request: Request, id: str, step: str, attempt: int | None, after: int, last_event: str | None
) -> Followed:
    """The chosen attempt's lines or, by default, those of whichever is the last."""
    services = services_of(request)
    streams: Streams = request.app.state.streams

    def read() -> Execution | None:
        with services.store.read() as work:
            return work.executions.get(id)

    def look(known: int, line: int) -> Look:
        execution = streams.executions.get(id, read)
        if execution is None:  # executions are not deleted; if they ever are, the stream ends
            return Look((), known, "", True, {})
        run = execution.step(step)
        owner, chosen = attempt_of(services, execution, run, attempt)
        number = chosen.number if chosen else 0
        lines = read_lines(services, owner, chosen, line if number == known else 0, BATCH)
        return Look(lines, number, run.state.value, run.state in FINAL, standing_document(execution))

    known, line = resumed(last_event)
    if not known and after:
        known, line = look(0, 0).attempt, after
    return Followed(streams, streams.follow(look, known, line))


def attempt_of(
    services: Services, execution: Execution, step: StepRun, number: int | None = None
) -> tuple[Execution, Attempt | None]:
    """The attempt that is meant, and its execution: what a reused step shows is the run that made its result."""
    if step.state is State.REUSED and step.result is not None and not step.attempts:
        with services.store.read() as work:
            maker = work.executions.get(step.result.execution)
        if maker is not None:
            made = [one for run in maker.steps for one in run.attempts if one.token == step.result.id]
            return maker, next((one for one in made if number in (None, one.number)), None)
    matching = [one for one in step.attempts if number in (None, one.number)]
    return execution, matching[-1] if matching else None


def read_lines(
    services: Services, execution: Execution, attempt: Attempt | None, after: int, limit: int
) -> list[LogLine]:
    """Nothing, as long as nothing was submitted."""
    backend = services.scheduler.backends.get(execution.pipeline.backend)
    if backend is None or attempt is None or attempt.handle is None:
        return []
    return list(backend.logs(attempt.handle, after, limit))
