"""Owns the port to the rows that carry work, and the leases on them; refuses to know what the work is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Queue(StrEnum):
    """The rows that carry work."""

    DELIVERIES = "deliveries"
    EXECUTIONS = "executions"
    NOTICES = "notices"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on one row until the lease ends. ``fence`` makes a stalled worker's writes void; ``attempt``
    was counted before the work began, so that a job which kills its process ends in quarantine."""

    queue: Queue
    id: str
    fence: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Job:
    """The state of a row's work, for people: next due time, attempts, last error; ``due_at=None`` once it is settled."""

    id: str
    due_at: datetime | None
    leased_until: datetime | None
    attempt: int
    last_error: str
    quarantined: bool


class Jobs(Protocol):
    def claim(self, queue: Queue, limit: int, seconds: float, share: int | None = None) -> Sequence[Lease]:
        """Lease due rows: oldest first; deliveries one at a time per repository and ref (in order of arrival), fair between
        repositories, none of which has more than ``share`` in work. Rows over their attempts are quarantined instead, with
        their last error."""
        ...

    def defer(self, lease: Lease, seconds: float, error: str = "", *, counts: bool = True) -> None:
        """Give the row back, due in ``seconds``; ``counts=False`` takes the attempt back (a poll is not a failure)."""
        ...

    def put_off(self, lease: Lease, seconds: float, why: str) -> None:
        """Give the row back after a failure that is not its own (the remote, the disk, the database): it is tried for as
        long as that lasts and never quarantined for it."""
        ...

    def finish(self, lease: Lease) -> None: ...

    def quarantine(self, lease: Lease, error: str) -> None: ...

    def wake(self, queue: Queue, id: str) -> None:
        """Make a row due now, unless it is settled."""
        ...

    def get(self, queue: Queue, id: str) -> Job | None: ...

    def renew(self, leases: Iterable[Lease], seconds: float) -> None:
        """Keep what is in work; a lease that was lost stays lost."""
        ...

    def depth(self) -> Mapping[str, int]:
        """How many rows of each queue wait or are in work."""
        ...

    def mend_times(self) -> int:
        """Rows whose due time or lease lies further ahead than any ever given (the clock was set back) are due and free
        now; how many there were."""
        ...

    def free_all(self) -> None:
        """End every lease; what was in work when its worker died several times in a row waits a little longer each time, so
        that it neither takes the others down with it nor is blamed for their deaths. Only for whoever knows that no other
        worker lives: the one process of an SQLite file."""
        ...

    def beat(self, worker: str) -> None:
        """A worker's heartbeat, read by readiness."""
        ...

    def beats(self, within: float) -> int:
        """How many workers beat within so many seconds."""
        ...


class Notices(Protocol):
    def enqueue(self, execution: str) -> None:
        """Announce this execution as it stands when the announcer gets to it; coalesces with one that waits."""
        ...

    def enqueue_all(self, executions: Sequence[str]) -> None:
        """The same for executions that were stored just now."""
        ...


class LeaseLost(Exception):
    """Another worker has the row now; whatever was to be written is void."""
