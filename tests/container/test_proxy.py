"""The shipped nginx configuration before a real `refit serve`: what ends at the door, and what comes through whole."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.container.proxy import CONFIGURATION, proxied
from tests.container.repository import NAME, Repository
from tests.container.repository import SECRET as REPOSITORY_SECRET
from tests.web.hostile import MB, PATH, ROWS, SECRET, Row, World, payload, request
from tests.web.served import ROOT, Reply, Served, head, reply, served, until

WORLD = World("a" * 40, "file:///nonexistent", "b" * 40, "c" * 64, "http://127.0.0.1:9/", "/nonexistent/marker")
"""The service knows no repository here: whatever it takes starts nothing."""
AT_THE_DOOR = {
    "26 MB unsigned", "26 MB signed", "30 GB declared", "30 MB chunked", "200 KB of header", "100 MB of header",
    "Content-Length with Transfer-Encoding",
}  # fmt: skip
SLOW = {"slow head", "slow body"}
PATIENCE = 2.0
"""Seconds that the service itself waits for a request here: what it takes from nginx, it takes at once."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(
        tmp_path_factory.mktemp("home"), REFIT_WEBHOOK_SECRET=SECRET.decode(), REFIT_TRUSTED_PROXIES="127.0.0.0/8",
        REFIT_RECEIVE_SECONDS=str(PATIENCE),
    ) as made:  # fmt: skip
        yield made


@pytest.fixture(scope="module")
def proxy(service: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with proxied(tmp_path_factory.mktemp("nginx"), service) as made:
        yield made


def asked(service: Served) -> float:
    """How many webhooks the service has answered since it began, whatever it said."""
    lines = service.get("/metrics").body.decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2]) for line in lines if line.startswith('refit_request_seconds_count{method="POST"')
    )


def is_nginx(got: Reply) -> bool:
    """Whether nginx answered by itself: what the service answers has an id."""
    return "x-request-id" not in got.headers


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in SLOW], ids=lambda row: row.name)
def test_hostile(row: Row, service: Served, proxy: Served) -> None:
    for first in row.before:
        assert proxy.send([first(WORLD)]).status == 202
    stored, before = service.count("deliveries"), asked(service)
    got = proxy.send(row.parts(WORLD))
    assert got.status in row.answers, (got.status, got.body[:300])
    assert service.count("deliveries") - stored == row.stored
    at_the_door = row.name in AT_THE_DOOR
    assert (asked(service) - before, is_nginx(got)) == ((0, True) if at_the_door else (1, False))
    assert proxy.send([request(payload(WORLD), X_GitHub_Event="ping")]).status == 202, "a good one is taken"


def test_what_is_slow_never_holds_the_service(service: Served, proxy: Served) -> None:
    """All at once, since each takes as long as nginx waits."""
    whole = request(payload(WORLD))
    body = whole.index(b"\r\n\r\n") + 4
    before = asked(service)
    with ThreadPoolExecutor() as clients:
        head_by_bytes = clients.submit(proxy.send, (bytes([byte]) for byte in whole), 0.5)
        head_then_nothing = clients.submit(proxy.send, [whole[:100]])
        body_then_nothing = clients.submit(proxy.send, [whole[: body + 10]])
        # Longer than the service would wait itself.
        pieces = [whole[:body], *(whole[at : at + 16] for at in range(body, len(whole), 16))]
        assert len(pieces) * 0.2 > PATIENCE
        body_by_pieces = clients.submit(proxy.send, pieces, 0.2)
        assert body_by_pieces.result().status == 202
        for stopped in (head_by_bytes, head_then_nothing, body_then_nothing):
            got = stopped.result()
            assert got.status in (0, 408) and is_nginx(got)
    assert asked(service) == before + 1, "the one that came whole, at last"


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: +5"],
        ["Content-Length: 5, 5"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Content-Length: 5", "Transfer-Encoding:\x0bchunked"],
    ],
    ids=lambda lines: " + ".join(lines),
)
def test_nothing_is_smuggled_past_it(lines: list[str], service: Served, proxy: Served) -> None:
    """A length that two servers could read in two ways ends the connection, and what follows it is not another request."""
    before = asked(service)
    start = "\r\n".join([f"POST {PATH} HTTP/1.1", "Host: refit", *lines, "", ""]).encode("latin-1")
    with closing(proxy.connect()) as wire:
        wire.sendall(start + b"0\r\n\r\n" + head("POST", PATH) + b"\r\n")
        got = reply(wire)
        assert got.status in (400, 501) and is_nginx(got), (got.status, got.headers)
        assert wire.recv(1) == b""
    assert asked(service) == before


