"""Owns where the boxes and arrows of a graph stand; refuses colours, which the stylesheet gives by class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from service.domain.execution import Execution, State, StepRun
from service.web.pages.rendering import GLYPHS, duration

WIDTH, HEIGHT, GAP_X, GAP_Y, EDGE = 196, 50, 56, 16, 12
_MOST_BOXES = 250
"""More than that is no picture any more; the table beside it has everything."""


@dataclass(frozen=True, slots=True)
class Box:
    """A node: top-left corner in pixels, two lines of text, a class and perhaps a link."""

    x: int
    y: int
    title: str
    detail: str
    kind: str
    link: str = ""
    glyph: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes and arrows (as SVG path data) on a canvas of this size."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Node:
    """What a box will show, before it has its place."""

    title: str
    detail: str
    kind: str
    link: str
    glyph: str = ""


def dag(execution: Execution) -> Drawing:
    """An execution's steps, from left to right."""
    nodes = {
        step.name: _Node(
            step.name,
            _outcome(step),
            step.state.value,
            f"?{urlencode({'step': step.name})}#log",
            GLYPHS[step.state.value],
        )
        for step in execution.steps
    }
    return _laid_out(nodes, {step.name: list(step.ingredients.component.upstream) for step in execution.steps})


def _outcome(step: StepRun) -> str:
    last = step.attempts[-1] if step.attempts else None
    seconds = (last.ended_at - last.started_at).total_seconds() if last and last.ended_at and last.started_at else None
    match step.state:
        case State.REUSED if step.result is not None:
            return f"reused, saved {duration(step.result.seconds)}"
        case State.SUCCEEDED:
            return f"ran in {duration(seconds)}"
        case State.FAILED if last is not None and last.exit_code is not None:
            return f"exit code {last.exit_code}, attempt {last.number}"
        case State.RUNNING if last is not None:
            return f"running, attempt {last.number}"
        case State.WAITING:
            return f"{step.planned.value}: waits"
        case _:
            return step.state.value


def lineage_drawing(graph: Mapping[str, Any]) -> Drawing | None:
    """A lineage graph; what nothing here leads to or from (a commit that was satisfied only) is left to the table."""
    edges = _without_repeats([one for one in graph["edges"] if one["kind"] != "promoted"])
    joined = {end for edge in edges for end in edge}
    nodes = {
        node["id"]: _Node(
            node["label"], f"{node['kind']} {node['detail'][:17]}".strip(), node["kind"], _link(node["id"])
        )
        for node in graph["nodes"]
        if node["id"] in joined
    }
    if len(nodes) > _MOST_BOXES:
        return None
    upstream: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        upstream[target].append(source)
    return _laid_out(nodes, upstream)


def _without_repeats(edges: list[dict[str, str]]) -> list[tuple[str, str]]:
    """A commit points at the first steps that it ran only: what follows from them is plain from the picture."""
    makers = {edge["target"]: edge["source"] for edge in edges if edge["kind"] == "made"}
    commits = {edge["target"]: edge["source"] for edge in edges if edge["kind"] == "of"}
    follows = {
        edge["target"]
        for edge in edges
        if edge["kind"] == "read"
        and (maker := makers.get(edge["source"]))
        and commits.get(maker) == commits.get(edge["target"])
    }
    return [(one["source"], one["target"]) for one in edges if one["kind"] != "of" or one["target"] not in follows]


def _link(node: str) -> str:
    kind, _, rest = node.partition(":")
    match kind:
        case "commit":
            return f"/commits/{rest}"
        case "result" | "model":
            return f"/lineage?{kind}={quote(rest)}"
        case "artifact":
            return f"/lineage?{urlencode({'digest': rest})}"
        case "metric":
            result, _, name = rest.partition("/")
            return f"/lineage?{urlencode({'result': result, 'metric': name})}"
        case _:
            return f"/lineage?{urlencode({'digest': rest.rpartition('@')[2]})}"


def _laid_out(nodes: Mapping[str, _Node], upstream: Mapping[str, list[str]]) -> Drawing:
    columns = _columns(upstream)
    stacks: dict[int, list[str]] = {}
    for name in upstream:
        stacks.setdefault(columns[name], []).append(name)
    tallest = max((len(stack) for stack in stacks.values()), default=1)
    places: dict[str, tuple[int, int]] = {}
    for column, stack in stacks.items():
        top = EDGE + (tallest - len(stack)) * (HEIGHT + GAP_Y) // 2
        for row, name in enumerate(stack):
            places[name] = (EDGE + column * (WIDTH + GAP_X), top + row * (HEIGHT + GAP_Y))
    boxes = tuple(
        Box(
            *places[name], _cut(one.title, 20 if one.glyph else 23), _cut(one.detail, 27), one.kind, one.link, one.glyph
        )
        for name, one in nodes.items()
    )
    arrows = tuple(_arrow(places[need], places[name]) for name, needs in upstream.items() for need in needs)
    width = 2 * EDGE + (max(columns.values(), default=0) + 1) * (WIDTH + GAP_X) - GAP_X
    return Drawing(width, 2 * EDGE + tallest * (HEIGHT + GAP_Y) - GAP_Y, boxes, arrows)


def _columns(upstream: Mapping[str, list[str]]) -> dict[str, int]:
    """The longest path from the left; bounded, should a graph ever hold a cycle."""
    column = dict.fromkeys(upstream, 0)
    for _ in upstream:
        found = {name: 1 + max((column[need] for need in needs), default=-1) for name, needs in upstream.items()}
        if found == column:
            break
        column = found
    for name in (name for name, needs in upstream.items() if not needs):  # what nothing leads to stands by its use
        column[name] = min((column[other] - 1 for other, needs in upstream.items() if name in needs), default=0)
    return column


def _arrow(source: tuple[int, int], target: tuple[int, int]) -> str:
    x1, y1 = source[0] + WIDTH, source[1] + HEIGHT // 2
    x2, y2 = target[0], target[1] + HEIGHT // 2
    bend = max(20, (x2 - x1) // 2)
    return f"M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2 - 3} {y2}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
