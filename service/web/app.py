"""Owns the web room's assembly: routes, headers, caps; refuses any route of its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles

from service.web import api, health, pages, problems, webhooks
from service.web.services import Services

_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_BODY_LIMIT = 1024 * 1024


def create_app(services: Services) -> FastAPI:
    """The app; it stores what its inbox holds when it stops."""

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        yield
        services.inbox.close()

    app = FastAPI(
        title="Refit",
        version=services.version,
        summary="Re-runs the ML pipeline steps that a commit really changed, and remembers why.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # they would load scripts from a CDN
        redoc_url=None,
        lifespan=life,
    )
    app.state.services = services
    problems.install(app)
    app.include_router(webhooks.router)
    app.include_router(api.router)
    app.include_router(health.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "pages" / "static"), name="static")

    @app.middleware("http")
    async def around(request: Request, follow: Callable[[Request], Awaitable[Response]]) -> Response:
        length = request.headers.get("content-length", "0")
        if request.url.path != "/webhooks/github" and (not length.isdigit() or int(length) > _BODY_LIMIT):
            return problems.problem(413, "Body too large", f"A request here has at most {_BODY_LIMIT} bytes.")
        with structlog.contextvars.bound_contextvars(request_id=uuid.uuid4().hex[:12]):
            response = await follow(request)
        for name, value in _SECURITY.items():
            response.headers.setdefault(name, value)
        return response

    return app
