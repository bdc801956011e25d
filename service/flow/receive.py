"""Owns webhook → stored delivery, before the answer, many in one transaction; refuses to parse or to judge them."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future

from service.domain.delivery import Delivery
from service.ports.store import Store

BATCH = 128
"""Deliveries in one transaction; at most this many wait behind one fsync."""
BACKLOG = 4_096
"""Deliveries held in memory; beyond it the receiver says so instead of growing."""


class Inbox:
    """Group commit: whatever waits is stored in one transaction, and each is answered when its batch is on disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: queue.Queue[tuple[Delivery, Future[bool]] | None] = queue.Queue(BACKLOG)
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)
        self._thread.start()

    def accept(self, delivery: Delivery) -> Future[bool]:
        """Resolves once the delivery and its job are durable: ``False`` if its GUID was known. ``queue.Full`` when
        overloaded; the future carries whatever the store raised."""
        answer: Future[bool] = Future()
        self._waiting.put_nowait((delivery, answer))
        return answer

    def close(self) -> None:
        """Store what waits and stop."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            first = self._waiting.get()
            if first is None:
                return
            batch, closing = self._drain(first)
            self._store_batch(batch)
            if closing:
                return

    def _drain(self, first: tuple[Delivery, Future[bool]]) -> tuple[list[tuple[Delivery, Future[bool]]], bool]:
        batch = [first]
        while len(batch) < BATCH:
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                break
            if item is None:
                return batch, True
            batch.append(item)
        return batch, False

    def _store_batch(self, batch: list[tuple[Delivery, Future[bool]]]) -> None:
        try:
            with self._store.begin() as work:
                fresh = work.deliveries.add([delivery for delivery, _ in batch])
        except Exception as error:  # every caller must learn that its delivery is not stored
            for _, answer in batch:
                answer.set_exception(error)
            return
        for (_, answer), is_new in zip(batch, fresh, strict=True):
            answer.set_result(is_new)
