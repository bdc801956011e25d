"""A log followed while its step runs, over real HTTP: moves, retries, silence, bounds, and a server that stops."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from service.adapters.database.unit_of_work import Database
from service.ports.store import Work
from service.web.api.following import Recent, Streams
from service.web.connections import Config, Server
from service.web.services import Bounds
from tests.running import ID, Running
from tests.web.served import until
from tests.web.site import SECOND, Site

LOGS = f"/api/v1/executions/{ID}/logs"


class Listening:
    """The app on a port, and the streams that are open."""

    def __init__(self, site: Site, streams: Streams) -> None:
        self.site = site
        site.http.app.state.streams = streams  # type: ignore[attr-defined]
        self._server = Server(Config(site.http.app, Bounds(), host="127.0.0.1", port=0))  # type: ignore[arg-type]
        self._server.config.lifespan = "off"  # the site has its own
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        until(lambda: self._server.started, "it listens")
        self.url = "http://{}:{}".format(*self._server.servers[0].sockets[0].getsockname())

    @contextmanager
    def stream(self, **headers: str) -> Iterator[Iterator[tuple[str, str, Any]]]:
        query = {"step": "train", "follow": "true"}
        with httpx.stream("GET", self.url + LOGS, params=query, headers=headers, timeout=60) as answer:
            assert answer.status_code == 200, answer.read()
            yield events(answer.iter_lines())

    def end(self) -> None:
        self._server.should_exit = True
        self._thread.join()


def events(lines: Iterator[str]) -> Iterator[tuple[str, str, Any]]:
    """(name, id, data) of each event; a comment has the name ``:``."""
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if not line and found:
            yield found.get("event", ""), found.get("id", ""), json.loads(found["data"])
            found = {}
        elif not name:
            yield ":", "", value.strip()
        elif line:
            found[name] = value.strip()


@contextmanager
def listening(site: Site, streams: Streams) -> Iterator[Listening]:
    made = Listening(site, streams)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def running(site: Site) -> Running:
    return Running(site, SECOND)


def test_lines_moves_a_retry_and_the_end(site: Site, running: Running) -> None:
    running.write("one")
    with listening(site, Streams(4)) as server, server.stream() as told:
        assert next(told)[:2] == ("line", "1.1")
        running.write("two")
        assert next(told)[:2] == ("line", "1.2")
        running.attempt(2)
        running.write("once more")
        name, id, line = next(told)
        assert (name, id, line["text"]) == ("line", "2.1", "once more")
        running.end("train")
        assert next(told) == ("state", "", {"status": "running", "steps": {
            "preprocess": "reused", "train": "succeeded", "evaluate": "waiting"}})  # fmt: skip
        assert next(told) == ("end", "", {"state": "succeeded", "attempt": 2})
        assert next(told, None) is None


def test_silence_is_broken_and_a_long_stream_is_to_be_asked_for_again(site: Site, running: Running) -> None:
    running.write("one")
    with listening(site, Streams(4, silence=0.1, longest=3.0)) as server:
        with server.stream() as told:
            seen = list(told)
        assert seen[0][:2] == ("line", "1.1")
        assert {name for name, _, _ in seen[1:]} == {":"}, "only signs of life, and no end"
        running.write("two")
        running.end("train")
        with server.stream(**{"Last-Event-ID": "1.1"}) as told:
            assert [one[:2] for one in told if one[0] in ("line", "end")] == [("line", "1.2"), ("end", "")]


def test_so_many_are_followed_at_once_and_no_more(site: Site, running: Running) -> None:
    running.write("one")
    with listening(site, Streams(3)) as server, ExitStack() as stack:

        def ask(_: int) -> httpx.Response:
            """The answer, with its head read and its body still to come."""
            client = stack.enter_context(httpx.Client(timeout=60))
            query = {"step": "train", "follow": "true"}
            return client.send(client.build_request("GET", server.url + LOGS, params=query), stream=True)

        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(ask, range(12)))
        assert sorted(one.status_code for one in answers) == [200] * 3 + [503] * 9
        refused = next(one for one in answers if one.status_code == 503)
        assert refused.headers["Retry-After"] == "5"
        assert json.loads(refused.read())["status"] == 503
        next(one for one in answers if one.status_code == 200).close()
        until(lambda: ask(0).status_code == 200, "there is room again")


def test_head_of_a_stream_ends_and_takes_no_room(site: Site, running: Running) -> None:
    with listening(site, Streams(1)) as server, httpx.Client(timeout=30) as client:  # whose connection stays open
        for _ in range(3):
            answer = client.head(server.url + LOGS, params={"step": "train", "follow": "true"})
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            until(lambda: site.http.app.state.streams._open == 0, "it is over")  # type: ignore[attr-defined]
            assert answer.status_code == 200


def test_a_server_that_stops_ends_its_streams_first(site: Site, running: Running) -> None:
    running.write("one")
    server = Listening(site, Streams(4))
    with server.stream() as told:
        assert next(told)[:2] == ("line", "1.1")
        server.end()
        assert next(told, None) is None, "ended in order: a stream that is broken off raises"


class Stuck:
    """The real store, which can be made to keep everybody waiting."""

    def __init__(self, store: Database) -> None:
        self._store = store
        self.goes_on = threading.Event()
        self.goes_on.set()

    def begin(self) -> AbstractContextManager[Work]:
        assert self.goes_on.wait(60)
        return self._store.begin()  # type: ignore[return-value]

    def read(self) -> AbstractContextManager[Work]:
        assert self.goes_on.wait(60)
        return self._store.read()  # type: ignore[return-value]


def test_who_follows_holds_no_thread_that_others_need(site: Site, running: Running) -> None:
    """More streams than the API has threads, and a database that answers none of them."""
    running.write("one")
    store = Stuck(site.store)
    object.__setattr__(site.http.app.state.services, "store", store)  # type: ignore[attr-defined]
    with listening(site, Streams(60)) as server, ExitStack() as stack:
        streams = [stack.enter_context(server.stream()) for _ in range(50)]
        assert {next(told)[:2] for told in streams} == {("line", "1.1")}
        store.goes_on.clear()
        try:
            for _ in range(20):
                assert httpx.get(f"{server.url}/api/v1/openapi.json", timeout=20).status_code == 200
                assert httpx.get(f"{server.url}/healthz", timeout=20).status_code == 200
        finally:
            store.goes_on.set()
        running.end("train")
        assert [list(told)[-1][0] for told in streams] == ["end"] * 50


def test_what_many_ask_for_is_read_once() -> None:
    read: list[str] = []
    recent = Recent[int](seconds=60.0)

    def look(key: str) -> int:
        read.append(key)
        return len(read)

    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda n: recent.get("ab"[n % 2], lambda: look("ab"[n % 2])), range(40)))
    assert sorted(read) == ["a", "b"]
    assert sorted(set(values)) == [1, 2]
    old = Recent[int](seconds=-1.0)
    assert [old.get("a", lambda: look("c")) for _ in range(2)] == [3, 4], "what is older is read again"
