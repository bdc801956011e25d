"""Owns the lineage page: a graph drawn from left to right, and the same as a table; refuses a second search."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from service.web.api.documents import model_documents
from service.web.api.lineage import Direction, get_lineage
from service.web.api.parameters import AnySha, Text
from service.web.auth import Reads, services_of
from service.web.pages.drawing import lineage_drawing
from service.web.pages.rendering import page

router = APIRouter()


@router.get("/lineage", response_class=HTMLResponse)
def lineage(
    request: Request,
    caller: Reads,
    commit: AnySha = "",
    result: Text = "",
    digest: Text = "",
    model: Text = "",
    metric: Text = "",
    direction: Direction | None = None,
) -> HTMLResponse:
    """Asked about nothing, it offers the registered models."""
    subject = commit or result or digest or model
    graph = get_lineage(request, caller, commit, result, digest, model, metric, direction) if subject else None
    with services_of(request).store.read() as work:
        models = model_documents(work.models.all())
    labels = {node["id"]: node for node in graph["nodes"]} if graph else {}
    return page(
        request,
        "lineage.html",
        graph=graph,
        labels=labels,
        drawing=lineage_drawing(graph) if graph else None,
        models=models,
        subject=f"{metric} of {subject}" if metric else subject,
    )
