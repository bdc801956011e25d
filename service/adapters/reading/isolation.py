"""Owns the life of the parsing process: started late, fed a few blobs at a time, killed at its limits; refuses to
parse anything in this process."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import service
from service.adapters.reading.globs import compile_globs
from service.adapters.reading.manifest import read_manifest
from service.domain.errors import InvalidManifest, Mistake
from service.domain.fact_codec import from_json
from service.domain.facts import Doubt, Fact, Kind, PythonFacts, Request, TextFacts, ValuesFacts
from service.domain.pipeline import Manifest
from service.ports.reader import Budget, Unreadable

WALL_SECONDS = 60.0
"""Far above the process's own limit of CPU seconds: that one gives the same answer on a busy machine as on an idle one."""
BLOB_LIMIT = 1024 * 1024
LONGEST_ANSWER = 16 * 1024 * 1024
"""Bytes: what a blob of 1 MiB can say in earnest is far less."""
TOGETHER = 36 * 1024
"""Bytes that are sent in one trip: a hundredth of a second's work in earnest."""
_KILLS = 3


class _Exceeded(Exception):
    """The process died or took too long over one request."""


class IsolatedReader:
    """Implements the reader port. Thread-safe; ``close`` ends the process, which also ends with this one."""

    def __init__(self, wall_seconds: float = WALL_SECONDS) -> None:
        self._seconds = wall_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> IsolatedReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self._end()

    def facts(
        self, blobs: Sequence[tuple[Request, bytes | None]], budget: Budget | None = None
    ) -> list[tuple[Request, Fact]]:
        spent = budget or Budget()
        return self._together(blobs, spent) or [
            (request, self._fact(request, content, spent)) for request, content in blobs
        ]

    def manifest(self, content: bytes, backends: Collection[str]) -> Manifest:
        try:
            found = self._document(content)
        except _Exceeded as error:
            raise InvalidManifest([Mistake("", str(error))]) from error
        if "error" in found:
            raise InvalidManifest([Mistake("", found["error"])])
        return read_manifest(found["value"], found["odd"], backends)

    def document(self, content: bytes) -> object:
        try:
            found = self._document(content)
        except _Exceeded as error:
            raise Unreadable(str(error)) from error
        if "error" in found or found["odd"]:
            raise Unreadable(str(found.get("error") or found["odd"][0]))
        return found["value"]

    def globs(self, patterns: Sequence[str]) -> Callable[[str], bool]:
        return compile_globs(patterns)

    def _document(self, content: bytes) -> dict[str, Any]:
        if len(content) > BLOB_LIMIT:
            raise _Exceeded(f"is larger than {BLOB_LIMIT} bytes")
        return self._ask({"kind": "document", "content": _text(content)})[0]

    def _together(
        self, blobs: Sequence[tuple[Request, bytes | None]], budget: Budget
    ) -> list[tuple[Request, Fact]] | None:
        """Small ones in one trip, which costs as much as reading one; ``None``: each alone, so that one that exceeds a limit
        is found, and the first that the budget no longer covers."""
        contents = [content for _, content in blobs if content is not None]
        covered = budget.characters >= LONGEST_ANSWER and budget.seconds >= self._seconds
        if not 1 < len(contents) == len(blobs) or not covered or sum(map(len, contents)) > TOGETHER:
            return None
        given = [
            {"kind": kind.value, "content": _text(content)}
            for ((kind, _), _), content in zip(blobs, contents, strict=True)
        ]
        began = time.monotonic()
        budget.seconds += Budget.EACH_SECONDS * len(blobs)
        try:
            facts, size = self._ask({"blobs": given})
        except _Exceeded:
            return None
        finally:
            budget.seconds -= time.monotonic() - began
        budget.characters -= size
        return [(request, from_json(fact)) for (request, _), fact in zip(blobs, facts["facts"], strict=True)]

    def _fact(self, request: Request, content: bytes | None, budget: Budget) -> Fact:
        kind, oid = request
        if content is None or len(content) > BLOB_LIMIT:
            return _unread(kind, oid, f"cannot be read, or is larger than {BLOB_LIMIT} bytes")
        budget.seconds += Budget.EACH_SECONDS
        if budget.is_spent:
            return _unread(kind, oid, "was not read, because the commit has too much that is slow to read")
        began = time.monotonic()
        try:
            fact, size = self._ask({"kind": kind.value, "content": _text(content)})
            budget.characters -= size
            return from_json(fact)
        except _Exceeded as error:
            return _unread(kind, oid, str(error))
        finally:
            budget.seconds -= time.monotonic() - began

    def _ask(self, question: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """The answer and its size. Asked once more alone if the process had answered before, since what earlier blobs left
        behind must not decide about this one, and a few times more if somebody killed it."""
        body = json.dumps(question).encode()
        with self._lock:
            for turn in itertools.count(1):
                process, warm = self._started()
                try:
                    return _exchange(process, body, self._seconds)
                except _Exceeded:
                    killed = self._was_killed() and turn <= _KILLS
                    self._end()
                    if not warm and not killed:
                        raise
        raise AssertionError("unreachable")

    def _was_killed(self) -> bool:
        """Whether the process was ended from outside: its limits end it by other signals, or by an exception."""
        try:
            return self._process is not None and self._process.wait(0.5) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False

    def _started(self) -> tuple[subprocess.Popen[bytes], bool]:
        """The process, and whether it has answered before."""
        warm = True
        if self._process is None or self._process.poll() is not None:
            self._end()
            warm = False
            root = Path(service.__file__).resolve().parents[1]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service.adapters.reading.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=root,
                env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
            )
            assert self._process.stdin is not None, "started with a pipe"
            os.set_blocking(self._process.stdin.fileno(), False)
        return self._process, warm

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process = None


def _exchange(process: subprocess.Popen[bytes], body: bytes, seconds: float) -> tuple[dict[str, Any], int]:
    """One question, one answer and its size, within so many seconds."""
    deadline = time.monotonic() + seconds
    try:
        _write(process, struct.pack(">I", len(body)) + body, deadline)
        size = struct.unpack(">I", _read(process, 4, deadline))[0]
        if size > LONGEST_ANSWER:
            raise _Exceeded
        return dict(json.loads(_read(process, size, deadline))), size
    except (_Exceeded, OSError):
        raise _Exceeded("cannot be parsed within the limits of time and memory") from None


def _write(process: subprocess.Popen[bytes], data: bytes, deadline: float) -> None:
    assert process.stdin is not None, "started with a pipe"
    descriptor = process.stdin.fileno()
    rest = memoryview(data)
    while rest:
        _, ready, _ = select.select([], [descriptor], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise _Exceeded
        rest = rest[os.write(descriptor, rest) :]


def _read(process: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
    assert process.stdout is not None, "started with a pipe"
    descriptor = process.stdout.fileno()
    parts: list[bytes] = []
    while size:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(descriptor, min(size, 1 << 16)) if ready else b""
        if not part:
            raise _Exceeded
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _unread(kind: Kind, digest: str, why: str) -> Fact:
    """Its bytes stand for it, and what it may import is anybody's guess."""
    value = f"bytes {digest}"
    if kind in (Kind.PYTHON, Kind.NOTEBOOK):
        return PythonFacts(value, value, doubts=(Doubt(why, 0, "python"),))
    if kind in (Kind.YAML, Kind.JSON, Kind.TOML):
        return ValuesFacts(doubts=(Doubt(f"{why}: all of its bytes count"),))
    return TextFacts(value, (), (Doubt(why),))
