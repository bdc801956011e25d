"""Owns a past in which everything has succeeded, written through the store's own verbs; refuses to run a step."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from service.adapters.backends.local.objects import Objects
from service.bootstrap.server import Runtime
from service.domain.acts import Promote, Record
from service.domain.execution import Artifact, Attempt, Execution, Observation, Seen, State, StepRun
from service.domain.pipeline import UpstreamInput
from service.domain.plan import Decision, Result, full_key, full_parts
from service.flow import conclude


def succeed(runtime: Runtime, executions: Sequence[Execution], objects: Objects) -> None:
    """Every step of these executions takes over the result that its plan reuses, or succeeds, with an output of its own that
    the local backend really holds."""
    now = runtime.scheduler.clock.now()
    reuses = {step.static_key for one in executions for step in one.steps if step.decision is Decision.REUSE}
    with runtime.database.read() as work:
        known = {result.key: result for result in work.lineage.with_static_keys(reuses)}
    done = [replace(one, steps=_finished(one, known, objects), ended_at=now) for one in executions]
    with runtime.database.begin() as work:
        for execution in done:
            for step in execution.steps:
                assert step.result is not None, "finished just now"
                if step.state is State.REUSED:
                    conclude.promote(work, execution, Promote(step, step.result), now)
                else:
                    conclude.record(work, execution, _record(step, step.result, now), now)
            work.executions.save(execution)


def _finished(execution: Execution, known: Mapping[str, Result], objects: Objects) -> tuple[StepRun, ...]:
    found: dict[str, Result] = {}
    steps = []
    for step in execution.steps:
        if step.decision is Decision.REUSE and step.key is not None:
            found[step.name] = known[step.key]
            steps.append(replace(step, state=State.REUSED, result=known[step.key]))
            continue
        component = step.ingredients.component
        read = [source for _, source in component.inputs if isinstance(source, UpstreamInput)]
        outputs = {(s.component, s.output): found[s.component].outputs[s.output] for s in read}
        key = full_key(step.static_key, component, outputs)
        result = Result(
            id=f"{execution.id}.{step.name}.1",
            component=step.name,
            key=key,
            static_key=step.static_key,
            parts=full_parts(step.ingredients.parts, component, outputs),
            outputs={name: _object(objects, f"{key} {name}") for name in component.products},
            execution=execution.id,
            commit=execution.commit,
            seconds=60.0,
        )
        found[step.name] = result
        steps.append(replace(step, state=State.SUCCEEDED, decision=Decision.RUN, key=key, result=result))
    return tuple(steps)


def _object(objects: Objects, text: str) -> str:
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    if not objects.holds(digest):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(text)
            file.flush()
            assert objects.put(Path(file.name)).digest == digest, "content-addressed"
    return digest


def _record(step: StepRun, result: Result, at: datetime) -> Record:
    """What the driver would have said of it."""
    outputs = tuple(Artifact(name, digest, 100) for name, digest in result.outputs.items())
    metrics = {"rmse": 1.0} if step.ingredients.component.metrics else {}
    attempt = Attempt(1, result.id, started_at=at, ended_at=at)
    return Record(step, attempt, Observation(Seen.SUCCEEDED, outputs=outputs, metrics=metrics), result)
