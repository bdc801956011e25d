"""Owns why a step failed: its container's word and the lines that explain it; refuses to read a log."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

_EXIT = re.compile(r"the step ended with (?:exit code (\d{1,3})|killed by (SIG[A-Z0-9+-]{2,12}))")
ERROR_LINES = 40
"""Of a log, in an error."""


def explained(why: str, tail: Sequence[tuple[str, str]], otherwise: Sequence[str] = ()) -> tuple[str, int | None]:
    """The error and the exit code. ``tail`` are the log's last lines, stream and text; what the step said on its standard
    error explains best, then Refit's own words, then its standard output, then ``otherwise``."""
    by_stream = {name: [text for stream, text in tail if stream == name] for name in ("stderr", "refit", "stdout")}
    by_stream["refit"] = [text for text in by_stream["refit"] if text != why and not text.startswith("running ")]
    lines = next((lines for lines in by_stream.values() if lines), otherwise)
    return "\n".join([why, *lines[-ERROR_LINES:]]), _exit_code(why)


def _exit_code(why: str) -> int | None:
    found = _EXIT.match(why)
    if found is None:
        return None
    if found.group(1):
        return int(found.group(1))
    return -getattr(signal, found.group(2), 0) or None
