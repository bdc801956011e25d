"""Owns how an execution moves: it and what was observed become its next state and the acts that follow; refuses to
perform any act and to read a clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from service.domain.execution import FINAL, Attempt, Execution, Observation, Seen, State, Status, StepRun
from service.domain.pipeline import UpstreamInput
from service.domain.plan import Decision, History, Result, decide, full_key, full_parts
from service.domain.step_key import Reason

LOST_ATTEMPTS = 2
"""How often a run that vanished (machine gone, supervisor killed) is repeated beyond the declared retries."""
SKIPPED_ATTEMPTS = 20
"""How often a step is submitted again that its submission never reached."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Start this attempt of this step. What it reads of others has been made, or is made in the same submission."""

    step: StepRun
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Cancel:
    """End this attempt and everything it started. Asked for at every move until it has ended: whoever asked first may
    have died before the backend heard of it."""

    step: StepRun
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Record:
    """A step succeeded: write its lineage."""

    step: StepRun
    attempt: Attempt
    observation: Observation
    result: Result


@dataclass(frozen=True, slots=True)
class Promote:
    """A step is satisfied by an earlier result: write the edge."""

    step: StepRun
    result: Result


Action = Submit | Cancel | Record | Promote


def advance(
    execution: Execution,
    observations: Mapping[str, Observation],
    history: History,
    now: datetime,
    *,
    slots: int,
    wanted: Collection[str] = (),
    composes: bool = False,
) -> tuple[Execution, tuple[Action, ...]]:
    """One move. ``observations`` by attempt token; ``history`` as planning sees it now; ``slots``: how many steps may be
    started; ``wanted``: keys that live executions still want, which a superseded execution hands over by finishing them;
    ``composes``: whether the backend takes steps together with those whose outputs they read, before these are made.
    """
    if execution.status is Status.AWAITING_APPROVAL or execution.ended_at is not None:
        return execution, ()
    move = _Move(execution, observations, history, now, slots, wanted, composes)
    steps = tuple(move.step(step) for step in execution.steps)
    moved = replace(execution, steps=steps)
    if all(step.state in FINAL for step in steps):
        moved = replace(moved, ended_at=now)
    return moved, tuple(move.actions)


