"""Owns several parsing processes and whose turn it is: first come, first served; refuses to let one commit keep the others
waiting for more than a few small blobs, or a large one."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from service.adapters.reading.isolation import TOGETHER, IsolatedReader
from service.domain.facts import Fact, Request
from service.domain.pipeline import Manifest
from service.ports.reader import Budget

PROCESSES = 2
_SEVERAL = 18
"""Blobs that go to a process together, if they are small."""


class ReaderPool:
    """Implements the reader port. Thread-safe; ``close`` ends every process."""

    def __init__(self, processes: int = PROCESSES) -> None:
        self._readers = [IsolatedReader() for _ in range(processes)]
        self._idle = list(self._readers)
        self._waiting: deque[tuple[threading.Event, list[IsolatedReader]]] = deque()
        self._lock = threading.Lock()

    def __enter__(self) -> ReaderPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for reader in self._readers:
            reader.close()

    def facts(
        self, blobs: Sequence[tuple[Request, bytes | None]], budget: Budget | None = None
    ) -> list[tuple[Request, Fact]]:
        def read(some: Sequence[tuple[Request, bytes | None]]) -> list[tuple[Request, Fact]]:
            with self._turn() as reader:
                return reader.facts(some, budget)

        trips = list(_trips(blobs))
        if len(trips) == 1:
            return read(trips[0])
        with ThreadPoolExecutor(len(self._readers)) as threads:  # one to each process, each waiting for its turn
            return [fact for facts in threads.map(read, trips) for fact in facts]

    def manifest(self, content: bytes, backends: Collection[str]) -> Manifest:
        with self._turn() as reader:
            return reader.manifest(content, backends)

    def document(self, content: bytes) -> object:
        with self._turn() as reader:
            return reader.document(content)

    def globs(self, patterns: Sequence[str]) -> Callable[[str], bool]:
        return self._readers[0].globs(patterns)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[IsolatedReader]:
        """A reader, handed from hand to hand: a plain lock would often go to whoever has just let go of it."""
        with self._lock:
            mine = self._idle.pop() if self._idle else None
            if mine is None:
                called, hand = threading.Event(), list[IsolatedReader]()
                self._waiting.append((called, hand))
        if mine is None:
            called.wait()
            mine = hand[0]
        try:
            yield mine
        finally:
            with self._lock:
                if self._waiting:
                    called, hand = self._waiting.popleft()
                    hand.append(mine)
                    called.set()
                else:
                    self._idle.append(mine)


def _trips(
    blobs: Sequence[tuple[Request, bytes | None]],
) -> Iterator[Sequence[tuple[Request, bytes | None]]]:
    """In order; what is large, or could not be read, goes alone."""
    trip: list[tuple[Request, bytes | None]] = []
    size = 0
    for blob in blobs:
        more = len(blob[1]) if blob[1] is not None else TOGETHER
        if trip and (len(trip) == _SEVERAL or size + more > TOGETHER):
            yield trip
            trip, size = [], 0
        trip.append(blob)
        size += more
    if trip:
        yield trip
