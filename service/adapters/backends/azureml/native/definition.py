"""Owns a pipeline's document → the components that Refit decides about, in order; refuses to read files, and to trust a value
that another compile of the same commit gives differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.adapters.backends.azureml.native.jobs import jobs_of
from service.adapters.backends.azureml.native.sources import Sources, Where, refused
from service.adapters.backends.azureml.native.steps import Step
from service.adapters.backends.sandbox.values import differing
from service.domain.names import shown
from service.domain.pipeline import Component, Hint, in_order


def components_of(
    document: Mapping[str, Any],
    where: Where,
    sources: Sources,
    hints: Mapping[str, Hint],
    arguments: Mapping[str, Any],
    again: Mapping[str, Any] | None = None,
) -> tuple[Component, ...]:
    """The steps in topological order. ``arguments`` take the place of the pipeline's inputs; ``again`` is the same document as
    another compile gave it. ``Refused`` says what is wrong and where."""
    steps = _steps(document, where, sources, hints, arguments)
    later = _steps(again, where, sources, hints, arguments) if again is not None and again != document else steps
    if steps.keys() != later.keys():
        other = sorted(steps.keys() ^ later.keys())[0]
        raise refused(where, f"the job name {shown(other)} differs at every compile; give each job a constant name")
    if unknown := sorted(hints.keys() - steps.keys()):
        raise refused(
            where, f"refit.yaml has hints for {unknown[0]}, which is no job; there is {', '.join(sorted(steps))}"
        )
    read: dict[str, dict[str, None]] = {name: {} for name in steps}
    for step in steps.values():
        for name, output in step.edges():
            read[name][output] = None
    found = {}
    for name, step in steps.items():
        was, now = step.settings(), later[name].settings()
        found[name] = step.component(was, read[name], differing(was, now))
    order, left = in_order({name: one.upstream for name, one in found.items()})
    if left:
        raise refused(where, f"these jobs need each other in a cycle: {', '.join(left)}")
    return tuple(found[name] for name in order)


def _steps(
    document: Mapping[str, Any],
    where: Where,
    sources: Sources,
    hints: Mapping[str, Hint],
    arguments: Mapping[str, Any],
) -> dict[str, Step]:
    jobs = jobs_of(document, where, sources, arguments)
    return {job.name: Step(job, sources, hints.get(job.name, Hint())) for job in jobs}
