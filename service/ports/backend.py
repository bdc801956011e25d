"""Owns the port to whatever runs steps; refuses polling, retries and memory of its own, which are the worker's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from service.domain.execution import Artifact, Observation
from service.domain.ingredients import Ingredients
from service.domain.pipeline import Pipeline, Registration
from service.domain.selection import Source as Earlier
from service.ports.git_host import Repository


@dataclass(frozen=True, slots=True)
class Work:
    """One step to run. ``token`` is unique to the attempt and derives from its row: submitting it twice adopts.
    ``submission`` is the token of the submission that it is part of, its own where it is submitted alone.

    ``source`` writes a clean export of the commit into an empty folder. ``inputs`` maps input name → artifact of an
    upstream result, but for those that a step of the same submission is yet to make; repository inputs are found in the
    export. ``environment`` are the declared files, by content. ``gates`` and ``register`` are the pipeline's, for a backend
    that shows them, as are ``ref`` and ``pull_request``; Refit itself judges and registers. ``fresh`` work must truly run, even
    where the backend knows an equal one: a person asked for it, what it reads has no version, what an equal one made is gone, or
    the attempt before it came to nothing.
    """

    token: str
    submission: str
    repository: str
    pipeline: str
    commit: str
    ingredients: Ingredients
    inputs: Mapping[str, Artifact]
    environment: tuple[str, ...]
    source: Source
    gates: tuple[str, ...] = ()
    register: Registration | None = None
    ref: str = ""
    pull_request: int | None = None
    fresh: bool = False
    native: NativeWork | None = None


@dataclass(frozen=True, slots=True)
class NativeWork:
    """What more there is to a step of a native definition: the whole ``pipeline``, the ``repository`` to compile it from, and
    the digests of what the step makes, by output name: whoever reads them knows them before they are there."""

    pipeline: Pipeline
    repository: Repository
    outputs: Mapping[str, str]


class Source(Protocol):
    """A commit that can be written to disk."""

    def export(self, target: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a step wrote. ``number`` counts from 1 over both streams."""

    number: int
    at: datetime
    stream: str
    text: str


class Backend(Protocol):
    """Runs steps somewhere. Every verb may raise ``Retry`` (later) or ``Refused`` (never, for this reason)."""

    @property
    def composes(self) -> bool:
        """Whether one submission may hold steps together with those whose outputs they read."""
        ...

    @property
    def slots(self) -> int | None:
        """How many steps it runs at once as its operator declared it; ``None``: as many as the server is set to."""
        ...

    def submit(self, works: Sequence[Work]) -> Sequence[str]:
        """Start the steps of one submission, or adopt what an earlier call with its token started; return a handle for
        each, to store. A backend that does not compose is given one at a time."""
        ...

    def observe(self, handle: str) -> Observation: ...

    def cancel(self, handle: str) -> None:
        """Ask for its end, the whole tree of it, and with it for that of its submission; a no-op once it has ended."""
        ...

    def logs(self, handle: str, after: int, limit: int) -> Sequence[LogLine]:
        """At most ``limit`` lines whose number is greater than ``after``, also while it runs."""
        ...

    def holds(self, digests: Sequence[str]) -> frozenset[str]:
        """Which of these outputs can still be read: a reuse needs them."""
        ...

    def examine(self) -> Sequence[str]:
        """What would keep it from running steps, tried for real without running one, each with the next step."""
        ...


@runtime_checkable
class ReusesExecutions(Protocol):
    """A backend that can run some steps of a native pipeline alone, with what an earlier execution of it made."""

    def sources(self, repository: str, pipeline: str, wanted: Mapping[str, Mapping[str, str]]) -> Sequence[Earlier]:
        """Earlier executions of the pipeline, the best first, each with those of the steps in ``wanted`` that made just these
        outputs in it (step → output → digest)."""
        ...


@runtime_checkable
class HearsEvents(Protocol):
    """A backend that may be told by its vendor that something moved."""

    @property
    def hears(self) -> bool:
        """Whether its operator declared where from."""
        ...

    def heard(self, seconds: float) -> Sequence[str]:
        """Wait so long, at most, and return the beginnings of the handles of what moved. A hint and no more: what it is about
        is looked at, and nothing depends on hearing it."""
        ...
