"""Owns the port to whoever is told about an execution; refuses reading, which is the git host's."""

from __future__ import annotations

from typing import Protocol

from service.domain.report import Report


class Notifier(Protocol):
    """Tells somebody. Publishing the same execution again updates what was said before."""

    def publish(self, report: Report) -> None:
        """Upsert by ``report.execution``; raises ``Retry`` or ``Refused``."""
        ...
