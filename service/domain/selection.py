"""Owns which steps of a native pipeline run again when some changed, and when all of them must; refuses to start anything.

The rules of selective execution: the source is an execution of the same pipeline that succeeded or failed; at most fifty
steps; every step on a path between two selected ones is selected too, which descendants always are; what is read of steps that
are not selected must have been made by the source.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from service.domain.pipeline import Pipeline, downstream_of

MOST_SELECTED = 50
_USABLE = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Source:
    """An earlier execution: its name there, its status in SageMaker's words, and the steps that succeeded in it with the very
    outputs that are wanted."""

    name: str
    status: str
    succeeded: frozenset[str]


@dataclass(frozen=True, slots=True)
class Selection:
    """The ``steps`` to run, in order. ``source`` is where the outputs of others come from that they read. ``why`` says why the
    whole pipeline runs although not all of it changed."""

    steps: tuple[str, ...]
    source: Source | None
    why: str = ""


def select_steps(pipeline: Pipeline, changed: Collection[str], source: Source | None) -> Selection:
    """What to start when ``changed`` must run: they and all that depends on them; nothing if nothing changed."""
    names = tuple(component.name for component in pipeline.components)
    if not changed:
        return Selection((), source)
    wanted = selected(pipeline, changed)
    steps = tuple(name for name in names if name in wanted)
    why = _why_all(pipeline, wanted, source)
    return Selection(names, None, why) if why is not None else Selection(steps, source)


def best(pipeline: Pipeline, changed: Collection[str], sources: Collection[Source]) -> Selection:
    """The selection with the first source that serves; without one, the whole pipeline, for the first one's reason."""
    found = [select_steps(pipeline, changed, source) for source in sources]
    return next((one for one in found if one.source is not None), None) or (
        found[0] if found else select_steps(pipeline, changed, None)
    )


def needed(pipeline: Pipeline, steps: Collection[str]) -> tuple[str, ...]:
    """The steps that are not among ``steps`` and whose outputs these read: a source must have them."""
    reads = {name for step in steps for name in pipeline.component(step).upstream} - set(steps)
    return tuple(component.name for component in pipeline.components if component.name in reads)


def selected(pipeline: Pipeline, changed: Collection[str]) -> frozenset[str]:
    """Closed under descendants; a step inside a branch runs only if its condition is judged again, and so its other branch."""
    wanted = frozenset(changed)
    while True:
        more = wanted | downstream_of(pipeline, wanted)
        for component in pipeline.components:
            if component.name in more:
                more |= {name for name in component.upstream if _is_condition(pipeline, name)}
        if more == wanted:
            return wanted
        wanted = more


def _is_condition(pipeline: Pipeline, name: str) -> bool:
    native = pipeline.component(name).native
    return native is not None and native.kind == "Condition"


def _why_all(pipeline: Pipeline, wanted: frozenset[str], source: Source | None) -> str | None:
    """Why the whole pipeline must run; ``""`` if the selection is all of it, ``None`` if the selection may run alone."""
    if len(wanted) == len(pipeline.components):
        return ""
    if len(wanted) > MOST_SELECTED:
        return f"the whole pipeline runs: {len(wanted)} steps changed, and at most {MOST_SELECTED} can be selected"
    reads = needed(pipeline, wanted)
    if not reads:
        return None
    if source is None:
        return "the whole pipeline runs: no earlier execution has the outputs of the other steps"
    if source.status not in _USABLE:
        return f"the whole pipeline runs: {source.name} is {source.status}, and only one that succeeded or failed can be a source"
    for name in reads:
        if name not in source.succeeded:
            reader = next(one for one in pipeline.components if one.name in wanted and name in one.upstream)
            return (
                f"the whole pipeline runs: {reader.name} needs {name}, which did not succeed in {source.name} with the outputs "
                "that are wanted"
            )
    return None
