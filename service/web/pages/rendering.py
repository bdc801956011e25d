"""Owns how values become text on a page; refuses markup from anything but a template: everything else is escaped."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from service.domain.execution import ENDED, Status
from service.domain.names import short
from service.domain.step_key import abbreviated
from service.web.auth import services_of

LIVE = frozenset(status.value for status in Status if status not in ENDED)
GLYPHS = {
    "succeeded": "✓",
    "passed": "✓",
    "reused": "↻",
    "running": "●",
    "waiting": "○",
    "failed": "✗",
    "blocked": "–",
    "cancelled": "–",
}
WORDS = {"succeeded": "ran", "reused": "reused", "running": "running", "waiting": "waiting", "failed": "failed",
         "blocked": "blocked", "cancelled": "cancelled"}  # fmt: skip


def page(request: Request, name: str, **values: Any) -> HTMLResponse:
    """One page; ``live`` makes it look again by itself."""
    return _templates.TemplateResponse(request, name, {"version": services_of(request).version, **values})


def duration(seconds: float | None) -> str:
    """``0.4 s``, ``12 s``, ``3m 05s``, ``1h 02m``."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m {rest:02}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60:02}m"


def moment(at: datetime | None) -> str:
    return at.strftime("%d %b %H:%M:%S") if at else ""


def branch(ref: str) -> str:
    """A ref as people say it."""
    if ref.startswith("refs/pull/"):
        return "#" + ref.removeprefix("refs/pull/").removesuffix("/head")
    return ref.removeprefix("refs/heads/").removeprefix("refs/")


def tally(steps: list[dict[str, Any]]) -> str:
    """``2 ran, 1 reused``."""
    states = [step["state"] for step in steps]
    return ", ".join(f"{states.count(state)} {word}" for state, word in WORDS.items() if state in states)


_templates = Jinja2Templates(directory=Path(__file__).parent / "templates")
_templates.env.filters |= {
    "short": short,
    "abbreviated": abbreviated,
    "branch": branch,
    "moment": moment,
    "duration": duration,
    "tally": tally,
}
_templates.env.globals |= {"glyphs": GLYPHS, "words": WORDS}
