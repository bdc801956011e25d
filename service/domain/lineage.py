"""Owns the record of a finished step and the graph of what made what, both ways; refuses to look records up.

The vocabulary is OpenLineage's where it has one: a result is a run of a job with input and output datasets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from service.domain.execution import Artifact
from service.domain.step_key import Parts


@dataclass(frozen=True, slots=True)
class InputRecord:
    """What a step read: ``source`` is ``git:<path>``, ``uri:<uri>`` or ``result:<result id>#<output>``."""

    name: str
    source: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """Everything known of one successful step: who, from which commit, through what, made what."""

    id: str
    repository: str
    pipeline: str
    component: str
    execution: str
    commit: str
    tree: str
    ref: str
    pull_request: int | None
    author: str
    key: str
    static_key: str
    parts: Parts
    parameters: Mapping[str, str]
    environment: str
    backend: str
    job: str
    attempt: int
    started_at: datetime
    ended_at: datetime
    inputs: tuple[InputRecord, ...]
    outputs: tuple[Artifact, ...]
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class Promotion:
    """``commit`` needed this step and is satisfied by an earlier ``result``: nothing ran."""

    execution: str
    repository: str
    pipeline: str
    component: str
    commit: str
    ref: str
    result: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """Where every pipeline stands at a commit that was planned for a ref. ``executions`` maps each pipeline to the
    execution that speaks for it: one of this planning's own (``fresh``), or, for a pipeline that the commit leaves alone,
    the earlier success that goes on standing. ``marks``: see ``Assessment.marks``; kept for a ref's newest standing only.
    """

    id: str
    repository: str
    ref: str
    commit: str
    trigger: str
    at: datetime
    executions: Mapping[str, str]
    fresh: frozenset[str]
    marks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelEvent:
    """A model version got this status: through whom, when, and why."""

    status: str
    by: str
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered model: version ``version`` (from 1) of ``name`` is output ``output`` of ``result``. ``status`` is that
    of the last of its ``events``, oldest first."""

    name: str
    version: int
    repository: str
    result: str
    output: str
    digest: str
    execution: str
    commit: str
    status: str
    created_at: datetime
    metrics: Mapping[str, float] = field(default_factory=dict)
    events: tuple[ModelEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric's value at a commit: measured by ``execution`` itself or, if ``reused``, by the earlier ``result`` that
    satisfies the commit."""

    value: float
    repository: str
    pipeline: str
    component: str
    commit: str
    ref: str
    execution: str
    result: str
    at: datetime
    reused: bool


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a lineage graph. ``kind``: commit, file, result, artifact, model or metric."""

    id: str
    kind: str
    label: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """``source`` went into, or made, ``target``; ``kind``: read, made, of, promoted, registered or measured."""

    source: str
    target: str
    kind: str


@dataclass(frozen=True, slots=True)
class Graph:
    """A lineage graph, nodes and edges in a stable order and without repeats."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def graph(
    results: Iterable[ResultRecord], promotions: Iterable[Promotion] = (), models: Iterable[ModelVersion] = ()
) -> Graph:
    """Everything that connects these records: commits, files and upstream artifacts in; artifacts, metrics, models out."""
    nodes: dict[str, Node] = {}
    edges: dict[Edge, None] = {}

    def node(kind: str, ident: str, label: str, detail: str = "") -> str:
        name = f"{kind}:{ident}"
        nodes.setdefault(name, Node(name, kind, label, detail))
        return name

    for result in results:
        here = node("result", result.id, f"{result.pipeline}/{result.component}", result.execution)
        edges[Edge(node("commit", result.commit, result.commit[:10], result.author), here, "of")] = None
        for read in result.inputs:
            kind, _, rest = read.source.partition(":")
            kind = "artifact" if kind == "result" else "file"
            label = rest.partition("#")[2] if kind == "artifact" else rest
            ident = read.digest if kind == "artifact" else f"{rest}@{read.digest}"
            edges[Edge(node(kind, ident, label, read.digest), here, "read")] = None
        for made in result.outputs:
            edges[Edge(here, node("artifact", made.digest, made.name, made.digest), "made")] = None
        for name, value in sorted(result.metrics.items()):
            edges[Edge(here, node("metric", f"{result.id}/{name}", f"{name} = {value:.6g}"), "measured")] = None
    for promotion in promotions:
        commit = node("commit", promotion.commit, promotion.commit[:10])
        edges[Edge(f"result:{promotion.result}", commit, "promoted")] = None
    for model in models:
        name = node("model", f"{model.name}/{model.version}", f"{model.name} v{model.version}", model.status)
        artifact = node("artifact", model.digest, model.output, model.digest)
        edges[Edge(artifact, name, "registered")] = None
    return Graph(tuple(nodes.values()), tuple(edge for edge in edges if edge.source in nodes and edge.target in nodes))
