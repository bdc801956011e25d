"""Owns a run's log: numbered, timed lines of both streams, readable while written; refuses to grow without bound."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from service.ports.backend import LogLine

LONGEST_LINE = 16 * 1024
LARGEST_LOG = 50 * 1024 * 1024


class LogWriter:
    """Appends lines; thread-safe. ``tails`` keeps the last lines of each stream for the error message. Never raises on a
    full disk: the step must not stall because nobody reads its pipe. What was not kept is said once there is space."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._lock = threading.Lock()
        self._number = 0
        self._size = 0
        self._unkept = 0
        self._torn = False
        self.tails: dict[str, list[str]] = {}

    def write(self, stream: str, text: str) -> None:
        with self._lock:
            tail = self.tails.setdefault(stream, [])
            tail.append(text)
            del tail[:-60]
            if self._size > LARGEST_LOG:
                return
            if self._unkept and self._append("refit", f"the disk was full: {self._unkept} lines were not kept"):
                self._unkept = 0
            if self._unkept or not self._append(stream, text):
                self._unkept += 1
            if self._size > LARGEST_LOG:
                self._append("refit", "the log is full; what follows is not kept")

    def _append(self, stream: str, text: str) -> bool:
        row = {"n": self._number + 1, "t": time.time(), "s": stream, "x": text}
        line = b"\n" * self._torn + json.dumps(row, ensure_ascii=True).encode() + b"\n"
        try:
            written = self._file.write(line)
        except OSError:
            return False
        self._torn = written < len(line)
        self._size += written
        self._number += not self._torn
        return not self._torn

    def copy(self, stream: str, source: BinaryIO) -> None:
        """Every line of a stream until it ends; a line that is too long is broken, what is not UTF-8 replaced."""
        while part := source.readline(LONGEST_LINE):
            self.write(stream, part.rstrip(b"\r\n").decode("utf-8", "replace"))

    def close(self) -> None:
        self._file.close()


def read_lines(path: Path, after: int, limit: int) -> list[LogLine]:
    """At most ``limit`` lines with a number above ``after``, found by bisection: a long log costs no more than a short."""
    try:
        with path.open("rb") as file:
            return [line for _, line in zip(range(limit), _lines_from(file, after), strict=False)]
    except FileNotFoundError:
        return []


def _lines_from(file: BinaryIO, after: int) -> Iterator[LogLine]:
    low, high = 0, file.seek(0, 2)
    while low < high:  # the last line start whose number is at most ``after``
        middle = (low + high) // 2
        file.seek(middle)
        if middle:
            file.readline()
        row = _parsed(file.readline())
        if row is None or row.number > after:
            high = middle
        else:
            low = middle + 1
    file.seek(max(0, low - 1))
    if low > 1:
        file.readline()
    while (text := file.readline()).endswith(b"\n"):
        row = _parsed(text)
        if row is not None and row.number > after:
            yield row


def _parsed(text: bytes) -> LogLine | None:
    if not text.endswith(b"\n"):
        return None
    try:
        row = json.loads(text)
    except ValueError:  # torn by a full disk; the writer went on in a new line
        return None
    return LogLine(row["n"], datetime.fromtimestamp(row["t"], UTC), row["s"], row["x"])
