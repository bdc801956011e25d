"""Owns claiming, concurrency and what a failure means for a job; refuses to know what a job does."""

from __future__ import annotations

import errno
import os
import random
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import structlog

from service.domain.errors import Refused, Retry
from service.ports.queues import Lease, LeaseLost, Queue
from service.ports.store import Store

LEASE_SECONDS = 30.0
_IDLE_SECONDS = 5.0
_BEAT_SECONDS = 5.0
_CAP_SECONDS = 60.0

_MACHINE = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EROFS", "EIO", "ENOMEM", "EMFILE", "ENFILE", "EAGAIN")
)
"""Failures of the machine that a job met and is not to blame for."""

Handler = Callable[[Lease], None]
"""Does one job and settles its lease. ``Retry`` and failures of the machine give it back with backoff, for as long as they
last; ``Refused`` quarantines; a bug is tried again and then quarantined."""

log = structlog.get_logger("refit.worker")


class Loop:
    """Runs handlers, ``capacity`` at a time for each queue, until ``stop``; one repository has ``share`` of them at most."""

    def __init__(
        self,
        store: Store,
        handlers: Mapping[Queue, Handler],
        capacity: Mapping[Queue, int],
        share: Mapping[Queue, int] | None = None,
    ) -> None:
        self._store = store
        self._handlers = handlers
        self._free = {queue: threading.Semaphore(capacity[queue]) for queue in handlers}
        self._share = share or {}
        self._pool = ThreadPoolExecutor(sum(capacity.values()), thread_name_prefix="worker")
        self._in_work: set[Lease] = set()
        self._stopping = threading.Event()
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._beat = threading.Thread(target=self._beats, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._beat.start()

    def stop(self) -> None:
        """Finish the jobs in hand and return; their rows stay due for whoever comes next."""
        self._stopping.set()
        while self._thread.is_alive():  # more than once: it may just be about to wait
            self._store.interrupt()
            self._thread.join(0.2)
        self._pool.shutdown(wait=True)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                claimed = sum(self._claim(queue) for queue in self._handlers)
            except Retry as problem:  # the database is away: say so and go on trying
                log.error("claiming jobs", reason=problem.reason)
                claimed = 0
                self._stopping.wait(1.0)
            except Exception:
                log.exception("claiming jobs")
                claimed = 0
                self._stopping.wait(1.0)
            if not claimed and not self._stopping.is_set():
                self._wait()

    def _wait(self) -> None:
        try:
            self._store.wait(_IDLE_SECONDS)
        except Retry as problem:
            log.error("waiting for jobs", reason=problem.reason)
            self._stopping.wait(1.0)
        except Exception:
            log.exception("waiting for jobs")
            self._stopping.wait(1.0)

    def _claim(self, queue: Queue) -> int:
        free = self._free[queue]
        room = 0
        while free.acquire(blocking=False):
            room += 1
        leases: list[Lease] = []
        try:
            if room:
                with self._store.begin() as work:
                    leases = list(work.jobs.claim(queue, room, LEASE_SECONDS, self._share.get(queue)))
        finally:
            for _ in range(room - len(leases)):
                free.release()
        for lease in leases:
            self._in_work.add(lease)
            self._pool.submit(self._do, lease)
        return len(leases)

    def _do(self, lease: Lease) -> None:
        try:
            self._handlers[lease.queue](lease)
        except LeaseLost:
            log.warning("lease lost", queue=lease.queue.value, id=lease.id)
        except Exception as error:
            self._failed(lease, error)
        finally:
            self._in_work.discard(lease)
            self._free[lease.queue].release()

    def _failed(self, lease: Lease, error: Exception) -> None:
        try:
            with self._store.begin() as work:
                match error:
                    case Retry(reason=reason, after=after):
                        log.warning("retry", queue=lease.queue.value, id=lease.id, reason=reason)
                        work.jobs.put_off(lease, backoff(lease.attempt) if after is None else after, reason)
                    case OSError(errno=number) if number in _MACHINE:
                        log.error("the machine fails", queue=lease.queue.value, id=lease.id, reason=str(error))
                        work.jobs.put_off(lease, backoff(lease.attempt), str(error))
                    case Refused(reason=reason):
                        log.warning("refused", queue=lease.queue.value, id=lease.id, reason=reason)
                        work.jobs.quarantine(lease, reason)
                    case _:
                        log.error("bug", queue=lease.queue.value, id=lease.id, exc_info=error)
                        work.jobs.defer(lease, backoff(lease.attempt), f"{type(error).__name__}: {error}")
        except LeaseLost:
            log.warning("lease lost", queue=lease.queue.value, id=lease.id)
        except Retry as problem:  # its lease ends by itself
            log.error("giving a job back", queue=lease.queue.value, id=lease.id, reason=problem.reason)
        except Exception:
            log.exception("giving a job back", queue=lease.queue.value, id=lease.id)

    def _beats(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._store.begin() as work:
                    work.jobs.beat(self._name)
                    work.jobs.renew(tuple(self._in_work), LEASE_SECONDS)
                    if mended := work.jobs.mend_times():
                        log.warning("the clock was set back", rows=mended)
            except Retry as problem:
                log.error("heartbeat", reason=problem.reason)
            except Exception:
                log.exception("heartbeat")
            self._stopping.wait(_BEAT_SECONDS)


def backoff(attempt: int) -> float:
    """Seconds until the next try: exponential, capped, with full jitter."""
    return random.uniform(0.0, min(_CAP_SECONDS, 0.5 * 2.0**attempt))  # noqa: S311 – jitter is not a secret
