"""Owns a job's log in Azure ML → numbered lines of their streams; refuses to copy a log."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime

from service.adapters.backends.azureml.azure import Azure, calling
from service.adapters.backends.azureml.failures import Problem
from service.adapters.backends.azureml.following import time_of
from service.adapters.backends.steps.container.receipts import told
from service.ports.backend import LogLine

_FILE = "user_logs/std_log.txt"
_CHUNK, _TAIL = 256 * 1024, 64 * 1024
_MOST_KEPT, _MOST_PAGES = 512, 64


class Logs:
    """Azure ML numbers nothing: lines are counted from the first. Where some of them begin is remembered, so that whoever
    follows a long log does not read it from the start each time; forgetting it costs time only."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._lock = threading.Lock()
        self._known: OrderedDict[str, list[tuple[int, int]]] = OrderedDict()

    def lines(self, run: str, after: int, limit: int) -> list[LogLine]:
        """At most ``limit`` lines whose number is greater than ``after``. A last one without its end is still being written,
        unless the run has ended."""
        if limit <= 0:
            return []
        with calling(f"reading the log of {run}"):
            url = self._url(run)
            return self._read(run, url, after, limit) if url else []

    def tail(self, run: str) -> list[tuple[str, str]]:
        """The last lines: stream and text."""
        with calling(f"reading the log of {run}"):
            url = self._url(run)
            size = self._azure.size(url) if url else 0
            content = self._azure.content(url, max(0, size - _TAIL), size) if size else b""
        lines = content.decode("utf-8", "replace").split("\n")
        return [_parsed(line)[1:] for line in lines[1 if size > _TAIL else 0 :] if line]

    def _url(self, run: str) -> str:
        """Signed anew at each look; ``""`` before the first line."""
        try:
            details = self._azure.history("GET", f"/runs/{run}/details")
        except Problem as problem:
            if problem.is_absent:
                return ""
            raise
        return str((details.get("logFiles") or {}).get(_FILE, ""))

    def _read(self, run: str, url: str, after: int, limit: int) -> list[LogLine]:
        number, offset = self._before(run, after)
        found: list[LogLine] = []
        at = datetime.fromtimestamp(0, UTC)
        for begin, text in _lines(self._azure, url, offset):
            if number % 500 == 0:
                self._remember(run, number, begin)
            number += 1
            moment, stream, said = _parsed(text)
            at = moment or at
            if number > after:
                found.append(LogLine(number, at, stream, said))
            if len(found) >= limit:
                break
        return found

    def _before(self, run: str, after: int) -> tuple[int, int]:
        """The last known begin of a line that is not after the one that follows this: how many lines come before it, and its
        offset."""
        with self._lock:
            return max((one for one in self._known.get(run, []) if one[0] <= after), default=(0, 0))

    def _remember(self, run: str, number: int, offset: int) -> None:
        with self._lock:
            known = self._known.setdefault(run, [])
            self._known.move_to_end(run)
            if all(number != one[0] for one in known):
                known.append((number, offset))
                del known[:-_MOST_PAGES]
            while len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)


def _lines(azure: Azure, url: str, offset: int) -> Iterator[tuple[int, str]]:
    """Offset and text of every whole line from there on."""
    rest = b""
    while True:
        begin = offset + len(rest)
        content = azure.content(url, begin, begin + _CHUNK)
        if not content:
            return
        *whole, rest = (rest + content).split(b"\n")
        for line in whole:
            yield offset, line.decode("utf-8", "replace").rstrip("\r")
            offset += len(line) + 1
        if len(content) < _CHUNK:
            return


def _parsed(line: str) -> tuple[datetime | None, str, str]:
    """When, which stream, and what. A line without a time is not the container's, but of what runs it."""
    stamp, _, text = line.partition(" ")
    moment = time_of(stamp) if len(stamp) > 20 else None
    return (moment, *told(text)) if moment else (None, "refit", line)
