"""Owns one look at a pipeline job, in as few calls as it takes; refuses to interpret a node."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from service.adapters.backends.azureml.azure import Azure, calling
from service.adapters.backends.azureml.failures import Problem
from service.adapters.backends.cloud.looks import LOOKS_PER_SECOND, Look, Looks
from service.domain.errors import Refused

ENDED = frozenset({"Completed", "Failed", "Canceled"})
AT_WORK = frozenset({"Starting", "Provisioning", "Preparing", "Queued", "Running", "Finalizing"})


class Jobs(Looks):
    """By name. The rows are run history's of the job's children, by node."""

    def __init__(self, azure: Azure, poll: tuple[float, float], rate: float = LOOKS_PER_SECOND) -> None:
        super().__init__(self._looked_at, poll, rate)
        self._azure = azure

    def _looked_at(self, name: str) -> Look:
        """While a node is at work the job is, and need not be asked. Once it has ended its nodes are listed again: one may
        have begun and ended between the two calls."""
        with calling("looking at a pipeline job"):
            try:
                nodes = self._nodes(name)
                if any(row.get("status") in AT_WORK for row in nodes.values()):
                    return _look("Running", datetime.now(UTC), nodes)
                job = self._azure.history("GET", f"/runs/{name}")
            except Problem as problem:
                if not problem.is_absent:
                    raise
                return self._unheard_of(name)
            status = str(job.get("status"))
            changed = time_of(job.get("endTimeUtc")) or datetime.now(UTC)
            return _look(status, changed, self._nodes(name) if status in ENDED else nodes)

    def _unheard_of(self, name: str) -> Look:
        """Run history hears of a job a moment after it was taken; one that was deleted never comes back."""
        try:
            self._azure.manager("GET", f"/jobs/{name}")
        except Problem as problem:
            if problem.is_absent:
                raise Refused(f"looking at a pipeline job: {name} is no longer in the workspace") from problem
            raise
        return _look("NotStarted", datetime.now(UTC), {})

    def _nodes(self, name: str) -> dict[str, Mapping[str, Any]]:
        """The newest run of each node: Azure names a child's run after its node."""
        rows = sorted(self._azure.pages(f"/runs/{name}/children"), key=lambda row: str(row.get("createdUtc")))
        return {str(row.get("displayName") or row.get("name")): row for row in rows}


def time_of(text: object) -> datetime | None:
    """A moment in run history's form, UTC where it says nothing."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _look(status: str, changed: datetime, nodes: Mapping[str, Mapping[str, Any]]) -> Look:
    begun = [time for row in nodes.values() if (time := time_of(row.get("startTimeUtc")))]
    return Look(status, status in ENDED, changed, nodes, min(begun, default=None))
