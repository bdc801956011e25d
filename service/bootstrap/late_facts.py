"""Owns facts that wait a moment to be written, so that no decision waits for the disk; refuses to lose more than a cache may:
what a crash takes is read again."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

from service.bootstrap.parts import StoredFacts
from service.domain.errors import Retry
from service.domain.facts import Fact, Request

DELAY_SECONDS = 0.5


class LateFacts:
    """Implements the fact cache in front of the stored one. Thread-safe; ``opened`` writes what is left at the end."""

    def __init__(self, stored: StoredFacts) -> None:
        self._stored = stored
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: dict[tuple[str, Request], Fact] = {}
        self._timer: threading.Timer | None = None

    @classmethod
    @contextmanager
    def opened(cls, stored: StoredFacts) -> Iterator[LateFacts]:
        made = cls(stored)
        try:
            yield made
        finally:
            made.write()

    def get(self, requests: Collection[Request], version: str) -> Mapping[Request, Fact]:
        with self._lock:
            here = {one: self._waiting[version, one] for one in requests if (version, one) in self._waiting}
        rest = [one for one in requests if one not in here]
        return {**here, **(self._stored.get(rest, version) if rest else {})}

    def put(self, facts: Iterable[tuple[Request, Fact]], version: str) -> None:
        with self._lock:
            self._waiting |= {(version, request): fact for request, fact in facts}
            if self._waiting and self._timer is None:
                self._timer = threading.Timer(DELAY_SECONDS, self.write)
                self._timer.daemon = True
                self._timer.start()

    def write(self) -> None:
        """Write what waits now. While the database cannot be used, it is lost: whoever needs it reads it again."""
        with self._writing:  # the last to come waits for whoever is at it, as the database is closed afterwards
            with self._lock:
                waiting, self._waiting = self._waiting, {}
                timer, self._timer = self._timer, None
            if timer is not None:
                timer.cancel()
            for version in {version for version, _ in waiting}:
                try:
                    self._stored.put(((one, fact) for (of, one), fact in waiting.items() if of == version), version)
                except Retry:
                    return
