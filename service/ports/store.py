"""Owns the port to everything durable, one unit of work at a time; refuses SQL and a status stored twice.

Only the unit of work commits: leaving ``Store.begin()`` normally makes everything in it durable at once, leaving it by
an exception makes nothing of it so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from service.domain.delivery import Delivery
from service.domain.execution import Execution, Status
from service.domain.lineage import Measurement, Promotion, ResultRecord
from service.domain.plan import Result
from service.ports.answers import Answers
from service.ports.memory import Facts, Models, Standings, Tokens
from service.ports.queues import Job, Jobs, Lease, Notices


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """A delivery and what became of it. ``outcome`` is a sentence, empty while undecided; ``executions`` the ids made."""

    delivery: Delivery
    outcome: str
    executions: tuple[str, ...]
    job: Job


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Filters of the executions list; empty means any. Branch is a ref without ``refs/heads/``."""

    repository: str = ""
    pipeline: str = ""
    branch: str = ""
    commit: str = ""
    statuses: tuple[Status, ...] = ()
    since: datetime | None = None
    trigger: str = ""


@dataclass(frozen=True, slots=True)
class ResultFilter:
    """Filters of recorded results; empty means any. ``digest`` matches an output, ``read_digest`` an input."""

    repository: str = ""
    pipeline: str = ""
    component: str = ""
    commit: str = ""
    execution: str = ""
    digest: str = ""
    read_digest: str = ""
    metric: str = ""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a keyset-paged list, newest first; ``next_cursor`` is ``None`` on the last."""

    items: tuple[T, ...]
    next_cursor: str | None = None


class Deliveries(Protocol):
    def add(self, deliveries: Sequence[Delivery]) -> Sequence[bool]:
        """Store each with its job due now; ``False`` for a GUID that is known already (nothing is changed then)."""
        ...

    def get(self, guid: str) -> StoredDelivery | None: ...

    def settle(self, lease: Lease, outcome: str, executions: Sequence[str]) -> None:
        """What became of it; ends its job. Raises ``LeaseLost`` when the fence is no longer ours."""
        ...

    def page(self, repository: str = "", cursor: str | None = None, limit: int = 50) -> Page[StoredDelivery]: ...

    def replay(self, guid: str) -> bool:
        """Make its job due again (attempts from zero); ``False`` if unknown or in work."""
        ...


class Executions(Protocol):
    def add(self, execution: Execution) -> None:
        """Store with its job due now. At most one per (repository, pipeline, commit, ref, trigger): raises
        ``AlreadyThere`` naming the existing id."""
        ...

    def add_all(self, executions: Sequence[Execution]) -> Mapping[str, str]:
        """Store each with its job due now; for those that are there already, their id → the existing one's."""
        ...

    def supersede(self, newer: Sequence[Execution]) -> None:
        """Mark every older live execution of the same repository, ref and pipeline as superseded."""
        ...

    def succeeded(self, ids: Collection[str]) -> frozenset[str]:
        """Those that have ended well, gates included."""
        ...

    def get(self, id: str) -> Execution | None: ...

    def save(self, execution: Execution, lease: Lease | None = None) -> None:
        """Write its steps, attempts and end; with a lease, conditional on the fence (``LeaseLost``). Never writes what
        ``mark`` owns: a stop that arrives while somebody drives must not be overwritten."""
        ...

    def mark(self, id: str, *, cancelled: str = "", superseded_by: str = "", approved_by: str = "") -> bool:
        """Set these once and make the row due now; ``False`` if it is unknown or has ended."""
        ...

    def planned(self, repository: str, ref: str) -> Execution | None:
        """The newest execution of a ref, of whichever pipeline, that is no rerun."""
        ...

    def newest(self) -> str:
        """The identifier that sorts behind all others; ``""`` if there is none. A new one must sort behind it."""
        ...

    def last_success(self, repository: str, pipeline: str, ref: str, besides: str) -> Execution | None:
        """The newest execution of a ref that succeeded, gates included, and is not ``besides``."""
        ...

    def tip(self, repository: str, ref: str) -> str:
        """The commit of a ref that was planned last, reruns aside; ``""`` if none was."""
        ...

    def tips(self, repository: str) -> Mapping[str, str]:
        """Every ref that was ever planned → the commit that was planned last, reruns aside."""
        ...

    def page(self, filter: ExecutionFilter, cursor: str | None = None, limit: int = 50) -> Page[Execution]: ...

    def live(self, repository: str, ref: str, pipeline: str = "") -> Sequence[Execution]:
        """Executions of a ref that have not ended, oldest first."""
        ...

    def wanted(self, besides: str) -> frozenset[str]:
        """For every open step of executions that are neither ended nor stopping nor ``besides``: its key, or its static
        key while the key is unknown."""
        ...

    def in_flight(self, keys: Collection[str], besides: str) -> Mapping[str, str]:
        """Full keys that running steps of other executions are computing → the execution, for steps whose key or static
        key is among ``keys``."""
        ...

    def decide_alone(self, backend: str) -> None:
        """Until this unit of work ends, no other decides what runs on that backend: what is read from here on, of results, of
        what is in flight and of slots, stays true until it is acted upon."""
        ...

    def occupy(self, key: str, token: str, backend: str) -> bool:
        """Claim the right to compute ``key`` for the attempt ``token``; ``False`` if another attempt has it."""
        ...

    def release(self, token: str) -> None: ...

    def running(self, backend: str) -> int:
        """How many steps are occupied on that backend."""
        ...

    def counts(self) -> Mapping[str, int]:
        """How many executions have each status."""
        ...

    def outcomes(self) -> Mapping[str, int]:
        """How many steps of all executions are in each state."""
        ...

    def latest(self) -> Sequence[Execution]:
        """The newest execution of each (repository, pipeline), ordered by these names."""
        ...

    def following(self, beginnings: Collection[str]) -> Sequence[str]:
        """Executions that have not ended and have an attempt whose handle begins like that."""
        ...

    def failed(self, keys: Collection[str]) -> Mapping[str, str]:
        """Full keys whose latest ended step failed → the execution, for steps whose key or static key is among
        ``keys``."""
        ...


