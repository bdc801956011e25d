"""Owns the page of registered models: every version, its figures, and who said what about it; refuses to act."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from service.web.api.documents import model_documents
from service.web.api.parameters import Text
from service.web.auth import Reads, services_of
from service.web.pages.rendering import page

router = APIRouter()


@router.get("/models", response_class=HTMLResponse)
def models(request: Request, caller: Reads, name: Text = "") -> HTMLResponse:
    """Newest version first; the one in use is marked."""
    with services_of(request).store.read() as work:
        versions = model_documents(work.models.all(name))
    return page(request, "models.html", versions=versions, only=name)
