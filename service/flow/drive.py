"""Owns one move of one execution: observe, ask, decide, store, then act; refuses to decide anything itself, and to talk to a
backend within a unit of work: a slow cloud would keep every other writer waiting.

The order is what makes a crash harmless: an attempt is stored, with its token, before it is submitted, and submitting
the same token again adopts what runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from service.domain.acts import Action, Cancel, Promote, Record, Seek, Submit
from service.domain.advance import advance, asks_the_past
from service.domain.errors import Refused, Retry
from service.domain.execution import Artifact, Attempt, Execution, Observation, Seen, State, StepRun
from service.domain.pipeline import UpstreamInput
from service.domain.plan import History, runs_once
from service.domain.selection import Source
from service.ports import backend as port
from service.ports.backend import Backend, NativeWork, ReusesExecutions
from service.ports.clock import Clock
from service.ports.git_host import GitHost
from service.ports.queues import Lease
from service.ports.store import Store, Work

_ROUNDS = 5
"""How often a move asks again because the state has changed while it asked, before it is put off."""
_FIRST_POLL, _SLOWEST_POLL, _SLOWEST_CLOUD_POLL = 0.15, 2.0, 30.0
_MOVES_PER_SECOND = 50.0
"""At most, over all steps that run on a cloud: it is asked far less often, and each move costs milliseconds of the processor."""


@dataclass(frozen=True)
class _Moment:
    """What a move is decided from, read in one unit of work; ``slots`` and ``wanted`` as ``advance`` has them. ``running``: steps
    on that backend."""

    execution: Execution
    history: History
    running: int
    slots: int
    wanted: Collection[str]


@dataclass(frozen=True)
class _Answers:
    """What a backend said: of the outputs that it was ``asked`` for those that are ``gone``, and the ``sources`` of what was
    ``sought``."""

    asked: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    sought: Seek | None = None
    sources: Collection[Source] = ()


@dataclass(frozen=True)
class Driver:
    """Moves executions. ``history`` reads what planning may know, but for what the backend still has; ``conclude`` and ``ended``
    write lineage in the unit of work that stores the move, and ``ended`` judges the gates; ``slots`` bounds the steps that run
    at once, by backend."""

    store: Store
    hosts: GitHost
    backends: Mapping[str, Backend]
    slots: Mapping[str, int]
    clock: Clock
    history: Callable[[Work, Execution], History]
    conclude: Callable[[Work, Execution, Record | Promote], None]
    ended: Callable[[Work, Execution], Execution]

    def drive(self, lease: Lease) -> None:
        """One move under this lease, which it always gives back: finished, or due again."""
        with self.store.read() as work:
            before = work.executions.get(lease.id)
        if before is None or before.ended_at is not None:
            with self.store.begin() as work:
                work.jobs.finish(lease)
            return
        backend = self._backend(before)
        observations = self._observe(before, backend)
        after, actions = self._move(lease, before, observations, backend)
        if after.ended_at is None:
            self._act(after, actions, backend, lease)

    def _backend(self, execution: Execution) -> Backend:
        try:
            return self.backends[execution.pipeline.backend]
        except KeyError:
            raise Refused(
                f"running {execution.pipeline.name}: this server has no backend {execution.pipeline.backend!r}; "
                f"there is {', '.join(self.backends)}"
            ) from None

    def _observe(self, execution: Execution, backend: Backend) -> dict[str, Observation]:
        """Look at every attempt in flight; one whose submission was cut off is submitted again, which adopts it."""
        seen: dict[str, Observation] = {}
        handles: dict[str, str] = {}
        for step in execution.steps:
            attempt = step.current
            if attempt is None:
                continue
            try:
                seen[attempt.token] = backend.observe(self._handle(execution, attempt, backend, handles))
            except Refused as refusal:
                seen[attempt.token] = Observation(Seen.FAILED, error=refusal.reason)
        return seen

    def _move(
        self, lease: Lease, before: Execution, observations: Mapping[str, Observation], backend: Backend
    ) -> tuple[Execution, Sequence[Action]]:
        answers = _Answers()
        decides = asks_the_past(before, observations)
        if decides:
            answers = self._asked(lease, observations, backend)
        for _ in range(_ROUNDS):
            with self.store.begin() as work:
                if decides:
                    work.executions.decide_alone(before.pipeline.backend)
                moment = self._moment(work, lease, observations)  # again: a stop may have arrived while we looked
                decided = self._decided(moment, observations, backend, answers)
                if decided is not None:
                    return self._stored(work, lease, moment, *decided, backend)
            answers = self._asked(lease, observations, backend)
        with self.store.begin() as work:
            work.jobs.defer(lease, _FIRST_POLL, counts=False)
        return before, ()

    def _moment(self, work: Work, lease: Lease, observations: Mapping[str, Observation]) -> _Moment:
        execution = work.executions.get(lease.id)
        assert execution is not None, "executions are never deleted while leased"
        name = execution.pipeline.backend
        history = self.history(work, execution) if asks_the_past(execution, observations) else History()
        running = work.executions.running(name)
        return _Moment(
            execution,
            history,
            running,
            slots=max(0, self.slots.get(name, 1) - running),
            wanted=work.executions.wanted(besides=execution.id) if execution.superseded_by else (),
        )

    def _asked(self, lease: Lease, observations: Mapping[str, Observation], backend: Backend) -> _Answers:
        """What a move from here needs to know of the backend; what it is read in has ended before the backend is asked."""
        with self.store.read() as work:
            moment = self._moment(work, lease, observations)
        made = moment.history.outputs
        answers = _Answers(made, made - backend.holds(sorted(made)) if made else made)
        _, actions = self._advanced(moment, observations, backend, answers)
        for seek in [action for action in actions if isinstance(action, Seek)]:
            answers = replace(answers, sought=seek, sources=_sources(moment.execution, seek, backend))
        return answers

    def _decided(
        self, moment: _Moment, observations: Mapping[str, Observation], backend: Backend, answers: _Answers
    ) -> tuple[Execution, Sequence[Action]] | None:
        """The move; ``None`` if it needs to know more than these answers say."""
        if not moment.history.outputs <= answers.asked:
            return None
        moved, actions = self._advanced(moment, observations, backend, answers)
        for seek in [action for action in actions if isinstance(action, Seek)]:
            if seek != answers.sought:
                return None
            moved, actions = self._advanced(moment, observations, backend, answers, answers.sources)
        return moved, actions

    def _advanced(
        self,
        moment: _Moment,
        observations: Mapping[str, Observation],
        backend: Backend,
        answers: _Answers,
        sources: Collection[Source] | None = None,
    ) -> tuple[Execution, Sequence[Action]]:
        return advance(
            moment.execution,
            observations,
            moment.history.without(answers.gone),
            self.clock.now(),
            slots=moment.slots,
            wanted=moment.wanted,
            composes=backend.composes,
            sources=sources,
        )

    def _stored(
        self,
        work: Work,
        lease: Lease,
        moment: _Moment,
        moved: Execution,
        actions: Sequence[Action],
        backend: Backend,
    ) -> tuple[Execution, Sequence[Action]]:
        for step in moved.steps:  # before occupying: a retry wants the key that its first attempt held
            for attempt in step.attempts:
                if attempt is not step.current:
                    work.executions.release(attempt.token)
        moved, acts = self._occupied(work, moved, actions)
        for action in acts:
            if isinstance(action, Record | Promote):
                self.conclude(work, moved, action)
        if moved.ended_at is not None:
            moved = self.ended(work, moved)
        if moved != moment.execution:
            work.executions.save(moved, lease)
        if moved.ended_at is not None:
            work.jobs.finish(lease)
        elif not any(isinstance(action, Submit | Cancel) for action in acts):
            work.jobs.defer(lease, self._pause(moved, backend, moment.running), counts=False)
        return moved, acts

    def _occupied(self, work: Work, execution: Execution, actions: Sequence[Action]) -> tuple[Execution, list[Action]]:
        """Two executions may want the same key at the same moment: the second waits for the first, and so does what it
        would have submitted together with it. Whoever does not know a step's key yet occupies its static key."""
        kept: list[Action] = []
        withdrawn: set[str] = set()
        steps = {step.name: step for step in execution.steps}
        for action in actions:
            if isinstance(action, Submit):
                step = steps[action.step.name]
                if withdrawn.intersection(step.ingredients.component.upstream) or not work.executions.occupy(
                    step.key or step.static_key, action.attempt.token, execution.pipeline.backend
                ):
                    withdrawn.add(step.name)
                    steps[step.name] = _withdrawn(step)
                    continue
            kept.append(action)
        if withdrawn and execution.pipeline.native is not None:  # a selection runs as it was chosen, or not at all
            for action in [one for one in kept if isinstance(one, Submit)]:
                work.executions.release(action.attempt.token)
                steps[action.step.name] = _withdrawn(steps[action.step.name])
                kept.remove(action)
        elif withdrawn:
            kept = [_renamed(action, kept, steps) for action in kept]
        return replace(execution, steps=tuple(steps.values())), kept

    def _act(self, execution: Execution, actions: Sequence[Action], backend: Backend, lease: Lease) -> None:
        """Submit and cancel. A refused submission keeps no handle: the next move asks again and fails the attempt with
        the refusal's reason. An attempt whose handle was lost in a crash is adopted before it is cancelled."""
        acts = [action for action in actions if isinstance(action, Submit | Cancel)]
        if not acts:
            return
        handles: dict[str, str] = {}
        refused = fresh = False
        for act in acts:
            fresh |= isinstance(act, Submit)
            try:
                handle = self._handle(execution, act.attempt, backend, handles)
                if isinstance(act, Cancel):
                    backend.cancel(handle)
            except Refused:
                refused |= isinstance(act, Submit)
        steps = tuple(
            replace(step, attempts=tuple(_with_handle(attempt, handles) for attempt in step.attempts))
            for step in execution.steps
        )
        with self.store.begin() as work:
            work.executions.save(replace(execution, steps=steps), lease)
            pause = 0.0 if refused else _FIRST_POLL if fresh else self._pause(execution, backend)
            work.jobs.defer(lease, pause, counts=False)

    def _handle(self, execution: Execution, attempt: Attempt, backend: Backend, handles: dict[str, str]) -> str:
        """The attempt's stored handle; without one, its submission is submitted, once for all attempts whose handles are
        added to ``handles``."""
        if attempt.handle:
            return attempt.handle
        if attempt.token not in handles:
            handles.update(self._submit(execution, attempt.submission, backend))
        return handles[attempt.token]

    def _submit(self, execution: Execution, submission: str, backend: Backend) -> dict[str, str]:
        """Attempt → handle, for every attempt of the submission."""
        steps = execution.submitted(submission)
        works = [self._work(execution, step, {one.name for one in steps}) for step in steps]
        return dict(zip((work.token for work in works), backend.submit(works), strict=True))

    def _work(self, execution: Execution, step: StepRun, together: Collection[str]) -> port.Work:
        assert step.current is not None, "a submission's steps have an attempt in flight"
        inputs: dict[str, Artifact] = {}
        for name, source in step.ingredients.component.inputs:
            if isinstance(source, UpstreamInput) and source.component not in together:
                result = execution.step(source.component).result
                if result is None:
                    raise Retry(f"submitting {step.name}: {source.component} has no result yet")
                inputs[name] = Artifact(source.output, result.outputs[source.output], 0)
        return port.Work(
            token=step.current.token,
            submission=step.current.submission,
            repository=execution.repository,
            pipeline=execution.pipeline.name,
            commit=execution.commit,
            ingredients=step.ingredients,
            inputs=inputs,
            environment=execution.pipeline.environment,
            source=_Export(self.hosts, execution.repository, execution.commit),
            gates=execution.pipeline.gates,
            register=execution.pipeline.register,
            ref=execution.ref,
            pull_request=execution.pull_request,
            fresh=runs_once(step.ingredients, execution.forced) or step.current.number > 1 or step.was_lost,
            native=self._native(execution, step),
        )

    def _native(self, execution: Execution, step: StepRun) -> NativeWork | None:
        if execution.pipeline.native is None:
            return None
        return NativeWork(
            pipeline=execution.pipeline,
            repository=self.hosts.repository(execution.repository),
            outputs=execution.foreseen(step, len(step.attempts)),
        )

    def _pause(self, execution: Execution, backend: Backend, running: int = 0) -> float:
        """Seconds until the next look: soon for a young attempt, slower for a long one; slowest where looks cost calls to a
        cloud, which makes them last as long, and slower the more runs there."""
        started = [s.current.started_at for s in execution.steps if s.current and s.current.started_at]
        pause = max(_FIRST_POLL, (self.clock.now() - max(started)).total_seconds() / 20 if started else 0.0)
        if not backend.composes:
            return min(_SLOWEST_POLL, pause)
        return min(_SLOWEST_CLOUD_POLL, max(pause, running / _MOVES_PER_SECOND))


