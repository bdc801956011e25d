"""Owns `refit serve` as a process that a benchmark starts and ends; refuses to be left running.

Run as a module, it is the same service whose inbox stores nothing: what the receiver is held against.
"""

from __future__ import annotations

import hmac
import http.client
import json
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from service.bootstrap import server as bootstrap
from service.cli.logs import log_to_stderr
from service.domain.delivery import Delivery
from service.settings import Settings
from service.web.connections import Config, Server
from tests.web import served as tested

SECRET = b"a benchmark's secret"


@dataclass(frozen=True)
class Served:
    """A service that answers."""

    process: subprocess.Popen[bytes]
    host: str
    port: int
    ready_seconds: float


@contextmanager
def served(home: Path, *command: str, **settings: str) -> Iterator[Served]:
    """The tests' service, with a benchmark's secret, and how long it took until it listened."""
    began = time.monotonic()
    with tested.served(home, *command, **{"REFIT_WEBHOOK_SECRET": SECRET.decode(), **settings}) as one:
        yield Served(one.process, one.host, one.port, time.monotonic() - began)


def push_body(repository: str, ref: str, before: str, after: str, commits: int = 3) -> bytes:
    """A push as GitHub sends it, about 8 kB with three commits."""
    person = {"name": "Ada", "email": "ada@example.org", "username": "ada-l"}
    hosted = f"https://github.example/{repository}"
    addresses = {f"{name}_url": f"{hosted}/{name}{{/{name}}}" for name in _ADDRESSES}
    made = [
        {
            "id": f"{number:040x}",
            "tree_id": f"{number + 1:040x}",
            "distinct": True,
            "message": f"Commit {number}\n\n" + "What it does and why it does it. " * 8,
            "timestamp": "2026-11-24T12:00:00+01:00",
            "url": f"{hosted}/commit/{number:040x}",
            "author": person,
            "committer": person,
            "added": [f"pipelines/p{number:04}/new_{one}.py" for one in range(6)],
            "removed": [],
            "modified": [f"pipelines/p{number:04}/file_{one}.py" for one in range(12)],
        }
        for number in range(1, commits + 1)
    ]
    payload = {
        "ref": ref,
        "before": before,
        "after": after,
        "created": False,
        "deleted": False,
        "forced": False,
        "base_ref": None,
        "compare": f"{hosted}/compare/{before[:12]}...{after[:12]}",
        "commits": made,
        "head_commit": {**made[-1], "id": after},
        "repository": {"id": 1, "full_name": repository, "default_branch": "main", "private": True, **addresses},
        "pusher": person,
        "sender": {"login": "ada-l", "id": 2, "type": "User", **addresses},
    }
    return json.dumps(payload).encode()


_ADDRESSES = (
    "archive", "assignees", "blobs", "branches", "collaborators", "comments", "commits", "compare", "contents", "events",
    "forks", "git_commits", "git_refs", "git_tags", "hooks", "issues", "keys", "labels", "languages", "merges",
    "milestones", "notifications", "pulls", "releases", "stargazers", "statuses", "subscribers", "tags", "teams", "trees",
)  # fmt: skip


def signed(body: bytes) -> list[bytes]:
    """The request around the delivery's GUID: what is before it, and what is after it."""
    before = f"POST /webhooks/github HTTP/1.1\r\nHost: refit\r\nUser-Agent: GitHub-Hookshot/1\r\nContent-Length: {len(body)}\r\n"
    before += "Content-Type: application/json\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: "
    after = f"\r\nX-Hub-Signature-256: sha256={hmac.new(SECRET, body, 'sha256').hexdigest()}\r\n\r\n"
    return [before.encode(), after.encode() + body]


def request(parts: list[bytes]) -> bytes:
    return parts[0] + str(uuid.uuid4()).encode() + parts[1]


def push(service: Served, repository: str, before: str, after: str) -> float:
    """Send the webhook of a push to main; when it was accepted, as ``time.time`` tells it."""
    body = push_body(repository, "refs/heads/main", before, after)
    with closing(http.client.HTTPConnection(service.host, service.port, timeout=30)) as wire:
        wire.connect()
        wire.sock.sendall(request(signed(body)))
        answer = http.client.HTTPResponse(wire.sock, method="POST")
        answer.begin()
        accepted = time.time()
        answer.read()
    if answer.status != 202:
        raise RuntimeError(f"the push was answered {answer.status}")
    return accepted


class _Forgetful:
    """An inbox that stores nothing and says at once that it did."""

    def accept(self, _delivery: Delivery) -> Future[bool]:
        answer: Future[bool] = Future()
        answer.set_result(True)
        return answer

    def close(self) -> None: ...


class _Announcing(Server):
    """Says where it listens, as ``refit serve`` does."""

    home = Path()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        address = self.servers[0].sockets[0].getsockname()
        (self.home / "serve.tmp").write_text(json.dumps({"url": f"http://{address[0]}:{address[1]}"}))
        (self.home / "serve.tmp").rename(self.home / "serve.json")


def _serve_without_storing() -> None:
    """As ``refit serve --no-worker`` is put together, but for the inbox."""
    settings = Settings()
    log_to_stderr(quiet=False)
    with bootstrap.runtime(settings) as made:
        app = bootstrap.web(made)
        app.state.services.inbox.close()
        app.state.services = replace(app.state.services, inbox=_Forgetful())
        server = _Announcing(Config(app, bootstrap.bounds(settings), host=settings.host, port=settings.port))
        server.home = settings.home
        server.run()


if __name__ == "__main__":
    _serve_without_storing()
