"""Owns the decision for every step, run, reuse or pending, with its reasons; refuses to carry anything out.

A step's *static key* covers all that is known before anything runs; its *key* adds the contents of upstream outputs. A
step whose static key no result has must run; one whose static key is known waits for its upstream to know its key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from service.domain.assessment import Assessment
from service.domain.ingredients import Ingredients
from service.domain.names import short
from service.domain.pipeline import Component, Pipeline, UpstreamInput
from service.domain.step_key import Part, PartKind, Parts, Reason, difference, key_of


class Decision(StrEnum):
    """What a plan says of a step. *Decision* and *outcome* are two things."""

    RUN = "run"
    REUSE = "reuse"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Result:
    """A successful run as planning sees it. ``outputs`` maps output name → content digest; ``parts`` are the full key's.

    ``available`` is false once its outputs can no longer be read.
    """

    id: str
    component: str
    key: str
    static_key: str
    parts: Parts
    outputs: Mapping[str, str]
    execution: str
    commit: str
    seconds: float
    available: bool = True


@dataclass(frozen=True, slots=True)
class History:
    """What planning may know of the past, fetched beforehand.

    ``results``: every result whose static key occurs in the assessment, newest first. ``baseline``: for each component
    the last success to compare with (the ref's own history first, else the base's): it explains, it never decides.
    ``failed``: keys and static keys whose last attempt failed → the execution where. ``in_flight``: keys being computed
    now → the execution.
    """

    results: tuple[Result, ...] = ()
    baseline: Mapping[str, Result] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    in_flight: Mapping[str, str] = field(default_factory=dict)

    @property
    def outputs(self) -> frozenset[str]:
        """Digests of all that its results made: whether they are still there is the backend's to say."""
        return frozenset(digest for result in self.results for digest in result.outputs.values())

    def without(self, gone: frozenset[str]) -> History:
        """The same, if these outputs can no longer be read."""
        if not gone:
            return self
        there = (
            one if gone.isdisjoint(one.outputs.values()) else replace(one, available=False) for one in self.results
        )
        return replace(self, results=tuple(there))

    def find(self, key: str) -> Result | None:
        return next((r for r in self.results if r.key == key and r.available), None)

    def lost(self, key: str) -> Result | None:
        return next((r for r in self.results if r.key == key and not r.available), None)

    def knows(self, static_key: str) -> bool:
        return any(r.static_key == static_key and r.available for r in self.results)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan. ``key`` is ``None`` while upstream outputs are unknown; ``reuses`` is the result taken over
    (``None`` for a reuse of what is still in flight)."""

    ingredients: Ingredients
    decision: Decision
    reasons: tuple[Reason, ...]
    static_key: str
    key: str | None
    reuses: Result | None = None

    @property
    def component(self) -> Component:
        return self.ingredients.component


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of one pipeline at one commit, in topological order, and the components that the head dropped."""

    pipeline: Pipeline
    base: str | None
    head: str
    steps: tuple[Step, ...]
    removed: tuple[str, ...] = ()

    @property
    def is_idle(self) -> bool:
        """Whether nothing needs to run: the commit is satisfied by earlier results."""
        return all(step.reuses is not None for step in self.steps)


def make_plan(
    pipeline: Pipeline,
    assessment: Assessment,
    history: History,
    *,
    base: str | None,
    head: str,
    before: Assessment | None = None,
    forced: Collection[str] = (),
) -> Plan:
    """Decide every step. ``before`` names the components that the base had; ``forced`` must run whatever the past."""
    steps: dict[str, Step] = {}
    for component in pipeline.components:
        ingredients = assessment.components[pipeline.name, component.name].ingredients
        outputs, unknown = _known_outputs(component, steps, forced)
        known = None if unknown else outputs
        steps[component.name] = decide(ingredients, known, history, forced=component.name in forced, waits_for=unknown)
    declared = before.manifest.pipeline(pipeline.name) if before else None
    removed = tuple(c.name for c in declared.components if c.name not in steps) if declared else ()
    return Plan(pipeline, base, head, tuple(steps.values()), removed)


def decide(
    ingredients: Ingredients,
    outputs: Mapping[tuple[str, str], str] | None,
    history: History,
    *,
    forced: bool = False,
    waits_for: Collection[str] = (),
) -> Step:
    """Decide one step; ``outputs`` are the digests of the upstream outputs it reads, ``None`` while any is unknown:
    then ``waits_for`` names the components that have yet to make one."""
    component, static_key = ingredients.component, ingredients.static_key
    key = None if outputs is None else full_key(static_key, component, outputs)

    def step(decision: Decision, reasons: Iterable[Reason], reuses: Result | None = None) -> Step:
        return Step(ingredients, decision, tuple(reasons), static_key, key, reuses)

    baseline = history.baseline.get(component.name)
    if forced:
        return step(Decision.RUN, [Reason("forced", component.name, "asked for by a person")])
    if ingredients.unknowable:
        return step(Decision.RUN, [Reason("uncertain", component.name, why) for why in ingredients.unknowable])
    if outputs is not None and key is not None:
        found = history.find(key)
        if found is not None:
            return step(Decision.REUSE, [reused(component, found)], found)
        if key in history.in_flight:
            execution = history.in_flight[key]
            why = f"execution {execution} is computing this very content; its result is taken over"
            return step(Decision.REUSE, [Reason("in-flight", component.name, why)])
        parts = full_parts(ingredients.parts, component, outputs)
        return step(Decision.RUN, explain(component, parts, key, baseline, history))
    if component.native is not None:
        return step(Decision.RUN, [runs_with(component, name) for name in waits_for or component.upstream])
    if history.knows(static_key):
        return step(Decision.PENDING, _waiting(component, waits_for or component.upstream))
    compare = _without_upstream(baseline.parts) if baseline else None
    return step(Decision.RUN, explain(component, ingredients.parts, static_key, baseline, history, compare=compare))


