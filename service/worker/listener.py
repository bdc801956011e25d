"""Owns listening to backends that are told when something moves, so that its execution is looked at sooner; refuses to conclude
anything from what it hears."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import structlog

from service.domain.errors import Refused, Retry
from service.ports.backend import Backend, HearsEvents
from service.ports.queues import Queue
from service.ports.store import Store

_LONGEST_SECONDS = 20.0
_REST_SECONDS = 10.0
"""After a failure: what is not heard is found by looking, only later."""

log = structlog.get_logger("refit.worker")


class Listener:
    """A thread for each backend that hears, from ``start`` to ``stop``."""

    def __init__(self, store: Store, backends: Mapping[str, Backend]) -> None:
        self._store = store
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(name, backend), name=f"listener-{name}", daemon=True)
            for name, backend in backends.items()
            if isinstance(backend, HearsEvents) and backend.hears
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """It may be in the middle of waiting: what it then hears is lost, as any hint may be."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(1.0)

    def _run(self, name: str, backend: HearsEvents) -> None:
        while not self._stopping.is_set():
            try:
                self._pass_on(backend.heard(_LONGEST_SECONDS))
            except (Refused, Retry) as problem:
                log.warning("listening", backend=name, reason=problem.reason)
                self._stopping.wait(_REST_SECONDS)
            except Exception:
                if not self._stopping.is_set():
                    log.exception("listening", backend=name)
                self._stopping.wait(_REST_SECONDS)

    def _pass_on(self, beginnings: Sequence[str]) -> None:
        if not beginnings or self._stopping.is_set():
            return
        with self._store.begin() as work:
            for execution in work.executions.following(beginnings):
                work.jobs.wake(Queue.EXECUTIONS, execution)
