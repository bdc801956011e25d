"""Owns where the boxes and arrows of a graph stand; refuses colours, which the stylesheet gives by class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.execution import Execution

WIDTH, HEIGHT, GAP_X, GAP_Y = 190, 46, 60, 18


@dataclass(frozen=True, slots=True)
class Box:
    """A node: top-left corner in pixels, two lines of text, a class and perhaps a link."""

    x: int
    y: int
    title: str
    detail: str
    kind: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes and arrows (as SVG path data) on a canvas of this size."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[str, ...]


def dag(execution: Execution) -> Drawing:
    """An execution's steps, from left to right."""
    upstream = {step.name: step.ingredients.component.upstream for step in execution.steps}
    details = {step.name: f"{(step.decision or step.planned).value} · {step.state.value}" for step in execution.steps}
    kinds = {step.name: step.state.value for step in execution.steps}
    links = {step.name: f"?step={step.name}#log" for step in execution.steps}
    return _laid_out(upstream, {name: name for name in upstream}, details, kinds, links)


def lineage_drawing(graph: Mapping[str, Any]) -> Drawing:
    """A lineage graph without its metrics, which are many and lead nowhere."""
    nodes = {node["id"]: node for node in graph["nodes"] if node["kind"] != "metric"}
    upstream: dict[str, list[str]] = {name: [] for name in nodes}
    for edge in graph["edges"]:
        if edge["source"] in nodes and edge["target"] in nodes and edge["kind"] != "promoted":
            upstream[edge["target"]].append(edge["source"])
    links = {name: f"/commits/{name[7:]}" for name in nodes if name.startswith("commit:")}
    return _laid_out(
        upstream,
        {name: node["label"] for name, node in nodes.items()},
        {name: f"{node['kind']} {node['detail'][:17]}" for name, node in nodes.items()},
        {name: node["kind"] for name, node in nodes.items()},
        links,
    )


def _laid_out(
    upstream: Mapping[str, Iterable[str]],
    titles: Mapping[str, str],
    details: Mapping[str, str],
    kinds: Mapping[str, str],
    links: Mapping[str, str],
) -> Drawing:
    column: dict[str, int] = {}
    for _ in range(len(upstream)):  # longest path from the left; bounded, should a graph ever hold a cycle
        changed = False
        for name, needs in upstream.items():
            at = 1 + max((column.get(need, 0) for need in needs), default=-1)
            if column.get(name) != at:
                column[name], changed = at, True
        if not changed:
            break
    rows: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for name in upstream:
        row = rows.get(column[name], 0)
        rows[column[name]] = row + 1
        places[name] = (10 + column[name] * (WIDTH + GAP_X), 10 + row * (HEIGHT + GAP_Y))
    boxes = tuple(Box(*places[n], _cut(titles[n]), _cut(details[n]), kinds[n], links.get(n, "")) for n in upstream)
    arrows = tuple(_arrow(places[need], places[name]) for name, needs in upstream.items() for need in needs)
    width = 20 + (max(column.values(), default=0) + 1) * (WIDTH + GAP_X) - GAP_X
    height = 20 + max(rows.values(), default=1) * (HEIGHT + GAP_Y) - GAP_Y
    return Drawing(width, height, boxes, arrows)


def _arrow(source: tuple[int, int], target: tuple[int, int]) -> str:
    x1, y1 = source[0] + WIDTH, source[1] + HEIGHT // 2
    x2, y2 = target[0], target[1] + HEIGHT // 2
    bend = max(20, (x2 - x1) // 2)
    return f"M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2 - 6} {y2}"


def _cut(text: str) -> str:
    return text if len(text) <= 24 else text[:23] + "…"