def full_parts(parts: Parts, component: Component, outputs: Mapping[tuple[str, str], str]) -> Parts:
    """The static parts plus one for each upstream output read."""
    upstream = {
        Part(PartKind.UPSTREAM, f"{source.component}.{source.output}", outputs[source.component, source.output])
        for _, source in component.inputs
        if isinstance(source, UpstreamInput)
    }
    return tuple(sorted({*parts, *upstream}))


def full_key(static_key: str, component: Component, outputs: Mapping[tuple[str, str], str]) -> str:
    """The step key: the static key itself for a step that reads no upstream output."""
    upstream = full_parts((), component, outputs)
    return key_of((Part(PartKind.ALGORITHM, "static", static_key), *upstream)) if upstream else static_key


def foreseen(component: Component, key: str, once: str = "") -> dict[str, str]:
    """Output → digest, of a native step, before it runs: its key stands for the content, so that all that reads it follows
    when it changes. ``once``, a token, sets them apart from whatever an equal key has made or will make."""
    seed = f"{key} {once}" if once else key
    return {name: f"sha256:{hashlib.sha256(f'{seed}#{name}'.encode()).hexdigest()}" for name in component.outputs}


def runs_once(ingredients: Ingredients, forced: Collection[str]) -> bool:
    """Whether what a step makes stands for this run alone: a person asked for it, or nobody can know what it makes."""
    return ingredients.component.name in forced or bool(ingredients.unknowable)


def explain(
    component: Component,
    parts: Parts,
    key: str,
    baseline: Result | None,
    history: History,
    *,
    compare: Parts | None = None,
) -> tuple[Reason, ...]:
    """Why a step must run; never empty."""
    reasons: list[Reason] = []
    if baseline is None:
        reasons.append(Reason("first", component.name, f"{component.name} has not succeeded before"))
    else:
        reasons += difference(compare if compare is not None else baseline.parts, parts)
    if key in history.failed:
        reasons.append(
            Reason("failed-before", component.name, f"its last run with this content failed in {history.failed[key]}")
        )
    lost = history.lost(key)
    if lost is not None:
        reasons.append(Reason("lost", component.name, f"the outputs of {lost.execution} can no longer be read"))
    if not reasons:
        reasons.append(Reason("first", component.name, "no successful run with this content is known"))
    return tuple(reasons)


def reused(component: Component, found: Result) -> Reason:
    """The reason for a reuse, which names where the result comes from."""
    where = f"{found.execution} at {short(found.commit)}" if found.execution else short(found.commit)
    return Reason("unchanged", component.name, f"nothing that can change its result did; reuses {where}")


def runs_with(component: Component, upstream: str) -> Reason:
    """Why a native step runs though nothing of its own changed."""
    return Reason(
        "upstream", upstream, f"{upstream} runs, and with it all that depends on it; so does {component.name}"
    )


def _waiting(component: Component, upstream: Collection[str]) -> list[Reason]:
    return [
        Reason("upstream", name, f"{name} runs; {component.name} is needed only if what it reads of it changes")
        for name in upstream
    ]


def _known_outputs(
    component: Component, steps: Mapping[str, Step], forced: Collection[str]
) -> tuple[dict[tuple[str, str], str], tuple[str, ...]]:
    """Digests of the upstream outputs that come from a result which exists already, or are foreseen; and who has yet to make
    the others."""
    outputs: dict[tuple[str, str], str] = {}
    unknown: list[str] = []
    for _, source in component.inputs:
        if isinstance(source, UpstreamInput):
            made = steps[source.component]
            digest = made.reuses.outputs.get(source.output) if made.reuses else None
            once = runs_once(made.ingredients, forced)
            if digest is None and made.component.native is not None and made.key is not None and not once:
                digest = foreseen(made.component, made.key).get(source.output)
            if digest is None:
                unknown.append(source.component)
            else:
                outputs[source.component, source.output] = digest
    return outputs, tuple(dict.fromkeys(unknown))


def _without_upstream(parts: Parts) -> Parts:
    return tuple(part for part in parts if part.kind is not PartKind.UPSTREAM)


def presumed(pipeline: Pipeline, before: Assessment | None) -> History:
    """A history in which the base has succeeded, for planning without a database: each upstream key stands in for the
    content of the outputs that nobody has computed. A step whose data has no version has no result that could be reused,
    but what reads its outputs is not new for that."""
    if before is None or (known := before.manifest.pipeline(pipeline.name)) is None:
        return History()
    made: dict[tuple[str, str], str] = {}
    results: dict[str, Result] = {}
    for component in known.components:
        ingredients = before.components[known.name, component.name].ingredients
        read = [source for _, source in component.inputs if isinstance(source, UpstreamInput)]
        outputs = {(s.component, s.output): made[s.component, s.output] for s in read}
        key = full_key(ingredients.static_key, component, outputs)
        own = {name: f"step:{key}#{name}" for name in component.products}
        made |= {(component.name, name): digest for name, digest in own.items()}
        if ingredients.unknowable:
            continue
        results[component.name] = Result(
            id="",
            component=component.name,
            key=key,
            static_key=ingredients.static_key,
            parts=full_parts(ingredients.parts, component, outputs),
            outputs=own,
            execution="",
            commit="the base",
            seconds=0.0,
        )
    return History(results=tuple(results.values()), baseline=results)
