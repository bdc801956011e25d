"""Owns webhook → stored delivery, before the answer, many in one transaction; refuses to parse or to judge them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from service.domain.delivery import Delivery
from service.domain.errors import Retry
from service.ports.store import Store

BATCH = 128
"""Deliveries in one transaction; at most this many wait behind one fsync."""
BACKLOG = 4_096
"""Deliveries held in memory; beyond it the receiver says so instead of growing."""

_Waiting = tuple[Delivery, "Future[bool]"]


class Inbox:
    """Group commit: whatever waits is stored in one transaction, and each is answered when its batch is on disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue(BACKLOG)
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)
        self._thread.start()

    def accept(self, delivery: Delivery) -> Future[bool]:
        """Resolves once the delivery and its job are durable: ``False`` if its GUID was known. ``queue.Full`` when
        overloaded or closed; the future carries whatever the store raised. Cancelling it does not take the delivery back:
        its sender may be gone, what it sent counts."""
        if self._is_closed:
            raise queue.Full
        answer: Future[bool] = Future()
        self._waiting.put_nowait((delivery, answer))
        return answer

    def close(self) -> None:
        """Store what waits and stop."""
        self._is_closed = True
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

    def _drain(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
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

    def _store_batch(self, batch: Sequence[_Waiting]) -> None:
        try:
            with self._store.begin() as work:
                fresh = work.deliveries.add([delivery for delivery, _ in batch])
        except Exception as error:  # every caller must learn that its delivery is not stored
            if len(batch) > 1 and not isinstance(error, Retry):
                for one in batch:  # something is wrong with one of them, and the others must not pay for it
                    self._store_batch([one])
                return
            for _, answer in batch:
                if answer.set_running_or_notify_cancel():
                    answer.set_exception(error)
            return
        for (_, answer), is_new in zip(batch, fresh, strict=True):
            if answer.set_running_or_notify_cancel():
                answer.set_result(is_new)
