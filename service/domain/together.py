"""Owns how a native pipeline's execution goes on: what is decided at once, and which steps start together as one selective
execution or as the whole pipeline; refuses to look at what runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.domain.execution import Execution, State, StepRun
from service.domain.pipeline import Pipeline, UpstreamInput
from service.domain.plan import Decision, History, decide, runs_with
from service.domain.selection import Source, best, needed, selected
from service.domain.step_key import Reason


@dataclass
class Forecast:
    """Every step as decided, as if what must run had run already: what it will make is known before. ``changed`` must run,
    ``reused`` is satisfied by an earlier result, ``open`` waits for what another execution is computing."""

    steps: dict[str, StepRun] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)


def forecast(execution: Execution, steps: Sequence[StepRun], history: History) -> Forecast:
    """``steps`` in topological order; none of them runs."""
    made = Forecast()
    outputs: dict[tuple[str, str], str] = {}
    for step in steps:
        if step.state is State.WAITING:
            step = _decided(execution, step, outputs, history, made)
        known = step.result.outputs if step.result else execution.foreseen(step, len(step.attempts) + 1)
        outputs |= {(step.name, name): digest for name, digest in known.items()}
        made.steps[step.name] = step
    return made


def _decided(
    execution: Execution,
    step: StepRun,
    outputs: Mapping[tuple[str, str], str],
    history: History,
    made: Forecast,
) -> StepRun:
    component = step.ingredients.component
    if not set(made.open).isdisjoint(component.upstream):  # what it reads may turn out to be another's
        made.open.append(step.name)
        return step
    reads = {(one.component, one.output) for _, one in component.inputs if isinstance(one, UpstreamInput)}
    found = decide(
        step.ingredients, {one: outputs[one] for one in reads}, history, forced=step.name in execution.forced
    )
    kept = step.decision is found.decision and found.reuses is None
    step = replace(step, decision=found.decision, reasons=step.reasons if kept else found.reasons, key=found.key)
    if found.reuses is not None:
        made.reused.append(step.name)
        return replace(step, state=State.REUSED, result=found.reuses)
    (made.changed if found.decision is Decision.RUN else made.open).append(step.name)
    return step


def sought(pipeline: Pipeline, made: Forecast) -> dict[str, dict[str, str]]:
    """What a source must have made: step → output → digest, of the steps that what starts reads without running them."""
    found: dict[str, dict[str, str]] = {}
    for name in needed(pipeline, selected(pipeline, made.changed)):
        result = made.steps[name].result
        found[name] = dict(result.outputs) if result is not None else {}
    return found


def starting(pipeline: Pipeline, made: Forecast, sources: Collection[Source]) -> tuple[StepRun, ...]:
    """The steps that start together, in order, each with the reason why it runs."""
    chosen = best(pipeline, made.changed, sources)
    follow = selected(pipeline, made.changed)
    found = []
    for name in chosen.steps:
        step = made.steps[name]
        if name not in made.changed:
            why = _why(pipeline, name, follow) if name in follow else Reason("whole", name, chosen.why)
            step = replace(step, decision=Decision.RUN, reasons=(why,), result=None)
        found.append(step)
    return tuple(found)


def _why(pipeline: Pipeline, name: str, follow: Collection[str]) -> Reason:
    """Why a step runs that is only taken along: it reads what runs, or it decides whether something does."""
    component = pipeline.component(name)
    for upstream in component.upstream:
        if upstream in follow:
            return runs_with(component, upstream)
    inside = next(one.name for one in pipeline.components if name in one.upstream and one.name in follow)
    return Reason("upstream", inside, f"{inside} runs, and {name} is the condition that says whether it does")
