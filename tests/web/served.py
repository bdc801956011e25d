"""Owns `refit serve` as a process of its own, and a raw wire to it; refuses an HTTP client's good manners."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Reply:
    """``status`` 0: the connection was closed without an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


CLOSED = Reply(0, {}, b"")


@dataclass
class Served:
    """A running service."""

    process: subprocess.Popen[bytes]
    home: Path
    host: str
    port: int
    environment: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def connect(self, timeout: float = 30.0) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout)

    def send(self, parts: Iterable[bytes], pause: float = 0.0) -> Reply:
        """These bytes on a connection of their own, as far as the service takes them, and what it answers."""
        with closing(self.connect()) as wire:
            for part in parts:
                try:
                    wire.sendall(part)
                    if pause and _is_readable(wire, pause):
                        break
                except ConnectionError:
                    break
            return reply(wire)

    def get(self, path: str, **headers: str) -> Reply:
        return self.send([head("GET", path, headers)])

    def rows(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """Asked of the database itself: what is there is on disk."""
        with closing(sqlite3.connect(f"file:{self.home / 'refit.db'}?mode=ro", uri=True, timeout=30.0)) as found:
            return found.execute(question, values).fetchall()

    def count(self, table: str) -> int:
        (found,) = self.rows(f"select count(*) from {table}")[0]
        return int(found)

    def memory(self, what: str = "VmRSS") -> int:
        """Bytes that the process holds, or (``VmHWM``) held at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith(what)]
        return int(line.split()[1]) * 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def refit(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command beside it, with the same settings."""
        command = [sys.executable, "-m", "service", *arguments]
        return subprocess.run(command, env=dict(self.environment), capture_output=True, text=True, timeout=120)

    def bearer(self, scope: str) -> dict[str, str]:
        """Headers with a fresh token, made as an operator makes one."""
        done = self.refit("token", "create", "a-test", "--scope", scope)
        assert done.returncode == 0, done.stderr
        return {"Authorization": f"Bearer {done.stdout.strip()}"}

    def end(self, number: int = signal.SIGTERM, seconds: float = 30.0) -> int:
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def log(self) -> str:
        return (self.home / "service.log").read_text(errors="replace")


@contextmanager
def served(home: Path, *command: str, **settings: str) -> Iterator[Served]:
    """``python <command>`` (default: ``refit serve``) with nothing set but these, on a free port."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "serve.json").unlink(missing_ok=True)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("REFIT_")}
    environment = {**plain, "PYTHONPATH": str(ROOT), "REFIT_HOME": str(home), "REFIT_PORT": "0", **settings}
    with (home / "service.log").open("ab") as log:
        words = [sys.executable, *(command or ("-m", "service", "serve"))]
        process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until(lambda: (home / "serve.json").exists() or process.poll() is not None, "the service listens")
        assert process.poll() is None, (home / "service.log").read_text(errors="replace")[-3000:]
        host, _, port = json.loads((home / "serve.json").read_text())["url"].removeprefix("http://").rpartition(":")
        yield Served(process, home, host, int(port), environment)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def head(method: str, path: str, headers: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> bytes:
    """A request's head; header values go out as they are, in latin-1."""
    given = list(headers.items() if isinstance(headers, Mapping) else headers)
    lines = [f"{method} {path} HTTP/1.1", "Host: refit", *(f"{name}: {value}" for name, value in given)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def reply(wire: socket.socket) -> Reply:
    """The next answer on this connection."""
    try:
        answer = http.client.HTTPResponse(wire)
        answer.begin()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    except (ConnectionError, http.client.BadStatusLine):
        return CLOSED


def until(true: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Look again and again; a deadline for what never comes."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.02)


def _is_readable(wire: socket.socket, seconds: float) -> bool:
    """Whether it answered, or closed, while we hesitate."""
    wire.settimeout(seconds)
    try:
        wire.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return False
    finally:
        wire.settimeout(30.0)
    return True