@pytest.mark.parametrize(
    "path",
    ["/metrics", "//metrics", "/./metrics", "/api/../metrics", "/%6detrics", "/metrics?x=1", "/metrics/", "/metrics%2f",
     "/metrics;x", "/METRICS", "/metrics%00", "/static/../metrics", "/static/..%2fmetrics", "http://other/metrics"],
)  # fmt: skip
def test_metrics_are_closed(path: str, service: Served, proxy: Served) -> None:
    assert b"refit_request_seconds" in service.get("/metrics").body
    got = proxy.get(path)
    assert got.status in (307, 308, 400, 404)
    assert b"refit_request_seconds" not in got.body


def test_everything_but_a_webhook_may_have_a_megabyte(service: Served, proxy: Served) -> None:
    for path, size, status in (("/api/v1/plans", MB + 1, 413), (PATH, MB + 1, 401)):
        got = proxy.send(
            [head("POST", path, {"Content-Length": str(size), "Content-Type": "application/json"}), b"x" * size]
        )
        assert (got.status, is_nginx(got)) == (status, status == 413), got.body[:300]


def test_a_client_cannot_take_up_every_connection(proxy: Served) -> None:
    """Bodies that come a byte now and then would hold nginx's connections for hours; each client has its share of them."""
    found = re.search(r"limit_conn clients (\d+);", CONFIGURATION.read_text())
    assert found is not None
    start = head("POST", PATH, {"Content-Length": "1000", "Content-Type": "application/json"})
    with ExitStack() as held:
        for _ in range(int(found[1])):
            held.enter_context(closing(proxy.connect())).sendall(start + b"x")
        deadline = time.monotonic() + 30
        while (got := proxy.get("/healthz")).status != 429:
            assert time.monotonic() < deadline, got
        assert is_nginx(got)
        with closing(socket.create_connection((proxy.host, proxy.port), 30, ("127.0.0.2", 0))) as other:
            other.sendall(head("GET", "/healthz"))
            assert reply(other).status == 200


def test_it_is_the_client_that_counts_and_not_what_the_client_says(tmp_path: Path) -> None:
    """Bad signatures are limited by address: the one that nginx saw."""
    with (
        served(tmp_path / "home", REFIT_TRUSTED_PROXIES="127.0.0.0/8", REFIT_BAD_SIGNATURES_PER_MINUTE="3",
               REFIT_WEBHOOK_SECRET=SECRET.decode()) as service,
        proxied(tmp_path, service) as proxy,
    ):  # fmt: skip
        claims = [request(b"{}", ("X-Forwarded-For", f"198.51.100.{n}"), X_Hub_Signature_256=None) for n in range(4)]
        assert [proxy.send([claim]).status for claim in claims] == [401, 401, 401, 429]
        with closing(socket.create_connection((proxy.host, proxy.port), 30, ("127.0.0.2", 0))) as other:
            other.sendall(claims[0])
            assert reply(other).status == 401


def test_a_connection_that_nginx_keeps_is_not_closed_by_the_service_first() -> None:
    """A webhook on a connection that the service is just closing would get 502, and GitHub does not send it again."""
    kept = re.search(r"keepalive_timeout (\d+)s;", CONFIGURATION.read_text())
    closed = re.search(r"timeout_keep_alive=(\d+)", (ROOT / "service" / "web" / "connections.py").read_text())
    assert kept and closed and int(kept[1]) < int(closed[1])


def test_a_log_that_is_followed_comes_line_by_line(tmp_path: Path) -> None:
    """The step waits until its first line has come through; a proxy that collects an answer would wait with it."""
    gate, bare = tmp_path / "gate", tmp_path / "git" / f"{NAME}.git"
    with (
        served(tmp_path / "home", REFIT_WEBHOOK_SECRET=REPOSITORY_SECRET, REFIT_GIT_PROTOCOLS="file",
               REFIT_REPOSITORIES=json.dumps({NAME: f"file://{bare}"})) as service,
        proxied(tmp_path, service) as proxy,
    ):  # fmt: skip
        sha = Repository(tmp_path, proxy.url + PATH).push(None, f"round: 1\ngate: {gate}\n")
        until(lambda: proxy.get(f"/api/v1/executions?commit={sha}").json()["items"], "the execution is planned")
        (found,) = proxy.get(f"/api/v1/executions?commit={sha}").json()["items"]
        with closing(proxy.connect(60)) as wire:
            path = f"/api/v1/executions/{found['id']}/logs?step=wait&follow=true"
            wire.sendall(head("GET", path, {"Accept": "text/event-stream"}))
            assert b"event: end" not in received(wire, b'"waiting"')
            gate.touch()
            assert b'"passed"' in received(wire, b"event: end")


def received(wire: socket.socket, last: bytes) -> bytes:
    """What comes until this is among it."""
    found = b""
    while last not in found:
        piece = wire.recv(65536)
        assert piece, f"{last!r} never came: {found[-2000:]!r}"
        found += piece
    return found
