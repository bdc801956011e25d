"""Owns webhook requests as GitHub signs and sends them, and what the reader says to them; refuses the network."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from service.adapters.github.webhook import GitHubWebhooks
from service.domain.delivery import Delivery
from service.ports.webhook import Headers, Rejected

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECRET, OLD, OLDER = b"the current one", b"the one before", b"forgotten"
GUID = "0b989ba4-242f-11e5-81e1-c7b6966d2516"
ONE, TWO, ZERO = "1" * 40, "2" * 40, "0" * 40
FORM = b"application/x-www-form-urlencoded"
READ = GitHubWebhooks((SECRET, OLD), now=lambda: NOW)

PUSH: dict[str, Any] = {
    "ref": "refs/heads/main",
    "before": ONE,
    "after": TWO,
    "created": False,
    "deleted": False,
    "forced": False,
    "head_commit": {"id": TWO, "message": "Subject\n\nBody"},
    "repository": {"full_name": "acme/diamonds", "default_branch": "trunk"},
    "pusher": {"name": "ada"},
    "sender": {"login": "Ada-L"},
}
PULL: dict[str, Any] = {
    "action": "opened",
    "number": 7,
    "pull_request": {
        "number": 7,
        "title": "Deeper trees",
        "draft": False,
        "user": {"login": "grace"},
        "author_association": "MEMBER",
        "head": {"sha": TWO, "ref": "deeper", "repo": {"full_name": "acme/diamonds"}},
        "base": {"sha": ONE, "ref": "main", "repo": {"full_name": "acme/diamonds"}},
    },
    "repository": {"full_name": "acme/diamonds"},
    "sender": {"login": "ada"},
}


def signature(body: bytes, secret: bytes = SECRET) -> bytes:
    return b"sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest().encode()


def headers(body: bytes, event: bytes = b"push", kind: bytes = b"application/json") -> list[tuple[bytes, bytes]]:
    return [
        (b"content-type", kind),
        (b"x-github-event", event),
        (b"x-github-delivery", GUID.encode()),
        (b"x-hub-signature-256", signature(body)),
    ]


def read(payload: Any, event: bytes = b"push") -> Delivery:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return READ(headers(body, event), body)


def refused(given: Headers, body: bytes, reader: GitHubWebhooks = READ) -> int:
    with pytest.raises(Rejected) as caught:
        reader(given, body)
    assert caught.value.title
    assert caught.value.detail
    return caught.value.status


def pull(action: str = "opened", **changes: Any) -> dict[str, Any]:
    return PULL | {"action": action, "pull_request": PULL["pull_request"] | changes}
