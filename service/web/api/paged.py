"""Owns how lists are answered: a page, its cursor and ``Link``; refuses offsets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Request, Response

from service.domain.errors import Refused
from service.ports.store import Page, Work
from service.web.auth import services_of
from service.web.problems import Problem

T = TypeVar("T")


def answer(
    request: Request, response: Response, ask: Callable[[Work], Page[T]], document: Callable[[T], dict[str, Any]]
) -> dict[str, Any]:
    """The page's document; ``Link: rel="next"`` beside ``next_cursor``."""
    try:
        with services_of(request).store.read() as work:
            page = ask(work)
    except Refused as error:
        raise Problem(400, error.reason) from error
    if page.next_cursor:
        query = request.url.include_query_params(cursor=page.next_cursor).query
        response.headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
    return {"items": [document(item) for item in page.items], "next_cursor": page.next_cursor}


def whole(items: list[dict[str, Any]]) -> dict[str, Any]:
    """A list that is answered in one page."""
    return {"items": items, "next_cursor": None}
