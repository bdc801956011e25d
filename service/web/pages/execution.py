"""Owns the page of one execution: root failure first, graph, timeline, steps, one step's log; refuses to act."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from service.domain.execution import FINAL, Execution, State
from service.ports.backend import LogLine
from service.web.api.documents import detailed_document, line_document
from service.web.api.executions import Id, found
from service.web.api.logs import attempt_of, read_lines
from service.web.api.parameters import Text
from service.web.auth import Reads, services_of
from service.web.pages.charts import timeline
from service.web.pages.drawing import dag
from service.web.pages.rendering import LIVE, page, tally
from service.web.services import Services

router = APIRouter()
_LINES = 500


@router.get("/executions/{id}", response_class=HTMLResponse)
def execution(
    request: Request,
    caller: Reads,
    id: Id,
    step: Text = "",
    attempt: Annotated[int | None, Query(ge=1, lt=2**31)] = None,
    after: Annotated[int, Query(ge=0, lt=2**53)] = 0,
) -> HTMLResponse:
    """Without a step, the log of the root failure, else of what runs, else of the last step."""
    services = services_of(request)
    one = found(request, id)
    document = detailed_document(one)
    return page(
        request,
        "execution.html",
        one=document,
        headline=_headline(one),
        tally=tally(document["steps"]),
        drawing=dag(one),
        timeline=timeline(one, services.scheduler.clock.now()),
        log=_log(services, one, step, attempt, after),
        live=document["status"] in LIVE,
    )


def _headline(one: Execution) -> str:
    """The first thing to know; a failure before anything that follows from it."""
    failed = [step for step in one.steps if step.state is State.FAILED]
    running = [step.name for step in one.steps if step.state is State.RUNNING]
    if failed:
        tries = len(failed[0].attempts)
        return f"{failed[0].name} failed" + (f" after {tries} attempts." if tries > 1 else ".")
    if one.failed_gates:
        return f"Gate failed: {one.failed_gates[0].detail}."
    if one.needs_approval and not one.approved_by and one.ended_at is None:
        return f"Waits for approval: {one.needs_approval}."
    if running:
        return f"{', '.join(running)} {'is' if len(running) == 1 else 'are'} running."
    if one.ended_at is None:
        return "Nothing has started yet."
    if all(step.state is State.REUSED for step in one.steps):
        return "Nothing had to run."
    return {"succeeded": "Done.", "superseded": "A newer commit took its place."}.get(one.status.value, "Cancelled.")


def _log(services: Services, one: Execution, step: str, attempt: int | None, after: int) -> dict[str, Any]:
    names = [run.name for run in one.steps]
    by_state = {run.state: run.name for run in reversed(one.steps)}
    chosen = step if step in names else by_state.get(State.FAILED) or by_state.get(State.RUNNING) or names[-1]
    run = one.step(chosen)
    owner, shown_attempt = attempt_of(services, one, run, attempt)
    lines = read_lines(services, owner, shown_attempt, after, _LINES)
    return {
        "step": chosen,
        "attempt": shown_attempt.number if shown_attempt else None,
        "attempts": [one.number for one in run.attempts],
        "owner": owner.id if owner.id != one.id else "",
        "lines": [line_document(line) for line in lines],
        "next": lines[-1].number if len(lines) == _LINES else None,
        "follow": "" if run.state in FINAL or attempt is not None else _stream(one.id, chosen, lines),
    }


def _stream(id: str, step: str, lines: Sequence[LogLine]) -> str:
    """Where the lines behind these come from, as they are written."""
    query = {"step": step, "follow": "true", "after": lines[-1].number if lines else 0}
    return f"/api/v1/executions/{quote(id)}/logs?{urlencode(query)}"
