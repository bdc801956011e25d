"""Owns how the command line speaks: results on stdout, messages and progress on stderr; refuses to decide anything."""

from __future__ import annotations

import json
import sys

from rich.console import Console

OK, ERROR, USAGE, WORK_TO_DO, GATE_FAILED, EXECUTION_FAILED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

messages = Console(stderr=True, highlight=False)
"""For people: progress, notes, errors. Honours ``NO_COLOR`` and a stderr that is no terminal."""
results = Console(highlight=False, soft_wrap=True)
"""For people too, but what they asked for."""

DECISION_STYLE = {"run": "yellow", "reuse": "green", "pending": "cyan"}
STATE_STYLE = {
    "succeeded": "yellow",
    "reused": "green",
    "failed": "bold red",
    "blocked": "red",
    "cancelled": "dim",
    "superseded": "dim",
    "running": "cyan",
    "waiting": "dim",
    "queued": "dim",
    "approved": "green",
    "rejected": "red",
    "rolled_back": "red",
}


def print_json(value: object) -> None:
    """One JSON document on stdout, safe for any byte a path may hold."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def fail(message: str, code: int) -> int:
    """Say what went wrong and return the exit code."""
    messages.print(f"refit: {message}", style="red", markup=False, soft_wrap=True)
    return code
