"""Owns one process of a step: both streams to the job's one log, marked so that they can be told apart; its tree's end;
refuses to judge its exit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from service.adapters.backends.steps.container.receipts import LONGEST_LINE, REFIT, STDERR, STDOUT

_MARKS = tuple(mark.encode() for mark in (REFIT, STDERR, STDOUT))
_TAIL_LINES = 40
_GRACE_SECONDS = 5.0


class TimedOut(Exception):
    """The step took longer than it may."""


class Log:
    """Lines to the job's log, each after what ``stamp`` says; the last ones of each stream are kept for the error message."""

    def __init__(self, stamp: Callable[[], str] = str) -> None:
        self._stamp = stamp
        self._lock = threading.Lock()
        self.tails: dict[str, list[str]] = {}

    def say(self, text: str) -> None:
        """A line of Refit's own."""
        self._write((REFIT + text).encode("utf-8", "replace"))

    def copy(self, stream: str, source: BinaryIO) -> None:
        """Every line until the stream ends; what is too long is broken, what is not UTF-8 replaced."""
        mark = {"stderr": STDERR, "refit": REFIT}.get(stream, "").encode()
        while part := source.readline(LONGEST_LINE - len(STDOUT)):
            line = part.rstrip(b"\r\n").decode("utf-8", "replace")
            tail = self.tails.setdefault(stream, [])
            tail.append(line)
            del tail[:-_TAIL_LINES]
            text = line.encode()
            own = STDOUT.encode() if not mark and text.startswith(_MARKS) else mark
            self._write(own + text)

    def tail(self) -> list[str]:
        """The lines that say best why it ended."""
        return self.tails.get("stderr") or self.tails.get("refit") or self.tails.get("stdout") or []

    def _write(self, line: bytes) -> None:
        with self._lock:
            sys.stdout.buffer.write(self._stamp().encode("ascii") + line + b"\n")
            sys.stdout.buffer.flush()


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Log, deadline: float | None, own: bool
) -> int:
    """To the end of the process and of what it left running; its exit code, negative for a signal. ``own`` lines are
    Refit's. ``OSError`` if it cannot be started, ``TimedOut`` at the deadline (of ``time.monotonic``)."""
    process = subprocess.Popen(
        command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    before = signal.signal(signal.SIGTERM, lambda *_: _end(process.pid, signal.SIGTERM))  # a cloud's stop
    names = ("refit", "refit") if own else ("stdout", "stderr")
    pipes = (process.stdout, process.stderr)
    readers = [threading.Thread(target=log.copy, args=(names[at], pipes[at]), daemon=True) for at in range(2)]
    for reader in readers:
        reader.start()
    try:
        code = process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as late:
        _end(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
        raise TimedOut from late
    finally:
        _end(process.pid, signal.SIGKILL)
        process.wait()
        for reader in readers:
            reader.join(_GRACE_SECONDS)
        signal.signal(signal.SIGTERM, before)
    return code


def _end(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
