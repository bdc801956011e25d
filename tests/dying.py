"""Owns the end of a process by its own hand at a named point, as SIGKILL would end it there; refuses to clean up."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Any

Place = tuple[Any, str]
"""Whose attribute, and its name."""


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(point: str, before: Mapping[str, Place], after: Mapping[str, Place]) -> None:
    """Have this process die instead of the call that the point names, or as that call returns."""
    if point in before:
        owner, name = before[point]
        setattr(owner, name, die)
    else:
        owner, name = after[point]
        act = getattr(owner, name)
        setattr(owner, name, lambda *given, **more: (act(*given, **more), die()))
