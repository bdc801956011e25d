"""Owns the web room's assembly: which routes there are and what surrounds them; refuses any route of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from service.web import api, health, openapi, pages, problems, webhooks
from service.web.api.following import Streams
from service.web.around import Around
from service.web.instruments import Instruments
from service.web.limiting import Limiter
from service.web.once import Once
from service.web.services import Services


def create_app(services: Services) -> FastAPI:
    """The app; it stores what its inbox holds when it stops."""

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        yield
        services.inbox.close()

    app = openapi.DescribedApp(
        title="Refit",
        version=services.version,
        summary="Re-runs the ML pipeline steps that a commit really changed, and remembers why.",
        openapi_url=None,  # it has a route of its own, with a tag
        docs_url=None,  # they would load scripts from a CDN
        redoc_url=None,
        lifespan=life,
    )
    app.state.services = services
    app.state.instruments = Instruments(services.store)
    app.add_middleware(Once, services=services)
    app.state.limiter = Limiter(services.bounds)
    app.state.streams = Streams(services.bounds.streams)
    app.add_middleware(Around, instruments=app.state.instruments, limiter=app.state.limiter, bounds=services.bounds)
    problems.install(app)
    for router in (webhooks.router, openapi.router, api.router, health.router, pages.router):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "pages" / "static"), name="static")
    return app
