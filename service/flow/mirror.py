"""Owns approvals of models that a vendor's registry has too: said in one place, they hold in both; refuses to register.

It only looks again, from time to time: what was said last, here or there, is what both say in the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.errors import Refused, Retry
from service.domain.lineage import ModelVersion
from service.domain.model_status import elsewhere, taken_over
from service.ports.backend import Backend
from service.ports.registry import ModelRegistry
from service.ports.store import Store, Work


@dataclass(frozen=True)
class Mirror:
    """Looks at all versions of a repository."""

    store: Store
    backends: Mapping[str, Backend]

    def look(self, repository: str) -> list[str]:
        """What was said over, a sentence each."""
        with self.store.read() as work:
            registered = self._registered(work, repository)
        said: list[str] = []
        for name, versions in registered.items():
            backend = self.backends[name]
            assert isinstance(backend, ModelRegistry), "others have no versions"
            statuses = backend.statuses(list(versions))
            for there, model in versions.items():
                if there in statuses and statuses[there] is not elsewhere(model.status):
                    try:
                        said.append(self._said_over(backend, there, model))
                    except (Refused, Retry) as problem:  # one that cannot be told keeps no other from it
                        said.append(f"{model.name}/{model.version}: {problem.reason}")
        return said

    def _registered(self, work: Work, repository: str) -> dict[str, dict[str, ModelVersion]]:
        """Backend → the name there → the version here, of all that may be in a registry."""
        found: dict[str, dict[str, ModelVersion]] = defaultdict(dict)
        models = {model.result: model for model in work.models.all() if model.repository == repository}
        for record in work.lineage.records(models):
            backend = self.backends.get(record.backend)
            if record.job and isinstance(backend, ModelRegistry):
                model = models[record.id]
                found[record.backend][backend.called(model, record.job)] = model
        return found

    def _said_over(self, registry: ModelRegistry, there: str, model: ModelVersion) -> str:
        label, approval = f"{model.name}/{model.version}", registry.approval(there)
        status = taken_over(model, approval)
        if status is None:
            last = model.events[-1]
            registry.settle(there, elsewhere(model.status), f"{last.why} ({last.by}, in Refit)")
            return f"{label} is {model.status} in the registry too"
        why = f"said in the registry: {approval.why}" if approval.why else "said in the registry"
        with self.store.begin() as work:
            settled = work.models.settle(model, status, approval.by, why)
        return (
            f"{label} is {status.value}, as {approval.by} said in the registry"
            if settled
            else f"{label} has just changed"
        )
