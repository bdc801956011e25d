"""Every payload that Octokit publishes as an example, as JSON and as a form, at `refit serve`: each is taken, and
decided. They are old, and hold no push like ours, so they are a smoke test of what GitHub may send at all."""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.conftest import absent
from tests.web.hostile import PATH, SECRET, sign
from tests.web.served import Served, served, until

PACKAGE = Path(__file__).parents[1] / "npm" / "node_modules" / "@octokit" / "webhooks-examples"


def examples() -> list[tuple[str, dict[str, Any]]]:
    """Event and payload, of github.com and of every Enterprise Server that is published."""
    if not PACKAGE.is_dir():
        absent("webhooks-examples", "npm ci --prefix tests/npm --ignore-scripts")
    found = [event for file in sorted(PACKAGE.glob("*/index.json")) for event in json.loads(file.read_text())]
    return [(event["name"], payload) for event in found for payload in event["examples"]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(
        tmp_path_factory.mktemp("home"),
        REFIT_WEBHOOK_SECRET=SECRET.decode(),
        REFIT_REPOSITORIES='{"Codertocat/Hello-World": "file:///nowhere"}',  # what most of them speak of
        REFIT_GIT_PROTOCOLS="file",
    ) as made:
        yield made


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_every_official_example_is_taken_and_decided(service: Served, kind: str) -> None:
    sent, wire = examples(), http.client.HTTPConnection(service.host, service.port, 60)
    assert len(sent) >= 329
    for event, payload in sent:
        text = json.dumps(payload)
        body = (text if kind.endswith("json") else urlencode({"payload": text})).encode()
        wire.request("POST", PATH, body, {"Content-Type": kind, "X-GitHub-Event": event, "X-Hub-Signature-256": sign(body),
                                          "X-GitHub-Delivery": str(uuid.uuid4())})  # fmt: skip
        answer = wire.getresponse()
        assert answer.status == 202, (event, answer.read())
        answer.read()
    wire.close()
    undecided = "select name from deliveries where outcome = '' and last_error = '' and due_at is not null"
    until(lambda: service.rows(undecided) == [], "each is decided", 180)
    assert '"bug"' not in service.log()
    assert service.count("executions") == 0
