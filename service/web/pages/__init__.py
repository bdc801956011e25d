"""The pages: server-drawn, readable without JavaScript; refuses inline scripts, inline styles and anything from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from service.domain.execution import ENDED, Status
from service.domain.names import short
from service.domain.step_key import abbreviated
from service.ports.store import ExecutionFilter
from service.web.api.commits import get_commit
from service.web.api.documents import delivery_document, execution_document
from service.web.api.lineage import get_lineage
from service.web.api.parameters import Sha
from service.web.auth import Caller, requires, services_of
from service.web.pages.drawing import dag, lineage_drawing
from service.web.problems import Problem

router = APIRouter(include_in_schema=False)
Reads = Annotated[Caller, Depends(requires("read"))]
_templates = Jinja2Templates(directory=Path(__file__).parent / "templates")
_templates.env.filters["short"] = short
_templates.env.filters["abbreviated"] = abbreviated
_templates.env.filters["branch"] = lambda ref: ref.removeprefix("refs/heads/").removeprefix("refs/")
_templates.env.filters["moment"] = lambda at: at.strftime("%d %b %H:%M:%S") if at else ""
_LIVE = {status.value for status in Status} - {status.value for status in ENDED}


def _page(request: Request, name: str, **values: Any) -> HTMLResponse:
    return _templates.TemplateResponse(request, name, {"version": services_of(request).version, **values})


@router.get("/", response_class=HTMLResponse)
def executions(
    request: Request, caller: Reads, branch: str = "", pipeline: str = "", status: str = "", cursor: str | None = None
) -> HTMLResponse:
    """Every filter is in the URL."""
    try:
        statuses = tuple(Status(one) for one in status.split(",") if one)
    except ValueError as error:
        raise Problem(422, str(error)) from error
    if "\0" in branch + pipeline:
        raise Problem(422, "A filter holds characters that no name has.")
    with services_of(request).store.begin() as work:
        page = work.executions.page(ExecutionFilter(pipeline=pipeline, branch=branch, statuses=statuses), cursor, 30)
    items = [execution_document(one) for one in page.items]
    chosen = {"branch": branch, "pipeline": pipeline, "status": status}
    older = urlencode({**chosen, "cursor": page.next_cursor}) if page.next_cursor else ""
    live = any(one["status"] in _LIVE for one in items)
    return _page(request, "executions.html", items=items, filter=chosen, older=older, live=live, statuses=list(Status))


@router.get("/executions/{id}", response_class=HTMLResponse)
def execution(request: Request, caller: Reads, id: str, step: str = "", after: int = 0) -> HTMLResponse:
    """The DAG, what was decided and what came of it, and one step's log: by default the root failure's."""
    services = services_of(request)
    with services.store.begin() as work:
        found = work.executions.get(id) if id.isprintable() else None
    if found is None:
        raise Problem(404, "There is no such execution.")
    document = execution_document(found)
    names = [one.name for one in found.steps]
    failed = next((one.name for one in found.steps if one.state.value == "failed"), "")
    running = next((one.name for one in found.steps if one.state.value == "running"), "")
    shown_step = step if step in names else failed or running or (names[-1] if names else "")
    backend = services.scheduler.backends.get(found.pipeline.backend)
    run = found.step(shown_step) if shown_step else None
    handle = run.attempts[-1].handle if run and run.attempts else run.result.id if run and run.result else None
    lines = backend.logs(handle, max(0, after), 500) if backend and handle else []
    return _page(
        request,
        "execution.html",
        one=document,
        drawing=dag(found),
        step=shown_step,
        lines=lines,
        live=document["status"] in _LIVE,
    )


@router.get("/commits/{sha}", response_class=HTMLResponse)
def commit(request: Request, caller: Reads, sha: Sha) -> HTMLResponse:
    """What became of a commit, with the evidence."""
    return _page(request, "commit.html", one=get_commit(request, caller, sha))


@router.get("/deliveries", response_class=HTMLResponse)
def deliveries(request: Request, caller: Reads, cursor: str | None = None) -> HTMLResponse:
    with services_of(request).store.begin() as work:
        page = work.deliveries.page("", cursor, 50)
    return _page(
        request, "deliveries.html", items=[delivery_document(one) for one in page.items], older=page.next_cursor
    )


@router.get("/lineage", response_class=HTMLResponse)
def lineage(
    request: Request, caller: Reads, commit: str = "", result: str = "", digest: str = "", model: str = ""
) -> HTMLResponse:
    """A graph drawn from left to right, and the same as a table."""
    graph = get_lineage(request, caller, commit, result, digest, model) if commit or result or digest or model else None
    with services_of(request).store.begin() as work:
        models = work.models.all()
    drawing = lineage_drawing(graph) if graph else None
    return _page(
        request,
        "lineage.html",
        graph=graph,
        drawing=drawing,
        models=models,
        subject=commit or result or digest or model,
    )
