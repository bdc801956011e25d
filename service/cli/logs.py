"""Owns the log lines of verbs that start a server or a worker; refuses them to the verbs that only plan, which must not wait
for the library."""

from __future__ import annotations

import logging
import sys

import structlog


def log_to_stderr(*, quiet: bool) -> None:
    """Structured log lines on stderr, as JSON unless it is a terminal; only warnings when ``quiet``."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.dict_tracebacks,
            *([] if sys.stderr.isatty() else [structlog.processors.JSONRenderer()]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING if quiet else logging.INFO),
        # Looked up at each line: whoever replaces sys.stderr and closes it again must not take the log with it.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
