"""Owns how every failure is answered: RFC 9457 problem details; refuses to leak what is not for the caller."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.domain.errors import Refused, Retry
from service.ports.webhook import Rejected

MEDIA_TYPE = "application/problem+json"
log = structlog.get_logger("refit.web")


class Problem(Exception):
    """Answer with this status and these words."""

    def __init__(self, status: int, detail: str, title: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title or HTTPStatus(status).phrase
        self.detail = detail
        self.headers = headers


def problem(status: int, title: str, detail: str, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    """One problem document."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Every error of this app becomes a problem document."""

    @app.exception_handler(Problem)
    def _problem(_request: Request, error: Problem) -> JSONResponse:
        return problem(error.status, error.title, error.detail, error.headers)

    @app.exception_handler(Rejected)
    def _rejected(_request: Request, error: Rejected) -> JSONResponse:
        return problem(error.status, error.title, error.detail)

    @app.exception_handler(Refused)
    def _refused(_request: Request, error: Refused) -> JSONResponse:
        return problem(409, "Refused", error.reason)

    @app.exception_handler(Retry)
    def _retry(_request: Request, error: Retry) -> JSONResponse:
        return problem(503, "Not now", error.reason, {"Retry-After": str(int(error.after or 5))})

    @app.exception_handler(RequestValidationError)
    def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [{"where": ".".join(map(str, one["loc"])), "what": one["msg"]} for one in error.errors()]
        return problem(422, "Invalid request", "; ".join(f"{e['where']}: {e['what']}" for e in errors), errors=errors)

    @app.exception_handler(HTTPException)
    def _http(_request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers) if error.headers else None
        return problem(error.status_code, HTTPStatus(error.status_code).phrase, str(error.detail), headers)

    @app.exception_handler(Exception)
    def _bug(request: Request, error: Exception) -> JSONResponse:
        log.error("bug", path=request.url.path, exc_info=error)
        return problem(500, "Internal error", "This is a bug in Refit; its log has the details.")
