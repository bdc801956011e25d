"""What one client, and all of them together, may take up: over the wire, at `refit serve`."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.web.limiting import client_of
from tests.web.hostile import MB, SECRET, request
from tests.web.served import Reply, Served, head, reply, served, until

PING = b'{"zen":"Keep it logically awesome."}'
CALL = "/api/v1/executions"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(
        tmp_path_factory.mktemp("home"),
        REFIT_WEBHOOK_SECRET=SECRET.decode(),
        REFIT_CALLS_PER_MINUTE="5",
        REFIT_BAD_SIGNATURES_PER_MINUTE="3",
        REFIT_TRUSTED_PROXIES="127.0.0.0/8",
    ) as made:
        yield made


def told_to_wait(answer: Reply) -> bool:
    if answer.status != 429:
        return False
    assert answer.headers["content-type"] == "application/problem+json"
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.json()["status"] == 429
    return True


def test_whoever_fails_to_sign_again_and_again_is_told_to_stop(service: Served) -> None:
    wrong = request(PING, ("X-Forwarded-For", "192.0.2.1"), X_GitHub_Event="ping", X_Hub_Signature_256="sha256=0")
    answers = [service.send([wrong]) for _ in range(8)]  # a window may end in between, so more than twice as many
    assert {one.status for one in answers} == {401, 429}
    assert answers[0].status == 401
    assert told_to_wait(next(one for one in answers if one.status != 401))
    good = request(PING, ("X-Forwarded-For", "192.0.2.1"), X_GitHub_Event="ping")
    assert service.send([good]).status == 202, "GitHub sends everybody's webhooks from the same addresses"


def test_whoever_calls_too_often_is_told_to_wait_and_nobody_else_is(service: Served) -> None:
    answers = [service.get(CALL, **{"X-Forwarded-For": "192.0.2.2"}) for _ in range(12)]
    assert {one.status for one in answers} == {200, 429}
    assert [one.status for one in answers[:5]] == [200] * 5
    assert any(told_to_wait(one) for one in answers)
    assert service.get(CALL, **{"X-Forwarded-For": "192.0.2.3"}).status == 200
    for path in ("/healthz", "/static/style.css"):
        assert {service.get(path, **{"X-Forwarded-For": "192.0.2.2"}).status for _ in range(12)} == {200}, path
    assert any(told_to_wait(service.get("/", **{"X-Forwarded-For": "192.0.2.2"})) for _ in range(12))


def test_what_a_client_says_of_its_own_address_counts_for_nothing(service: Served) -> None:
    """The proxy appends the address that it saw: the last one that is not a proxy counts, not the first."""
    claims = [f"198.51.100.{number}, 192.0.2.4" for number in range(12)]
    assert 429 in {service.get(CALL, **{"X-Forwarded-For": claim}).status for claim in claims}


def test_an_untrusted_proxy_is_the_client_itself(tmp_path: Path) -> None:
    with served(tmp_path, REFIT_CALLS_PER_MINUTE="5") as made:
        answers = {made.get(CALL, **{"X-Forwarded-For": f"192.0.2.{number}"}).status for number in range(12)}
        assert answers == {200, 429}


def test_without_limits_nobody_waits(tmp_path: Path) -> None:
    with served(tmp_path, REFIT_CALLS_PER_MINUTE="0", REFIT_BAD_SIGNATURES_PER_MINUTE="0") as made:
        assert {made.get(CALL).status for _ in range(20)} == {200}
        assert {made.send([request(PING, X_Hub_Signature_256="x")]).status for _ in range(20)} == {401}


@pytest.mark.parametrize(
    ("address", "client"),
    [("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
     ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"), ("testclient", "testclient")],
)  # fmt: skip
def test_a_client_is_an_address_or_a_network_of_its_own(address: str, client: str) -> None:
    assert client_of({"client": (address, 1)}) == client
    assert client_of({"client": None}) == "unknown"


# all of them together -----------------------------------------------------------------------------------------------


def test_bodies_that_are_held_at_once_have_a_bound(service: Served) -> None:
    """Anybody can send 25 MB with a signature that is wrong: who it was is known at the end only."""
    before = service.memory()
    unfinished = request(b"", Content_Length=str(25 * MB), X_Hub_Signature_256="sha256=" + "0" * 64)
    wires = [service.connect() for _ in range(7)]
    try:
        for wire in wires:
            wire.sendall(unfinished)
            wire.sendall(b" " * 24 * MB)
        until(lambda: b"503" in {_status(wire) for wire in wires}, "one is sent away")
        refused = next(reply(wire) for wire in wires if _status(wire) == b"503")
        assert (refused.headers["retry-after"], refused.json()["status"]) == ("5", 503)
        assert service.memory() - before < 200 * MB
        assert service.get("/healthz").status == 200
    finally:
        for wire in wires:
            wire.close()
    good = request(PING + b" " * 20 * MB, X_GitHub_Event="ping")
    until(lambda: service.send([good]).status == 202, "there is room again")


def _status(wire: socket.socket) -> bytes:
    """The status of an answer that is there already, left on the wire."""
    try:
        return wire.recv(12, socket.MSG_PEEK | socket.MSG_DONTWAIT)[9:]
    except BlockingIOError:
        return b""


def test_a_caller_that_leaves_is_no_bug(service: Served) -> None:
    wire = service.connect()
    wire.sendall(request(b"x" * 100, Content_Length="100000", X_Hub_Signature_256="sha256=" + "0" * 64))
    wire.close()
    until(lambda: "the caller left" in service.log(), "it is noticed")
    assert '"bug"' not in service.log()


# methods ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/static/style.css", "/api/v1/openapi.json"])
def test_head_is_get_without_the_body(looked_at_service: Served, path: str) -> None:
    whole = looked_at_service.get(path)
    with looked_at_service.connect() as wire:
        wire.sendall(head("HEAD", path))
        start = wire.recv(65536)
        assert start.startswith(b"HTTP/1.1 200 ")
        assert start.endswith(b"\r\n\r\n"), "no body"
        if path != "/metrics":
            assert f"content-length: {len(whole.body)}".encode() in start.lower()
        wire.sendall(head("GET", path))
        assert reply(wire).status == 200, "the connection is still in step"


@pytest.fixture(scope="module")
def looked_at_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("home"), REFIT_CALLS_PER_MINUTE="0") as made:
        yield made


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("DELETE", "/api/v1/executions", "GET, HEAD"), ("HEAD", "/webhooks/github", "POST"), ("POST", "/", "GET, HEAD")],
)
def test_what_is_not_allowed_says_what_is(looked_at_service: Served, method: str, path: str, allowed: str) -> None:
    with looked_at_service.connect() as wire:
        wire.sendall(head(method, path, {"Connection": "close"}))
        start = b"".join(iter(lambda: wire.recv(65536), b"")).decode()
    assert start.startswith("HTTP/1.1 405 ")
    assert f"allow: {allowed}\r\n" in start.lower().replace(allowed.lower(), allowed)


def test_head_of_what_is_not_there_is_not_found(looked_at_service: Served) -> None:
    with looked_at_service.connect() as wire:
        wire.sendall(head("HEAD", "/api/v1/executions/nope", {"Connection": "close"}))
        assert wire.recv(65536).startswith(b"HTTP/1.1 404 ")


def test_what_is_refused_before_the_app_is_a_problem_too(looked_at_service: Served) -> None:
    for text in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"):
        answer = looked_at_service.send([text])
        assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
        assert json.loads(answer.body)["status"] == 400
