"""Owns liveness, readiness and Prometheus metrics; refuses to need a token: nothing here names a repository."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from service.web.auth import services_of
from service.web.instruments import Instruments

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process answers."""

    status: str = Field(examples=["ok"])


class Readiness(BaseModel):
    """Each check with what is wrong; empty: fine."""

    status: str = Field(examples=["ready"])
    checks: dict[str, str] = Field(examples=[{"database": "", "migrations": "", "worker": ""}])


@router.get("/healthz", response_model=Health, operation_id="getHealth", summary="Whether the process is up")
async def health() -> dict[str, str]:
    """Says nothing of what it depends on, and waits for no thread: restarting this process would not mend that."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    response_model=Readiness,
    operation_id="getReadiness",
    summary="Whether it can do its work",
    responses={503: {"model": Readiness, "description": "What is wrong"}},
)
def readiness(request: Request) -> JSONResponse:
    """Database, schema and worker; 503 names what is wrong."""
    checks = services_of(request).ready()
    wrong = any(checks.values())
    return JSONResponse({"status": "not ready" if wrong else "ready", "checks": dict(checks)}, 503 if wrong else 200)


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Prometheus metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"example": 'refit_executions{status="succeeded"} 12.0\n'}}}},
)
def metrics(request: Request) -> Response:
    """In Prometheus' text format."""
    instruments: Instruments = request.app.state.instruments
    return Response(instruments.text(), media_type=CONTENT_TYPE_LATEST)
