"""Owns answers that never change again: their weak ETag, and 304 for who has them; refuses to tell which those are."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel

UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "It is as the caller knows it"}}


def settled(request: Request, response: Response, document: BaseModel) -> BaseModel | Response:
    """The document with its tag, or 304: for a route that has found it to be final."""
    tag = tag_of(document.model_dump_json().encode())
    if is_known(request, tag):
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    return document


def tag_of(body: bytes) -> str:
    """Weak, because a proxy may compress."""
    return f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'


def is_known(request: Request, tag: str) -> bool:
    """Whether ``If-None-Match`` names it; strong and weak tags compare alike here (RFC 9110 8.8.3.2)."""
    given = {one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")}
    return bool({"*", tag.removeprefix("W/")} & given)
