"""Owns stored execution → report → whoever listens; refuses to format, which is the domain's."""

from __future__ import annotations

from collections.abc import Sequence

from service.domain.report import report
from service.ports.notifier import Notifier
from service.ports.store import Store


def announce(store: Store, execution_id: str, notifiers: Sequence[Notifier]) -> None:
    """Tell every notifier about the execution as it stands now."""
    with store.begin() as work:
        execution = work.executions.get(execution_id)
    if execution is not None:
        text = report(execution)
        for notifier in notifiers:
            notifier.publish(text)
