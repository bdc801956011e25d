"""Owns the geometry of timelines and trends; refuses colours, which the stylesheet gives by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from service.domain.execution import Execution, State, StepRun
from service.domain.lineage import Measurement
from service.domain.names import short
from service.web.pages.rendering import duration

_LEFT, _RIGHT, _ROW = 130, 900, 30
_WIDE, _HEIGHT, _TOP, _BOTTOM = 1140, 220, 14, 180


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt: from ``x``, so wide, of a class."""

    x: float
    width: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Row:
    """One step: its bars, and a sentence after them."""

    name: str
    y: int
    bars: tuple[Bar, ...]
    text: str
    text_x: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Rows under an axis of time."""

    width: int
    height: int
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]


def timeline(execution: Execution, now: datetime) -> Timeline:
    """Every attempt of every step since the execution was made."""
    start = execution.created_at
    times = [
        time for step in execution.steps for one in step.attempts for time in (one.started_at, one.ended_at) if time
    ]
    total = max(
        ((execution.ended_at or now) - start).total_seconds(), *((t - start).total_seconds() for t in times), 1.0
    )
    scale = (_RIGHT - _LEFT) / total

    def x(at: datetime) -> float:
        return round(_LEFT + max(0.0, (at - start).total_seconds()) * scale, 1)

    rows = []
    for number, step in enumerate(execution.steps):
        bars = tuple(
            Bar(x(one.started_at), max(3.0, round(x(one.ended_at or now) - x(one.started_at), 1)), one.seen.value,
                f"attempt {one.number}: {one.seen.value}")
            for one in step.attempts
            if one.started_at is not None
        )  # fmt: skip
        end = bars[-1].x + bars[-1].width if bars else float(_LEFT)
        rows.append(Row(step.name, 34 + number * _ROW, bars, _sentence(step, now), end + 8))
    ticks = tuple(Tick(_LEFT + (_RIGHT - _LEFT) * n / 5, duration(total * n / 5)) for n in range(6))
    return Timeline(_RIGHT + 190, 34 + len(rows) * _ROW, tuple(rows), ticks)


def _sentence(step: StepRun, now: datetime) -> str:
    if step.state is State.REUSED and step.result is not None:
        return f"reused, saved {duration(step.result.seconds)}"
    last = step.attempts[-1] if step.attempts else None
    if last is None or last.started_at is None:
        return {State.BLOCKED: "not started: blocked", State.CANCELLED: "not started: cancelled"}.get(
            step.state, "waits"
        )
    took = duration(((last.ended_at or now) - last.started_at).total_seconds())
    return f"{took} so far" if last.ended_at is None else f"{took}, attempt {last.number}" if last.number > 1 else took


@dataclass(frozen=True, slots=True)
class Dot:
    """One measurement; a dot beside the line is of another branch."""

    x: float
    y: float
    commit: str
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class Trend:
    """A metric over commits, oldest on the left."""

    width: int
    height: int
    line: str
    dots: tuple[Dot, ...]
    values: tuple[Tick, ...]
    commits: tuple[Tick, ...]
    latest: str


def trend(points: Sequence[Measurement], usual: str) -> Trend:
    """``usual`` is the ref whose values are joined by a line."""
    low, high = min(p.value for p in points), max(p.value for p in points)
    margin = (high - low) * 0.1 or abs(high) * 0.01 or 1.0
    low, high = low - margin, high + margin
    step = (_WIDE - 110) / max(1, len(points) - 1)

    def place(number: int, point: Measurement) -> Dot:
        y = _BOTTOM - (point.value - low) / (high - low) * (_BOTTOM - _TOP)
        kind = ("usual" if point.ref == usual else "other") + (" reused" if point.reused else "")
        title = f"{point.value:.6g} at {short(point.commit)} on {point.ref.removeprefix('refs/heads/')}"
        return Dot(round(70 + number * step, 1), round(y, 1), point.commit, title, kind)

    dots = tuple(place(number, point) for number, point in enumerate(points))
    line = " ".join(f"{dot.x},{dot.y}" for dot in dots if dot.kind.startswith("usual"))
    values = tuple(Tick(_BOTTOM - (_BOTTOM - _TOP) * n / 4, f"{low + (high - low) * n / 4:.4g}") for n in range(5))
    every = max(1, len(dots) // 8)
    commits = tuple(Tick(dot.x, short(dot.commit)[:7]) for dot in dots[::every])
    ours = [point.value for point in points if point.ref == usual] or [points[-1].value]
    return Trend(_WIDE, _HEIGHT, line, dots, values, commits, f"{ours[-1]:.6g}")
