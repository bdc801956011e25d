"""Owns the values that pass between the door and the rooms behind it: request, answer, refusal, route."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

SUBSCRIPTION = "12345678-1234-4234-8234-123456789012"
GROUP, WORKSPACE, LOCATION = "refit-tests", "refit", "westeurope"
WORKSPACE_ID = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.MachineLearningServices"
    f"/workspaces/{WORKSPACE}"
)
ANY_WORKSPACE = (
    r"/subscriptions/(?P<s>[^/]+)/resource[gG]roups/(?P<g>[^/]+)/providers/Microsoft.MachineLearningServices"
    r"/workspaces/(?P<w>[^/]+)"
)


class Refusal(Exception):
    """An answer that is an error, in Azure's form."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def user_error(message: str) -> Refusal:
    return Refusal(400, "UserError", message)


def not_found(what: str) -> Refusal:
    return Refusal(404, "UserError", f"{what} was not found in workspace {WORKSPACE}.")


@dataclass(frozen=True)
class Request:
    """``groups`` are the named parts of the path, ``claims`` those of the token."""

    path: str
    groups: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    raw: bytes
    claims: Mapping[str, Any]

    @property
    def body(self) -> dict[str, Any]:
        try:
            found = json.loads(self.raw or b"{}")
        except ValueError as error:
            raise Refusal(400, "InvalidRequestContent", "The request content was invalid JSON.") from error
        if not isinstance(found, dict):
            raise Refusal(400, "InvalidRequestContent", "The request content must be an object.")
        return found

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.raw.decode()))


@dataclass(frozen=True)
class Answer:
    """A body that is not bytes is sent as JSON."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """``name`` is what counts and faults know a request by; ``open`` needs no token; ``action`` is what a role must allow."""

    method: str
    pattern: str
    name: str
    act: Callable[[Request], Any]
    open: bool = False
    action: str = ""

    def match(self, method: str, path: str) -> dict[str, str] | None:
        found = re.fullmatch(self.pattern, path, re.IGNORECASE) if method == self.method else None
        return None if found is None else found.groupdict()
