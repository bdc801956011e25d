"""Owns the page of deliveries: what arrived and what became of it; refuses to show a payload."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from service.web.api.deliveries import list_deliveries
from service.web.api.parameters import Cursor, Text
from service.web.auth import Reads
from service.web.pages.rendering import page

router = APIRouter()


@router.get("/deliveries", response_class=HTMLResponse)
def deliveries(
    request: Request, response: Response, caller: Reads, repository: Text = "", cursor: Cursor = None
) -> HTMLResponse:
    """Newest first."""
    found = list_deliveries(request, response, caller, repository, cursor, 50)
    live = any(one["state"] in ("waiting", "working") for one in found["items"])
    return page(
        request,
        "deliveries.html",
        items=found["items"],
        repository=repository,
        older=found["next_cursor"],
        live=live,
    )
