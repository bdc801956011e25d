"""Each hostile request of the table, over the wire, to `refit serve` as it is shipped: its answer, and no harm done."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.settings import Settings
from tests.web.hostile import MB, ROWS, SECRET, Row, World, payload, request
from tests.web.served import CLOSED, Served, reply, served, until
from tests.web.site import MANIFEST, commit, git


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """Stands for a metadata service: nobody may call it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as made:
        made.setblocking(False)
        yield made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, listener: socket.socket) -> World:
    folder = tmp_path_factory.mktemp("world")
    heads = {name: _repository(folder / name, format) for name, format in
             (("real", "sha1"), ("decoy", "sha1"), ("sha256", "sha256"))}  # fmt: skip
    return World(
        head=heads["real"],
        decoy=f"file://{folder / 'decoy'}",
        decoy_head=heads["decoy"],
        sha256_head=heads["sha256"],
        listener=f"http://127.0.0.1:{listener.getsockname()[1]}/latest/meta-data",
        marker=str(folder / "marker"),
    )


def _repository(folder: Path, format: str) -> str:
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main", f"--object-format={format}")
    manifest = MANIFEST.replace("push: [main]", "push: [main, large]")
    commit(folder, {"refit.yaml": manifest, "train.py": f"# {folder.name}\n", "evaluate.py": "print(2)\n"})
    for name in ("side", "large"):
        git(folder, "branch", name)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Served]:
    """As shipped, but for its patience: waiting 20 s for each slow request would prove nothing more."""
    folder = Path(world.decoy.removeprefix("file://")).parent
    repositories = {"acme/diamonds": f"file://{folder / 'real'}", "acme/sha256": f"file://{folder / 'sha256'}"}
    with served(
        tmp_path_factory.mktemp("home"),
        REFIT_REPOSITORIES=json.dumps(repositories),
        REFIT_GIT_PROTOCOLS="file",
        REFIT_WEBHOOK_SECRET=SECRET.decode(),
        REFIT_RECEIVE_SECONDS="2",
    ) as made:
        # Whatever a push makes it load is loaded now, and a push that leads nowhere finds main planned at its head.
        assert made.send([request(payload(world, ref="refs/heads/main"))]).status == 202
        until(lambda: made.rows("select 1 from executions where ended_at is not null"), "the first execution ends")
        yield made
        until(lambda: not made.rows("select 1 from executions where ended_at is null"), "every execution ends")


def test_the_patience_that_is_shipped_is_short() -> None:
    assert Settings.model_fields["receive_seconds"].default <= 30


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_hostile(row: Row, service: Served, world: World, listener: socket.socket) -> None:
    for first in row.before:
        assert service.send([first(world)]).status == 202
    _settled(service)
    deliveries, executions = service.count("deliveries"), service.count("executions")
    service.forget_peak()
    held = service.memory()
    with _others_are_served(service):
        got = service.send(row.parts(world), row.pause)
    assert got.status in row.answers, (got.status, got.body[:300])
    if got.status >= 400:
        assert got.headers["content-type"] == "application/problem+json"
        assert got.json()["status"] == got.status
    assert (service.memory("VmHWM") - held) / MB < row.megabytes
    _settled(service)
    assert service.count("deliveries") - deliveries == row.stored
    assert service.count("executions") - executions == int(row.runs)
    assert service.send([request(payload(world), X_GitHub_Event="ping")]).status == 202, "a good one is taken"
    assert service.process.poll() is None
    assert not Path(world.marker).exists()
    with pytest.raises(BlockingIOError):
        listener.accept()


def _settled(service: Served) -> None:
    """Everything stored was decided, or tried at least."""
    waiting = "select * from deliveries where outcome = '' and last_error = '' and due_at is not null"
    until(lambda: service.rows(waiting) == [], "every delivery is decided", seconds=180.0)


class _others_are_served:  # noqa: N801 - reads as a statement
    """Meanwhile, another client asks again and again, and is answered each time."""

    def __init__(self, service: Served) -> None:
        self._service = service
        self._over = threading.Event()
        self._answers: set[int] = set()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while True:
            self._answers.add(self._service.get("/healthz").status)
            if self._over.wait(0.05):
                return

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        assert self._answers == {200}


def test_an_answer_before_the_end_of_the_body_ends_what_still_comes(service: Served) -> None:
    """30 GB that were refused are not read to their end."""
    with closing(service.connect(30)) as wire:
        wire.sendall(request(b"", Content_Length=str(30 * 1024 * MB), X_Hub_Signature_256=None))
        assert reply(wire).status == 413
        with pytest.raises(ConnectionError):
            _send_for_ever(wire)


def _send_for_ever(wire: socket.socket) -> None:
    while True:
        wire.sendall(b"x" * MB)


def test_a_connection_that_says_nothing_is_closed(service: Served) -> None:
    with closing(service.connect(30)) as wire:
        assert reply(wire).status == 408
        assert wire.recv(1) == b""


def test_too_many_connections_are_told_to_come_back(tmp_path: Path) -> None:
    with served(tmp_path, REFIT_CONNECTIONS="3") as made:
        wires = [made.connect() for _ in range(3)]
        until(lambda: made.get("/healthz").status == 503, "the service is full")
        refused = made.get("/healthz")
        assert (refused.headers["retry-after"], refused.headers["content-type"]) == ("5", "application/problem+json")
        for wire in wires:
            wire.close()
        until(lambda: made.get("/healthz").status == 200, "there is room again")


def test_a_chunk_that_is_none_is_refused_in_the_middle_of_a_body(service: Served) -> None:
    start = request(b"", Content_Length=None, Transfer_Encoding="chunked", X_Hub_Signature_256="sha256=" + "0" * 64)
    got = service.send([start, b"5\r\nhello\r\n", b"zz\r\n"])
    assert got.status == 400
    assert got.headers["content-type"] == "application/problem+json"
    assert service.send([start, b"5\r\nhello\r\n"], pause=0.5).status in (408, CLOSED.status)
