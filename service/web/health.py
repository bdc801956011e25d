"""Owns liveness, readiness and Prometheus metrics; refuses to need a token: nothing here names a repository."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from service.web.auth import services_of

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="getHealth", summary="Whether the process is up")
def health() -> dict[str, str]:
    return {"status": "ok"}


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Whether it can do its work",
    responses={503: {"description": "What is wrong"}},
)
def readiness(request: Request) -> JSONResponse:
    """Database, schema and worker; 503 names what is wrong."""
    checks = services_of(request).ready()
    wrong = {name: what for name, what in checks.items() if what}
    return JSONResponse({"status": "not ready" if wrong else "ready", "checks": dict(checks)}, 503 if wrong else 200)


@router.get("/metrics", operation_id="getMetrics", summary="Prometheus metrics", response_class=PlainTextResponse)
def metrics(request: Request) -> PlainTextResponse:
    """Counted in the database when asked, so that every replica tells the same."""
    registry = CollectorRegistry()
    executions = Gauge("refit_executions", "Executions by status", ["status"], registry=registry)
    waiting = Gauge("refit_jobs", "Rows that wait or are in work, by queue", ["queue"], registry=registry)
    workers = Gauge("refit_workers", "Workers seen in the last 30 seconds", registry=registry)
    with services_of(request).store.begin() as work:
        for status, count in work.executions.counts().items():
            executions.labels(status).set(count)
        for name, count in work.jobs.depth().items():
            waiting.labels(name).set(count)
        workers.set(work.jobs.beats(30.0))
    return PlainTextResponse(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
