"""Owns a log followed live, as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html); refuses
to hold a thread or a connection of the database while it waits."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from fastapi.encoders import jsonable_encoder
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.concurrency import run_in_threadpool

from service.ports.backend import LogLine
from service.web.api.documents import line_document
from service.web.problems import Problem

MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy must pass each line on at once
BATCH = 200
_SOON, _LATER, _SILENCE = 0.25, 1.0, 15.0
_LAST_EVENT = re.compile(r"(\d{1,9})\.(\d{1,15})")


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to tell: lines of which attempt (0: none was made yet), and the step's state, final or not."""

    lines: Sequence[LogLine]
    attempt: int
    state: str
    is_final: bool


class Streams:
    """How many logs are followed at once in this process."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open = 0

    async def follow(self, look: Callable[[int, int], Look], attempt: int, after: int) -> AsyncIterator[bytes]:
        """Events from behind line ``after`` of ``attempt`` on: a ``line`` for each line, then one ``end`` with the step's
        state. ``look(attempt, after)`` blocks and is called on a thread, again and again."""
        self._open += 1
        try:
            quiet_since = time.monotonic()
            while True:
                seen = await run_in_threadpool(look, attempt, after)
                if seen.attempt != attempt:  # a retry: its lines count from one again
                    attempt, after = seen.attempt, 0
                for line in seen.lines:
                    after = line.number
                    yield _event("line", line_document(line), f"{attempt}.{after}")
                if seen.is_final and len(seen.lines) < BATCH:
                    yield _event("end", {"state": seen.state, "attempt": attempt or None})
                    return
                if seen.lines:
                    quiet_since = time.monotonic()
                elif time.monotonic() - quiet_since > _SILENCE:  # keeps proxies from closing, and finds out who left
                    quiet_since = time.monotonic()
                    yield KEEPALIVE_COMMENT
                if len(seen.lines) < BATCH:
                    await asyncio.sleep(_SOON if seen.lines else _LATER)
        finally:
            self._open -= 1

    def refuse_when_full(self) -> None:
        if self._open >= self._most:
            raise Problem(503, f"{self._most} logs are being followed already.", headers={"Retry-After": "5"})


def resumed(last_event: str | None) -> tuple[int, int]:
    """Attempt and line number of a ``Last-Event-ID`` that was sent here; (0, 0) for anything else."""
    found = _LAST_EVENT.fullmatch(last_event or "")
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def _event(name: str, data: object, id: str | None = None) -> bytes:
    text = json.dumps(jsonable_encoder(data), ensure_ascii=True, separators=(",", ":"))
    return format_sse_event(data_str=text, event=name, id=id)
