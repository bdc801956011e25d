"""Owns how the demo looks: progress of one push, the table at the end; refuses to wait or to decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from service.cli.demo.story import STEPS, Played
from service.cli.output import STATE_STYLE, messages
from service.domain.names import short, shown

_MARKS = {"succeeded": "ran", "reused": "reused", "failed": "failed", "blocked": "blocked", "cancelled": "cancelled"}


def progress(execution: Mapping[str, Any]) -> Group:
    """One line for each step: its state, and why."""
    if not execution:
        return Group(Text("   waiting for the webhook …", style="dim"))
    lines = []
    for step in execution["steps"]:
        style = STATE_STYLE.get(step["state"], "")
        seconds = f" {step['seconds']:.1f} s" if step["seconds"] is not None else ""
        line = Text(f"   {step['component']:11}", no_wrap=True, overflow="ellipsis")
        line.append(f"{_MARKS.get(step['state'], step['state'])}{seconds}".ljust(14), style=style)
        line.append(shown(step["reasons"][0]["detail"]) if step["reasons"] else "", style="dim")
        lines.append(line)
    return Group(*lines)


def show_error(one: Played) -> None:
    """The traceback of what failed."""
    for step in one.execution["steps"]:
        if step["state"] == "failed" and step["attempts"]:
            for line in step["attempts"][-1]["error"].splitlines()[-6:]:
                messages.print(f"     {shown(line)}", style="red", markup=False, soft_wrap=True)


def ending(played: Sequence[Played], seconds: float) -> Table:
    """Commit, decision, why, time and time saved."""
    table = Table(title=f"\n{len(played)} pushes in {seconds:.0f} s", title_justify="left", box=None, pad_edge=False)
    for heading in ("commit", "what was pushed", *STEPS, "why", "time", "saved"):
        table.add_column(heading, overflow="fold", justify="right" if heading in ("time", "saved") else "left")
    for one in played:
        steps = {step["component"]: step for step in one.execution["steps"]}
        marks = [f"[{STATE_STYLE[steps[n]['state']]}]{_MARKS.get(steps[n]['state'])}[/]" for n in STEPS]
        ran = sum(step["seconds"] or 0.0 for step in steps.values())
        saved = one.execution["seconds_saved"]
        title = one.chapter.title.partition(":")[0]
        table.add_row(
            short(one.commit)[:8], escape(title), *marks, escape(_why(steps)), f"{ran:.1f} s", f"{saved:.1f} s"
        )
    total = sum(one.execution["seconds_saved"] for one in played)
    table.add_row("", "", "", "", "", "", "", f"{total:.1f} s", style="bold")
    return table


def _why(steps: Mapping[str, Mapping[str, Any]]) -> str:
    """The root cause: the first reason of the first step that had to run."""
    for name in STEPS:
        step = steps[name]
        if step["state"] in ("succeeded", "failed") and step["reasons"]:
            return shown(step["reasons"][0]["detail"])
    return "nothing that counts changed"
