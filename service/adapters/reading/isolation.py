"""Owns the life of the parsing process: started late, fed one blob at a time, killed at its limits; refuses to
parse anything in this process."""

from __future__ import annotations

import base64
import json
import os
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
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

WALL_SECONDS = 60.0
"""Far above the process's own limit of CPU seconds: that one gives the same answer on a busy machine as on an idle one."""
BLOB_LIMIT = 1024 * 1024


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

    def facts(self, blobs: Sequence[tuple[Request, bytes | None]]) -> list[tuple[Request, Fact]]:
        return [(request, self._fact(request, content)) for request, content in blobs]

    def manifest(self, content: bytes, backends: Collection[str]) -> Manifest:
        try:
            if len(content) > BLOB_LIMIT:
                raise _Exceeded(f"is larger than {BLOB_LIMIT} bytes")
            found = self._ask("document", content)
        except _Exceeded as error:
            raise InvalidManifest([Mistake("", str(error))]) from error
        if "error" in found:
            raise InvalidManifest([Mistake("", found["error"])])
        return read_manifest(found["value"], found["odd"], backends)

    def globs(self, patterns: Sequence[str]) -> Callable[[str], bool]:
        return compile_globs(patterns)

    def _fact(self, request: Request, content: bytes | None) -> Fact:
        kind, oid = request
        if content is None or len(content) > BLOB_LIMIT:
            return _unread(kind, oid, f"cannot be read, or is larger than {BLOB_LIMIT} bytes")
        try:
            return from_json(self._ask(kind.value, content))
        except _Exceeded as error:
            return _unread(kind, oid, str(error))

    def _ask(self, kind: str, content: bytes) -> dict[str, Any]:
        body = json.dumps({"kind": kind, "content": base64.b64encode(content).decode()}).encode()
        with self._lock:
            process, warm = self._started()
            try:
                return _exchange(process, body, self._seconds)
            except _Exceeded:
                self._end()
                if not warm:
                    raise
            try:  # once more alone: what earlier blobs left behind must not decide about this one
                return _exchange(self._started()[0], body, self._seconds)
            except _Exceeded:
                self._end()
                raise

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


def _exchange(process: subprocess.Popen[bytes], body: bytes, seconds: float) -> dict[str, Any]:
    """One question, one answer, within so many seconds."""
    deadline = time.monotonic() + seconds
    try:
        _write(process, struct.pack(">I", len(body)) + body, deadline)
        size = struct.unpack(">I", _read(process, 4, deadline))[0]
        return dict(json.loads(_read(process, size, deadline)))
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


def _unread(kind: Kind, digest: str, why: str) -> Fact:
    """Its bytes stand for it, and what it may import is anybody's guess."""
    value = f"bytes {digest}"
    if kind in (Kind.PYTHON, Kind.NOTEBOOK):
        return PythonFacts(value, value, doubts=(Doubt(why, 0, "python"),))
    if kind in (Kind.YAML, Kind.JSON, Kind.TOML):
        return ValuesFacts(doubts=(Doubt(f"{why}: all of its bytes count"),))
    return TextFacts(value, (), (Doubt(why),))
