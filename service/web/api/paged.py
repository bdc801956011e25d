"""Owns how lists are asked for and answered: limit, cursor, Link; refuses offsets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Query, Request, Response

from service.domain.errors import Refused
from service.ports.store import Page
from service.web.problems import Problem

Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]
Cursor = Annotated[str | None, Query(max_length=400, description="`next_cursor` of the page before.")]
T = TypeVar("T")


def answer(
    request: Request, response: Response, ask: Callable[[], Page[T]], document: Callable[[T], dict[str, Any]]
) -> dict[str, Any]:
    """The page's document; ``Link: rel="next"`` beside ``next_cursor``."""
    try:
        page = ask()
    except Refused as error:
        raise Problem(400, error.reason) from error
    if page.next_cursor:
        url = request.url.include_query_params(cursor=page.next_cursor)
        response.headers["Link"] = f'<{url}>; rel="next"'
    return {"items": [document(item) for item in page.items], "next_cursor": page.next_cursor}
