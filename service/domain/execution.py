"""Owns an execution and its steps, attempts and observations; refuses to store a status: it is derived from the steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from service.domain.gates import Verdict
from service.domain.ingredients import Ingredients
from service.domain.pipeline import Pipeline
from service.domain.plan import Decision, Plan, Result, foreseen, runs_once
from service.domain.step_key import Reason

RERUN = "rerun-"
"""How the trigger of a repeated execution begins: it says nothing new about where its ref stands."""


class State(StrEnum):
    """The outcome so far of one step."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    REUSED = "reused"
    FAILED = "failed"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"


class Status(StrEnum):
    """The state of a whole execution, derived."""

    AWAITING_APPROVAL = "awaiting_approval"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


FINAL = frozenset({State.SUCCEEDED, State.REUSED, State.FAILED, State.BLOCKED, State.CANCELLED})
ENDED = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.SUPERSEDED})


class Seen(StrEnum):
    """What a backend says of one attempt."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    SKIPPED = "skipped"
    """It never began: something else in its submission ended that first."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file or folder that a step read or made. ``digest`` is ``sha256:<hex>`` of its content, ``size`` in bytes."""

    name: str
    digest: str
    size: int
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at an attempt. Times are the backend's, UTC; ``error`` ends with the lines a person needs. ``note`` says why a
    step has its result without having run: its condition took the other branch. ``reused`` names the backend's own earlier job
    that it took instead of running the step."""

    seen: Seen
    error: str = ""
    exit_code: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    inputs: tuple[Artifact, ...] = ()
    outputs: tuple[Artifact, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    environment: str = ""
    job: str = ""
    note: str = ""
    reused: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. ``token`` makes it idempotent: a crash after submit adopts the job that exists. ``submission`` is the token
    that it shares with the attempts that were handed to the backend together with it, as one job of several steps."""

    number: int
    token: str
    handle: str | None = None
    seen: Seen = Seen.RUNNING
    error: str = ""
    exit_code: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    cancelling: bool = False
    submission: str = ""


@dataclass(frozen=True, slots=True)
class StepRun:
    """One step being carried out. ``planned`` is the plan's word, ``decision`` the final one (``None``: still open)."""

    ingredients: Ingredients
    planned: Decision
    decision: Decision | None
    reasons: tuple[Reason, ...]
    static_key: str
    key: str | None = None
    state: State = State.WAITING
    attempts: tuple[Attempt, ...] = ()
    result: Result | None = None

    @property
    def name(self) -> str:
        return self.ingredients.component.name

    @property
    def current(self) -> Attempt | None:
        """The attempt in flight."""
        return self.attempts[-1] if self.state is State.RUNNING and self.attempts else None

    @property
    def was_lost(self) -> bool:
        """Whether it runs since what an equal one made is gone."""
        return any(reason.kind == "lost" for reason in self.reasons)


@dataclass(frozen=True, slots=True)
class Execution:
    """A plan for one pipeline at one commit being carried out.

    ``cancelled`` and ``superseded_by`` say why it shall stop (``""``: it shall not); ``needs_approval`` why a person must
    say yes first, ``approved_by`` who did. ``forced`` names components that run whatever the past. ``targets`` are the
    refs whose last success the gates compare with, the first that has one; ``verdicts`` what the gates said at the end.
    """

    id: str
    repository: str
    pipeline: Pipeline
    ref: str
    commit: str
    tree: str
    base: str | None
    author: str
    message: str
    trigger: str
    created_at: datetime
    steps: tuple[StepRun, ...]
    pull_request: int | None = None
    removed: tuple[str, ...] = ()
    needs_approval: str = ""
    approved_by: str = ""
    cancelled: str = ""
    superseded_by: str = ""
    forced: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    ended_at: datetime | None = None

    @property
    def status(self) -> Status:
        states = {step.state for step in self.steps}
        if self.needs_approval and not self.approved_by and not self.is_stopping:
            return Status.AWAITING_APPROVAL
        if not states <= FINAL:
            begun = states - {State.WAITING}
            return Status.RUNNING if begun else Status.QUEUED
        if State.CANCELLED in states:
            return Status.SUPERSEDED if self.superseded_by and not self.cancelled else Status.CANCELLED
        return Status.FAILED if State.FAILED in states or self.failed_gates else Status.SUCCEEDED

    @property
    def failed_gates(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)

    @property
    def is_satisfied(self) -> bool:
        """Whether every step has its result, made here or reused."""
        return all(step.state in (State.SUCCEEDED, State.REUSED) for step in self.steps)

    @property
    def is_stopping(self) -> bool:
        return bool(self.cancelled or self.superseded_by)

    def step(self, name: str) -> StepRun:
        """The step of that component; ``KeyError`` if there is none."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def foreseen(self, step: StepRun, number: int) -> dict[str, str]:
        """Output → digest of what a native step's attempt will make, as far as anybody may know it beforehand."""
        once = self.token(step.name, number) if runs_once(step.ingredients, self.forced) else ""
        return foreseen(step.ingredients.component, step.key or step.static_key, once)

    def token(self, step: str, number: int) -> str:
        """What makes an attempt at a step idempotent."""
        return f"{self.id}.{step}.{number}"

    def submitted(self, submission: str) -> tuple[StepRun, ...]:
        """The steps whose attempt in flight belongs to this submission."""
        return tuple(step for step in self.steps if step.current and step.current.submission == submission)


def begin(plan: Plan) -> tuple[StepRun, ...]:
    """The steps of a new execution: nothing has happened yet, not even a reuse."""
    return tuple(
        StepRun(
            step.ingredients,
            step.decision,
            None if step.decision is Decision.PENDING else step.decision,
            step.reasons,
            step.static_key,
            step.key,
        )
        for step in plan.steps
    )
