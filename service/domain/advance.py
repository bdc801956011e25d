"""Owns how an execution moves: it and what was observed become its next state and the acts that follow; refuses to
perform any act and to read a clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from service.domain.acts import Action, Cancel, Promote, Record, Seek, Submit
from service.domain.execution import FINAL, Attempt, Execution, Observation, Seen, State, Status, StepRun
from service.domain.pipeline import UpstreamInput
from service.domain.plan import Decision, History, Result, decide, full_key, full_parts
from service.domain.selection import Source
from service.domain.step_key import Reason
from service.domain.together import Forecast, forecast, sought, starting

LOST_ATTEMPTS = 2
"""How often a run that vanished (machine gone, supervisor killed) is repeated beyond the declared retries."""
SKIPPED_ATTEMPTS = 20
"""How often a step is submitted again that its submission never reached."""


def advance(
    execution: Execution,
    observations: Mapping[str, Observation],
    history: History,
    now: datetime,
    *,
    slots: int,
    wanted: Collection[str] = (),
    composes: bool = False,
    sources: Collection[Source] | None = None,
) -> tuple[Execution, tuple[Action, ...]]:
    """One move. ``observations`` by attempt token; ``history`` as planning sees it now; ``slots``: how many steps may be
    started; ``wanted``: keys that live executions still want, which a superseded execution hands over by finishing them;
    ``composes``: whether the backend takes steps together with those whose outputs they read, before these are made;
    ``sources``: what the backend found when it was asked to ``Seek``, ``None`` if it was not.
    """
    if execution.status is Status.AWAITING_APPROVAL or execution.ended_at is not None:
        return execution, ()
    move = _Move(execution, observations, history, now, slots, wanted, composes)
    native = execution.pipeline.native is not None
    steps = move.native(sources) if native else tuple(move.step(step) for step in execution.steps)
    moved = replace(execution, steps=steps)
    if all(step.state in FINAL for step in steps):
        moved = replace(moved, ended_at=now)
    return moved, tuple(move.actions)


def asks_the_past(execution: Execution, observations: Mapping[str, Observation]) -> bool:
    """Whether a move may decide anything: if all that runs goes on and what waits waits for that, its history is not read, and
    whoever follows a thousand executions need not look it up for each."""
    if any(one.seen is not Seen.RUNNING for one in observations.values()):
        return True
    running = {step.name for step in execution.steps if step.state is State.RUNNING}
    if execution.pipeline.native is not None:
        return not running
    held = {step.name for step in execution.steps if step.state in (State.RUNNING, State.WAITING)}
    waiting = (step for step in execution.steps if step.state is State.WAITING)
    return any(held.isdisjoint(step.ingredients.component.upstream) for step in waiting)


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

    def native(self, sources: Collection[Source] | None) -> tuple[StepRun, ...]:
        """All steps at once: a native pipeline has one execution of its own at a time, and its vendor starts nothing more in
        it after a failure."""
        for step in self.execution.steps:
            self.done[step.name] = self._observe(step) if step.state is State.RUNNING else step
        states = {step.state for step in self.done.values()}
        if self.execution.is_stopping:
            self._end_waiting(State.CANCELLED)
        elif not states.isdisjoint({State.FAILED, State.CANCELLED}):
            self._end_waiting(State.BLOCKED)
        elif State.RUNNING not in states and State.WAITING in states:
            self._begin_together(sources)
        return tuple(self.done[step.name] for step in self.execution.steps)

    def _end_waiting(self, state: State) -> None:
        for name, step in self.done.items():
            if step.state is State.WAITING:
                self.done[name] = replace(step, state=state)

    def _begin_together(self, sources: Collection[Source] | None) -> None:
        made = forecast(self.execution, tuple(self.done.values()), self.history)
        fresh = () if made.open or not made.changed or self.slots <= 0 else self._starting(made, sources)
        self.done = {**made.steps, **{step.name: step for step in fresh}}
        for name in made.reused:
            result = self.done[name].result
            if result is not None:  # else it runs again, with the others
                self.actions.append(Promote(self.done[name], result))
        self.slots = max(self.slots, len(fresh))  # together or not at all
        for step in fresh:
            self.done[step.name] = self._submit(step)

    def _starting(self, made: Forecast, sources: Collection[Source] | None) -> tuple[StepRun, ...]:
        wanted = sought(self.execution.pipeline, made)
        if wanted and sources is None:
            self.actions.append(Seek(wanted))
            return ()
        return starting(self.execution.pipeline, made, sources or ())

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
        step = replace(
            step, state=State.SUCCEEDED, key=key, result=result, reasons=(*step.reasons, *_said(step, observation))
        )
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
        token = self.execution.token(step.name, number)
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


def _said(step: StepRun, observation: Observation) -> tuple[Reason, ...]:
    """Why a step has its result though nothing ran."""
    if observation.note:
        return (Reason("branch", step.name, observation.note),)
    if observation.reused:
        return (Reason("vendor", step.name, f"the backend ran nothing: its job {observation.reused} was equal"),)
    return ()
