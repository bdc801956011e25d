"""Owns the notifier that writes one structured log line for each announced execution; refuses network access."""

from __future__ import annotations

import structlog

from service.domain.report import Report


class Console:
    """The embedded default: the operator's log."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("refit.report")

    def publish(self, report: Report) -> None:
        self._log.info(
            "execution",
            execution=report.execution,
            repository=report.repository,
            commit=report.commit,
            status=report.status,
            title=report.title,
        )