@dataclass(frozen=True)
class _Export:
    """The commit's files, written when the backend asks."""

    hosts: GitHost
    repository: str
    commit: str

    def export(self, target: Path) -> None:
        self.hosts.repository(self.repository).export(self.commit, target)


def _sources(execution: Execution, seek: Seek, backend: Backend) -> Sequence[Source]:
    if not isinstance(backend, ReusesExecutions):
        return ()
    return backend.sources(execution.repository, execution.pipeline.name, seek.wanted)


def _withdrawn(step: StepRun) -> StepRun:
    return replace(step, state=State.WAITING, attempts=step.attempts[:-1])


def _renamed(action: Action, kept: Sequence[Action], steps: dict[str, StepRun]) -> Action:
    """A submission named after an attempt that was withdrawn takes another's name: that attempt's comes again."""
    tokens = [one.attempt.token for one in kept if isinstance(one, Submit)]
    if not isinstance(action, Submit) or action.attempt.submission in tokens:
        return action
    step = steps[action.step.name]
    attempt = replace(action.attempt, submission=tokens[0])
    steps[step.name] = replace(step, attempts=(*step.attempts[:-1], attempt))
    return Submit(steps[step.name], attempt)


def _with_handle(attempt: Attempt, handles: Mapping[str, str]) -> Attempt:
    return replace(attempt, handle=handles[attempt.token]) if attempt.token in handles else attempt
