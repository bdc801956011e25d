"""Owns which components a change touches and why, against both sides' definitions; refuses to decide what runs.

Impact explains, the step key decides: whether a result exists already is the plan's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from service.domain.assessment import Assessment
from service.domain.change import Change
from service.domain.names import RepoPath
from service.domain.pipeline import Pipeline, downstream_of
from service.domain.reach import Where
from service.domain.step_key import Reason, difference


class Touch(StrEnum):
    """How a change reaches a component."""

    DIRECT = "direct"
    DOWNSTREAM = "downstream"
    REMOVED = "removed"
    UNTOUCHED = "untouched"


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change means for one component; ``reasons`` is empty only for ``untouched``."""

    touch: Touch
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Impact:
    """Every component of either side, and the changed files that touch none of them."""

    effects: tuple[tuple[Where, Effect], ...]
    without_effect: tuple[RepoPath, ...]


def impact(change: Change, old: Assessment | None, new: Assessment) -> Impact:
    """Compare two assessments; ``old=None`` means that there was no definition before."""
    effects: dict[Where, Effect] = {}
    for pipeline in new.manifest.pipelines:
        direct = {c.name: _own(old, new, (pipeline.name, c.name)) for c in pipeline.components}
        _spread(pipeline, direct, effects)
    for where in old.components if old else ():
        if where not in new.components:
            gone = Reason("declaration", where[1], f"component {where[1]} of {where[0]} is no longer declared")
            effects[where] = Effect(Touch.REMOVED, (gone,))
    return Impact(tuple(effects.items()), _without_effect(change, old, new))


def _own(old: Assessment | None, new: Assessment, where: Where) -> tuple[Reason, ...]:
    before = old.components.get(where) if old else None
    if before is None:
        return (Reason("first", where[1], f"component {where[1]} is new"),)
    now = new.components[where]
    return () if before is now else difference(before.parts, now.parts)


def _spread(pipeline: Pipeline, direct: dict[str, tuple[Reason, ...]], effects: dict[Where, Effect]) -> None:
    roots = [name for name, reasons in direct.items() if reasons]
    reached = downstream_of(pipeline, roots)
    for component in pipeline.components:
        where = (pipeline.name, component.name)
        if direct[component.name]:
            effects[where] = Effect(Touch.DIRECT, direct[component.name])
        elif component.name in reached:
            causes = [name for name in component.upstream if name in roots or name in reached]
            effects[where] = Effect(
                Touch.DOWNSTREAM, tuple(Reason("upstream", name, f"{name} may produce other output") for name in causes)
            )
        else:
            effects[where] = Effect(Touch.UNTOUCHED)


def _without_effect(change: Change, old: Assessment | None, new: Assessment) -> tuple[RepoPath, ...]:
    sides = [one for side in (old, new) if side is not None for one in side.components.values()]
    looked_at = frozenset(("refit.yaml",)).union(*(one.semantic | one.raw for one in sides))
    prefixes = tuple({prefix for one in sides for prefix in one.prefixes})
    widened = any(one.widened for one in sides)
    return tuple(
        file.path for file in change.files if not (widened or file.path in looked_at or file.path.startswith(prefixes))
    )


@dataclass(frozen=True)
class Findings:
    """All that is known of a commit before anything is planned: the change and both sides' assessments."""

    change: Change
    before: Assessment | None
    after: Assessment

    @cached_property
    def impact(self) -> Impact:
        """Computed for whoever explains: no decision waits for it."""
        return impact(self.change, self.before, self.after)
