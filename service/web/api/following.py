"""Owns a log followed live, as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html); refuses
to hold a thread or a connection of the database while it waits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import anyio
from fastapi.encoders import jsonable_encoder
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.domain.execution import Execution
from service.ports.backend import LogLine
from service.web.api.documents import line_document
from service.web.problems import problem

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy must pass each line on at once
BATCH = 200
_SOON, _LATER = 0.25, 1.0
_THREADS = 4
"""Of their own: however slow the database is, the rest of the API keeps its threads."""
_LAST_EVENT = re.compile(r"(\d{1,9})\.(\d{1,15})")


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to tell: lines of which attempt (0: none was made yet), the step's state, final or not, and how the
    whole execution stands."""

    lines: Sequence[LogLine]
    attempt: int
    state: str
    is_final: bool
    execution: Mapping[str, Any]


class Streams:
    """The logs that are followed in this process: so many at once, each for so long, until the server stops."""

    def __init__(self, most: int, *, silence: float = 15.0, longest: float = 1_800.0) -> None:
        self._most = most
        self._silence = silence
        self._longest = longest
        self._open = 0
        self._closing = asyncio.Event()
        self._threads = anyio.CapacityLimiter(_THREADS)
        self.executions = Recent[Execution | None]()

    def close(self) -> None:
        """End them all: who follows will ask again."""
        self._closing.set()

    async def follow(self, look: Callable[[int, int], Look], attempt: int, after: int) -> AsyncIterator[bytes]:
        """Events from behind line ``after`` of ``attempt`` on: a ``line`` for each line, a ``state`` when the execution
        moves, then one ``end`` with the step's state. ``look(attempt, after)`` blocks and is called on a thread, again and
        again. A stream that ends without ``end`` is to be asked for again."""
        began = quiet_since = time.monotonic()
        told: Mapping[str, Any] | None = None
        while time.monotonic() - began < self._longest and not self._closing.is_set():
            seen = await anyio.to_thread.run_sync(look, attempt, after, limiter=self._threads)
            if seen.attempt != attempt:  # a retry: its lines count from one again
                attempt, after = seen.attempt, 0
            for line in seen.lines:
                after = line.number
                yield _event("line", line_document(line), f"{attempt}.{after}")
            is_over = seen.is_final and len(seen.lines) < BATCH
            if told not in (None, seen.execution):
                yield _event("state", seen.execution)
            told = seen.execution
            if is_over:
                yield _event("end", {"state": seen.state, "attempt": attempt or None})
                return
            if seen.lines:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > self._silence:  # keeps proxies from closing, and finds out who left
                quiet_since = time.monotonic()
                yield KEEPALIVE_COMMENT
            if len(seen.lines) < BATCH:
                await self._pause(_SOON if seen.lines else _LATER)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)


class Followed(StreamingResponse):
    """One stream; counted from its first byte to its last, whoever ends it."""

    def __init__(self, streams: Streams, events: AsyncIterator[bytes]) -> None:
        super().__init__(events, media_type=MEDIA_TYPE, headers=HEADERS)
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streams = self._streams
        if streams._open >= streams._most:
            detail = f"{streams._most} logs are being followed already."
            await problem(503, detail, headers={"Retry-After": "5"})(scope, receive, send)
            return
        streams._open += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            streams._open -= 1


T = TypeVar("T")


class Recent(Generic[T]):
    """Values that were read within the last moment, each by one for all who ask: many follow the same execution."""

    def __init__(self, seconds: float = 0.9) -> None:
        self._seconds = seconds
        self._known: dict[str, tuple[float, T]] = {}
        self._lock = threading.Lock()

    def get(self, key: str, read: Callable[[], T]) -> T:
        with self._lock:
            oldest = time.monotonic() - self._seconds
            self._known = {name: one for name, one in self._known.items() if one[0] >= oldest}
            if key not in self._known:
                self._known[key] = (time.monotonic(), read())
            return self._known[key][1]


def resumed(last_event: str | None) -> tuple[int, int]:
    """Attempt and line number of a ``Last-Event-ID`` that was sent here; (0, 0) for anything else."""
    found = _LAST_EVENT.fullmatch(last_event or "")
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def _event(name: str, data: object, id: str | None = None) -> bytes:
    text = json.dumps(jsonable_encoder(data), ensure_ascii=True, separators=(",", ":"))
    return format_sse_event(data_str=text, event=name, id=id)
