"""Owns the page that lists executions; every filter is in its URL; refuses a filter that the API does not have."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from service.domain.execution import Status
from service.web.api.executions import list_executions
from service.web.api.parameters import AnySha, Cursor, Text
from service.web.auth import Reads
from service.web.pages.rendering import LIVE, page

router = APIRouter()


@router.get("/", response_class=HTMLResponse)
def executions(
    request: Request,
    response: Response,
    caller: Reads,
    repository: Text = "",
    pipeline: Text = "",
    branch: Text = "",
    commit: AnySha = "",
    trigger: Text = "",
    status: Text = "",
    since: datetime | None = None,
    cursor: Cursor = None,
) -> HTMLResponse:
    """The same list as the API's, thirty at a time."""
    found = list_executions(
        request, response, caller, repository, pipeline, branch, commit, trigger, status, since, cursor, 30
    )
    texts = {"repository": repository, "pipeline": pipeline, "branch": branch, "status": status}
    hidden = {"commit": commit, "trigger": trigger, "since": since.isoformat() if since else ""}
    given = {name: value for name, value in (texts | hidden).items() if value}
    items = [one | {"took": _took(one)} for one in found["items"]]
    return page(
        request,
        "executions.html",
        items=items,
        filter=texts,
        hidden={name: value for name, value in hidden.items() if value},
        older=urlencode({**given, "cursor": found["next_cursor"]}) if found["next_cursor"] else "",
        live=any(one["status"] in LIVE for one in items),
        statuses=[one.value for one in Status],
    )


def _took(one: dict[str, Any]) -> float | None:
    return (one["ended_at"] - one["created_at"]).total_seconds() if one["ended_at"] else None
