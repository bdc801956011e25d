"""Owns looks at what runs, shared by all who ask about its steps; refuses to interpret a step, and to know who is asked.

A look lasts for a while that grows with the execution's age, and with how many others are being followed: a thousand
executions cost no more calls a second than AWS leaves to all who share the account. What has ended cannot change and is
kept.
"""

from __future__ import annotations

import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

_MOST_KEPT = 4_096
_FORGOTTEN_SECONDS = 60.0
LOOKS_PER_SECOND = 4.0
"""At most, over all executions that are followed, once each has been looked at. Clouds publish no rates; ten a second is what
others report of AWS's list calls."""

_SLOWEST_SECONDS = 30.0


def lasting(fastest: float) -> tuple[float, float]:
    """How long looks last, in seconds, where an operator declared only how long they do at first."""
    return fastest, max(fastest, _SLOWEST_SECONDS)


@dataclass(frozen=True)
class Look:
    """An execution at one moment. ``steps`` are the rows of those that have begun, in the cloud's words; ``changed`` is when
    it last moved, ``began`` when its first step did."""

    status: str
    has_ended: bool
    changed: datetime
    steps: Mapping[str, Mapping[str, Any]]
    began: datetime | None = None


@dataclass
class _Seat:
    """Where those who ask about the same execution wait for the one who looks."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    look: Look | None = None
    until: float = 0.0
    forgotten: int = 0


class Looks:
    """``looked`` takes one look at an execution by its name. ``poll`` is how long a look lasts, in seconds: at first, and at
    most, unless so many executions are followed that more than ``rate`` looks a second would be taken."""

    def __init__(
        self, looked: Callable[[str], Look], poll: tuple[float, float], rate: float = LOOKS_PER_SECOND
    ) -> None:
        self._looked = looked
        self._fastest, self._slowest = poll
        self._rate = rate
        self._lock = threading.Lock()
        self._seats: OrderedDict[str, _Seat] = OrderedDict()

    def look(self, name: str) -> Look:
        """How it stands, or stood a moment ago."""
        seat = self._seat(name)
        with seat.lock:
            if seat.look is None or (not seat.look.has_ended and time.monotonic() >= seat.until):
                forgotten = seat.forgotten
                seat.look = self._looked(name)
                until = time.monotonic() + self._lasts(seat.look)
                with self._lock:  # what was seen may be older than what was asked of it meanwhile
                    seat.until = until if seat.forgotten == forgotten else 0.0
            return seat.look

    def forget(self, name: str) -> None:
        """Look anew next time: something was asked of it, or said of it. Nobody is kept who was not looked at."""
        with self._lock:
            seat = self._seats.get(name)
            if seat is not None:
                seat.forgotten += 1
                seat.until = 0.0

    def _seat(self, name: str) -> _Seat:
        with self._lock:
            seat = self._seats.setdefault(name, _Seat())
            self._seats.move_to_end(name)
            while len(self._seats) > _MOST_KEPT:
                self._seats.popitem(last=False)
            return seat

    def _lasts(self, look: Look) -> float:
        age = (datetime.now(UTC) - look.began).total_seconds() if look.began else 0.0
        alone = min(self._slowest, max(self._fastest, age / 20)) * random.uniform(0.8, 1.2)  # noqa: S311
        return max(alone, self._followed() / self._rate)

    def _followed(self) -> int:
        """How many executions are being looked at: those that have not ended and were asked about of late."""
        soon = time.monotonic() - _FORGOTTEN_SECONDS
        with self._lock:
            return sum(
                seat.look is not None and not seat.look.has_ended and seat.until > soon for seat in self._seats.values()
            )
