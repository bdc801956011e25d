"""A webhook over HTTP: signed, capped, stored before the answer. What a payload means is tests/adapters' business."""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from service.domain.delivery import Delivery
from tests.web.site import SECRET, Site, git

GUID = "0b989ba4-242f-11e5-81e1-c7b6966d2516"
MB = 1024 * 1024


def signed(body: bytes, **headers: str) -> dict[str, str]:
    signature = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": GUID,
        "X-Hub-Signature-256": signature,
    } | headers


def push(site: Site, **changes: Any) -> bytes:
    payload = {"ref": "refs/heads/main", "before": "0" * 40, "after": git(site.git, "rev-parse", "HEAD"),
               "repository": {"full_name": "acme/diamonds"}, "sender": {"login": "ada"}, **changes}  # fmt: skip
    return json.dumps(payload).encode()


def test_a_signed_push_is_stored_before_the_answer(site: Site) -> None:
    body = push(site)
    answer = site.http.post("/webhooks/github", content=body, headers=signed(body))
    assert (answer.status_code, answer.json()) == (202, {"delivery": GUID, "duplicate": False})
    found = site.get(f"/deliveries/{GUID}")
    assert (found["event"], found["state"], found["repository"]) == ("push", "waiting", "acme/diamonds")
    again = site.http.post("/webhooks/github", content=body, headers=signed(body))
    assert (again.status_code, again.json()["duplicate"]) == (202, True)
    text = site.http.get("/metrics").text
    assert 'refit_deliveries_total{outcome="stored"} 1.0' in text
    assert 'refit_deliveries_total{outcome="duplicate"} 1.0' in text


@pytest.mark.parametrize(
    ("change", "status"),
    [({"X-Hub-Signature-256": "sha256=0"}, 401), ({"X-GitHub-Event": ""}, 400), ({"X-GitHub-Delivery": "x"}, 400),
     ({"Content-Type": "text/plain"}, 415), ({"Content-Encoding": "gzip"}, 415)],
)  # fmt: skip
def test_a_refusal_is_a_problem(looked_at: Site, change: dict[str, str], status: int) -> None:
    body = push(looked_at)
    answer = looked_at.http.post("/webhooks/github", content=body, headers=signed(body, **change))
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_large_push_is_fine_and_a_larger_one_is_not(site: Site) -> None:
    body = push(site, padding="x" * (20 * MB))
    assert site.http.post("/webhooks/github", content=body, headers=signed(body)).status_code == 202
    body = push(site, padding="x" * (26 * MB))
    assert site.http.post("/webhooks/github", content=body, headers=signed(body)).status_code == 413


def test_a_chunked_body_ends_at_the_cap(site: Site) -> None:
    asked = 0

    def endless() -> Iterator[bytes]:
        nonlocal asked
        for _ in range(100):
            asked += 1
            yield b"x" * MB

    answer = site.http.post("/webhooks/github", content=endless(), headers=signed(b""))
    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == "application/problem+json"
    answer = site.http.post("/api/v1/plans", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


@pytest.mark.parametrize("failure", [queue.Full(), OSError("disk full")])
def test_what_cannot_be_stored_is_to_be_sent_again(site: Site, failure: Exception) -> None:
    services = site.http.app.state.services  # type: ignore[attr-defined]
    services.inbox.close()
    object.__setattr__(services, "inbox", _Broken(failure))
    body = push(site)
    answer = site.http.post("/webhooks/github", content=body, headers=signed(body))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert 'refit_deliveries_total{outcome="failed"} 1.0' in site.http.get("/metrics").text


class _Broken:
    """An inbox whose store is full or gone."""

    def __init__(self, failure: Exception) -> None:
        self._failure = failure

    def accept(self, _delivery: Delivery) -> Future[bool]:
        if isinstance(self._failure, queue.Full):
            raise self._failure
        answer: Future[bool] = Future()
        answer.set_exception(self._failure)
        return answer

    def close(self) -> None: ...