class Lineage(Protocol):
    def add(self, record: ResultRecord) -> None:
        """Idempotent by ``record.id``."""
        ...

    def promote(self, promotion: Promotion) -> None:
        """Idempotent by (execution, component)."""
        ...

    def get(self, id: str) -> ResultRecord | None: ...

    def records(self, ids: Iterable[str]) -> Sequence[ResultRecord]:
        """Those that exist, in the order asked, each once."""
        ...

    def of_executions(self, executions: Collection[str], limit: int) -> Sequence[ResultRecord]:
        """What these executions made or took over, newest first."""
        ...

    def with_static_keys(self, keys: Collection[str]) -> Sequence[Result]:
        """Results whose own or aliased static key is among ``keys``, newest first (an alias's key and static key)."""
        ...

    def made(self, keys: Collection[str]) -> frozenset[str]:
        """Digests of all outputs of those results."""
        ...

    def alias(self, result: str, key: str, static_key: str) -> None:
        """Another key for a result: what today's algorithm computes where an older one ran."""
        ...

    def baselines(
        self, repository: str, components: Mapping[str, Sequence[str]], refs: Sequence[str]
    ) -> Mapping[str, Mapping[str, Result]]:
        """For each of these components of each pipeline, its newest success or promotion on the first of ``refs`` that has
        one, else anywhere in the repository. Pipelines without any are left out."""
        ...

    def page(self, filter: ResultFilter, cursor: str | None = None, limit: int = 50) -> Page[ResultRecord]: ...

    def promotions(self, *, commit: str = "", result: str = "", execution: str = "") -> Sequence[Promotion]: ...

    def components(self) -> Sequence[tuple[str, str, str, int, int, float]]:
        """(repository, pipeline, component, times run, times reused, mean seconds) of everything ever made."""
        ...

    def measurements(
        self, name: str, repository: str = "", pipeline: str = "", cursor: str | None = None, limit: int = 50
    ) -> Page[Measurement]:
        """One metric over commits, newest execution first: what each commit measured, or took over by promotion."""
        ...

    def metrics(self) -> Sequence[tuple[str, str, str, str]]:
        """(repository, pipeline, component, metric) of everything ever measured, in order of these names."""
        ...


class Work(Protocol):
    """One unit of work."""

    @property
    def deliveries(self) -> Deliveries: ...

    @property
    def executions(self) -> Executions: ...

    @property
    def lineage(self) -> Lineage: ...

    @property
    def standings(self) -> Standings: ...

    @property
    def models(self) -> Models: ...

    @property
    def jobs(self) -> Jobs: ...

    @property
    def facts(self) -> Facts: ...

    @property
    def tokens(self) -> Tokens: ...

    @property
    def notices(self) -> Notices: ...

    @property
    def answers(self) -> Answers: ...


class Store(Protocol):
    """The database."""

    def begin(self) -> AbstractContextManager[Work]:
        """A transaction that may write: committed when the block ends, rolled back when it raises."""
        ...

    def read(self) -> AbstractContextManager[Work]:
        """What the database held at one moment, for a block that writes nothing: writing raises."""
        ...

    def wait(self, seconds: float) -> None:
        """Return when some job may have become due, or after ``seconds``."""
        ...

    def interrupt(self) -> None:
        """Make whoever waits look again."""
        ...


class AlreadyThere(Exception):
    """The row exists; ``id`` names it."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.id = id
