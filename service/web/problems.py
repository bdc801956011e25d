"""Owns how every failure is answered: RFC 9457 problem details; refuses to leak what is not for the caller."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from service.domain.errors import Refused, Retry
from service.domain.names import shown
from service.ports.webhook import Rejected

MEDIA_TYPE = "application/problem+json"


class Mistake(BaseModel):
    """One thing wrong with a request: where, and what."""

    where: str = Field(examples=["query.limit"])
    what: str = Field(examples=["Input should be less than or equal to 100"])


class ProblemShape(BaseModel):
    """What went wrong, as RFC 9457 has it; ``errors`` names every mistake of an invalid request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "There is no such execution."}
            ]
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[Mistake] | None = None


class Problem(HTTPException):
    """Answer with this status and these words."""

    def __init__(self, status: int, detail: str, title: str = "", headers: dict[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)
        self.title = title or HTTPStatus(status).phrase


def problem(
    status: int, detail: str, title: str = "", headers: dict[str, str] | None = None, **more: Any
) -> JSONResponse:
    """One problem document. The detail may quote a caller, so it is made safe to print."""
    body = {
        "type": "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": shown(detail),
    }
    return JSONResponse(body | more, status, headers, media_type=MEDIA_TYPE)


def foreseen(error: Exception) -> JSONResponse | None:
    """The problem document of a failure that is no bug."""
    match error:
        case Rejected():
            return problem(error.status, error.detail, error.title)
        case Refused():
            return problem(409, error.reason, "Refused")
        case Retry():
            return problem(503, error.reason, "Not now", {"Retry-After": str(int(error.after or 5))})
        case HTTPException():
            title = error.title if isinstance(error, Problem) else ""
            return problem(error.status_code, str(error.detail), title, dict(error.headers) if error.headers else None)
        case RequestValidationError():
            errors = [
                {"where": shown(".".join(map(str, one["loc"]))), "what": shown(one["msg"])} for one in error.errors()
            ]
            detail = "; ".join(f"{one['where']}: {one['what']}" for one in errors)
            return problem(422, detail, "Invalid request", errors=errors)
    return None


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """These failures, for an operation's description."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def install(app: FastAPI) -> None:
    """Every foreseen failure of this app becomes a problem document; see ``around`` for bugs."""

    def answer(_request: Request, error: Exception) -> JSONResponse:
        found = foreseen(error)
        if found is None:
            raise error
        return found

    for kind in (Rejected, Refused, Retry, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer)