class _Move:
    """The working state of one ``advance``: steps come in topological order, so that one pass carries results through."""

    def __init__(
        self,
        execution: Execution,
        observations: Mapping[str, Observation],
        history: History,
        now: datetime,
        slots: int,
        wanted: Collection[str],
        composes: bool,
    ) -> None:
        self.execution = execution
        self.observations = observations
        self.history = history
        self.now = now
        self.slots = slots
        self.wanted = wanted
        self.composes = composes
        self.submission = ""
        self.actions: list[Action] = []
        self.done: dict[str, StepRun] = {}

    def step(self, step: StepRun) -> StepRun:
        if step.state is State.RUNNING:
            step = self._observe(step)
        if step.state is State.WAITING:
            step = self._wait(step)
        self.done[step.name] = step
        return step

    def _observe(self, step: StepRun) -> StepRun:
        attempt = step.attempts[-1]
        observation = self.observations.get(attempt.token)
        if observation is None or observation.seen is Seen.RUNNING:
            return self._running(step, attempt, observation)
        if observation.seen is Seen.SUCCEEDED and self._inputs(step) is None:  # made together, seen one after the other
            if any(self.done[name].state is State.RUNNING for name in step.ingredients.component.upstream):
                return self._running(step, attempt, None)
            observation = Observation(
                Seen.SKIPPED, error="what it read in its submission is no result", job=observation.job
            )
        attempt = replace(
            attempt,
            seen=observation.seen,
            error=observation.error,
            exit_code=observation.exit_code,
            started_at=observation.started_at or attempt.started_at,
            ended_at=observation.ended_at or self.now,
        )
        made = {artifact.name for artifact in observation.outputs}
        missing = [name for name in step.ingredients.component.outputs if name not in made]
        if observation.seen is Seen.SUCCEEDED and missing:  # nothing that reads it could ever start
            attempt = replace(attempt, seen=Seen.FAILED, error=f"it ended well and left no {', '.join(missing)}")
        step = replace(step, attempts=(*step.attempts[:-1], attempt))
        match attempt.seen:
            case Seen.SUCCEEDED:
                return self._succeeded(step, attempt, observation)
            case Seen.CANCELLED:
                return replace(step, state=State.CANCELLED)
            case _ if self._stops(step):
                return replace(step, state=State.CANCELLED)
            case _ if self._may_retry(step):
                return replace(step, state=State.WAITING)
            case _:
                return replace(step, state=State.FAILED)

    def _running(self, step: StepRun, attempt: Attempt, observation: Observation | None) -> StepRun:
        if observation is not None and observation.started_at and attempt.started_at != observation.started_at:
            attempt = replace(attempt, started_at=observation.started_at)
        if self._stops(step):
            attempt = replace(attempt, cancelling=True)
            self.actions.append(Cancel(step, attempt))
        return replace(step, attempts=(*step.attempts[:-1], attempt))

    def _stops(self, step: StepRun) -> bool:
        """A person's cancel stops everything; a newer commit only what it does not want itself, and a submission as a
        whole: a backend cannot take one step out of it."""
        if self.execution.cancelled:
            return True
        if not self.execution.superseded_by:
            return False
        together = self.execution.submitted(step.attempts[-1].submission) or (step,)
        return not any({one.key, one.static_key} & set(self.wanted) for one in together)

    def _may_retry(self, step: StepRun) -> bool:
        seen = Counter(attempt.seen for attempt in step.attempts)
        return (
            seen[Seen.FAILED] <= step.ingredients.component.limits.retries
            and seen[Seen.LOST] <= LOST_ATTEMPTS
            and seen[Seen.SKIPPED] <= SKIPPED_ATTEMPTS
        )

    def _succeeded(self, step: StepRun, attempt: Attempt, observation: Observation) -> StepRun:
        outputs = self._inputs(step)
        assert outputs is not None, "what it read was made before it, or in the same submission"
        key = full_key(step.static_key, step.ingredients.component, outputs)
        seconds = 0.0
        if attempt.started_at and attempt.ended_at:
            seconds = (attempt.ended_at - attempt.started_at).total_seconds()
        result = Result(
            id=attempt.token,
            component=step.name,
            key=key,
            static_key=step.static_key,
            parts=full_parts(step.ingredients.parts, step.ingredients.component, outputs),
            outputs={artifact.name: artifact.digest for artifact in observation.outputs},
            execution=self.execution.id,
            commit=self.execution.commit,
            seconds=max(seconds, 0.0),
        )
        step = replace(step, state=State.SUCCEEDED, key=key, result=result)
        self.actions.append(Record(step, attempt, observation, result))
        return step

    def _wait(self, step: StepRun) -> StepRun:
        if self.execution.is_stopping:
            return replace(step, state=State.CANCELLED)
        upstream = [self.done[name] for name in step.ingredients.component.upstream]
        if any(one.state in (State.FAILED, State.BLOCKED, State.CANCELLED) for one in upstream):
            return replace(step, state=State.BLOCKED)
        inputs = self._inputs(step)
        if inputs is None and not self._composable(upstream):
            return step
        decided = decide(step.ingredients, inputs, self.history, forced=step.name in self.execution.forced)
        if decided.reuses is not None:
            reasons = decided.reasons if step.decision is not Decision.REUSE else step.reasons
            step = replace(
                step,
                state=State.REUSED,
                decision=Decision.REUSE,
                reasons=_kept(step, reasons),
                key=decided.key,
                result=decided.reuses,
            )
            self.actions.append(Promote(step, decided.reuses))
            return step
        if decided.decision is Decision.REUSE:  # in flight elsewhere: look again later
            return replace(step, decision=Decision.REUSE, reasons=decided.reasons, key=decided.key)
        if decided.decision is Decision.PENDING:
            return step
        reasons = decided.reasons if step.decision is not Decision.RUN else step.reasons
        return self._submit(replace(step, decision=Decision.RUN, reasons=reasons, key=decided.key))

    def _composable(self, upstream: Sequence[StepRun]) -> bool:
        """Whether all that is not made yet is being submitted in this very move."""
        return self.composes and all(
            one.result is not None or (one.state is State.RUNNING and one.attempts[-1].submission == self.submission)
            for one in upstream
        )

    def _submit(self, step: StepRun) -> StepRun:
        if self.slots <= 0:
            return step
        self.slots -= 1
        number = len(step.attempts) + 1
        token = f"{self.execution.id}.{step.name}.{number}"
        self.submission = (self.submission if self.composes else "") or token
        attempt = Attempt(number, token, submission=self.submission)
        step = replace(step, state=State.RUNNING, attempts=(*step.attempts, attempt))
        self.actions.append(Submit(step, attempt))
        return step

    def _inputs(self, step: StepRun) -> dict[tuple[str, str], str] | None:
        """Digests of the upstream outputs it reads, ``None`` while any is unknown."""
        found = {}
        for _, source in step.ingredients.component.inputs:
            if isinstance(source, UpstreamInput):
                result = self.done[source.component].result
                if result is None or source.output not in result.outputs:
                    return None
                found[source.component, source.output] = result.outputs[source.output]
        return found


def _kept(step: StepRun, reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    """A pending step that turns out unneeded says so: its upstream ran again and made the same."""
    if step.planned is Decision.PENDING and step.decision is None:
        upstream = ", ".join(step.ingredients.component.upstream)
        return (
            Reason("unchanged", step.name, f"{upstream} ran and what {step.name} reads of it is identical"),
            *reasons,
        )
    return tuple(reasons)
