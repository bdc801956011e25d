"""Owns the DAG that ``refit.yaml`` declares at one commit; refuses to know how the file was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class RepositoryInput:
    """A file or folder of the repository, or a DVC-tracked path beside its ``.dvc`` pointer."""

    path: str


@dataclass(frozen=True, slots=True)
class UriInput:
    """Data outside git (``s3://…``, ``azureml:…``); its version must be resolvable, or the step counts as changed."""

    uri: str


@dataclass(frozen=True, slots=True)
class UpstreamInput:
    """An output of another component of the same pipeline."""

    component: str
    output: str


Input = RepositoryInput | UriInput | UpstreamInput


@dataclass(frozen=True, slots=True)
class Limits:
    """How a step may be carried out; never part of a step key, since none of it can change a result.

    ``timeout`` is in seconds (``None``: the backend's own), ``retries`` counts attempts after the first.
    """

    timeout: float | None = None
    retries: int = 0
    instance: str | None = None


@dataclass(frozen=True, slots=True)
class NativeStep:
    """What is known of a step that the vendor's own definition declares. ``kind`` is its type there. ``ships`` are the
    repository's files that its container gets: nothing else of the repository is in its reach. ``always`` says why no earlier
    result can stand for it, ``notes`` what is doubtful. ``starts`` are Python files among ``ships`` that it starts besides
    ``run``; ``root`` is the folder that it works in, if that is known: imports find nothing outside it."""

    kind: str
    ships: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    root: str | None = None


@dataclass(frozen=True, slots=True)
class Hint:
    """What refit.yaml adds about a step of a native definition. ``constant_inputs`` are inputs outside git whose content is
    the same as long as their URI is."""

    params: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    constant_inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Native:
    """A definition in the vendor's own terms: the file (with ``:function``, where that is not given by the vendor), what its
    function is called with (name, JSON), hints by step. A definition that is not the commit's own was ``taken_from`` another:
    nobody may run what it made for this one."""

    vendor: str
    path: str
    arguments: tuple[tuple[str, str], ...] = ()
    hints: tuple[tuple[str, Hint], ...] = ()
    taken_from: str = ""


@dataclass(frozen=True, slots=True)
class Component:
    """One step of a pipeline as declared. ``settings`` are the ``with:`` entries that can change a result; of a ``native``
    step they are what its definition says, and ``run`` is empty if no script of the repository is known to start it."""

    name: str
    run: str
    params: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    inputs: tuple[tuple[str, Input], ...] = ()
    outputs: tuple[str, ...] = ()
    metrics: str | None = None
    settings: tuple[tuple[str, str], ...] = ()
    limits: Limits = Limits()
    native: NativeStep | None = None

    @property
    def upstream(self) -> tuple[str, ...]:
        """Names of the components whose outputs this one reads, without repeats, in order."""
        return tuple(dict.fromkeys(i.component for _, i in self.inputs if isinstance(i, UpstreamInput)))

    @property
    def products(self) -> tuple[str, ...]:
        """Everything the step must leave behind: its outputs, and its metrics under the name ``metrics``."""
        return (*self.outputs, "metrics") if self.metrics else self.outputs


@dataclass(frozen=True, slots=True)
class Registration:
    """Which output becomes a version of which registered model."""

    component: str
    output: str
    model: str


@dataclass(frozen=True)
class Pipeline:
    """A DAG of components in topological order, with what it shares: environment files and ignored paths. One that is
    ``native`` has no components until its definition was compiled."""

    name: str
    backend: str
    components: tuple[Component, ...]
    environment: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    register: Registration | None = None
    native: Native | None = None

    @cached_property
    def text(self) -> str:
        """All that it declares; equal for equal pipelines only."""
        return repr(self)

    def component(self, name: str) -> Component:
        """The component of that name; ``KeyError`` if there is none."""
        return next_named(self.components, name)


@dataclass(frozen=True, slots=True)
class Triggers:
    """Branch patterns that start executions; empty means never."""

    push: tuple[str, ...] = ()
    pull_request: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """A valid ``refit.yaml``."""

    triggers: Triggers
    pipelines: tuple[Pipeline, ...]

    def pipeline(self, name: str) -> Pipeline | None:
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> Mapping[str, Pipeline]:
        return {pipeline.name: pipeline for pipeline in self.pipelines}


def next_named(components: Iterable[Component], name: str) -> Component:
    """The component called ``name``; ``KeyError`` names it otherwise."""
    for component in components:
        if component.name == name:
            return component
    raise KeyError(name)


def in_order(upstream: Mapping[str, Iterable[str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names in topological order (declaration order where free), and the names left over because they form a cycle."""
    waiting = {name: set(needs) & set(upstream) for name, needs in upstream.items()}
    order: list[str] = []
    while True:
        ready = [name for name, needs in waiting.items() if not needs]
        if not ready:
            return tuple(order), tuple(waiting)
        order += ready
        for name in ready:
            del waiting[name]
        for needs in waiting.values():
            needs.difference_update(ready)


def downstream_of(pipeline: Pipeline, roots: Iterable[str]) -> frozenset[str]:
    """Every component that reads, directly or not, what ``roots`` make; the roots themselves excluded."""
    reached = set(roots)
    start = frozenset(reached)
    for component in pipeline.components:
        if reached.intersection(component.upstream):
            reached.add(component.name)
    return frozenset(reached - start)
