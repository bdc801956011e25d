"""Owns the port to a vendor's own registry of models, where people approve versions too; refuses to decide who is right."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol, runtime_checkable

from service.domain.lineage import ModelVersion
from service.domain.model_status import Approval, ModelStatus


@runtime_checkable
class ModelRegistry(Protocol):
    """Implemented by a backend whose vendor has one. Every verb may raise ``Retry`` or ``Refused``."""

    def called(self, model: ModelVersion, job: str) -> str:
        """What a version that ``job`` made is called there, whether or not it is registered there."""
        ...

    def statuses(self, versions: Collection[str]) -> Mapping[str, ModelStatus]:
        """Name there → status, as cheaply as can be; without those that are no names of this registry, or gone."""
        ...

    def approval(self, version: str) -> Approval:
        """One of them, with who gave it its status and when."""
        ...

    def settle(self, version: str, status: ModelStatus, why: str) -> None:
        """Give it another status: candidate, approved or rejected."""
        ...
