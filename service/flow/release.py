"""Owns a person's word on a model version → its next status, with who, when and why; refuses to give that word itself."""

from __future__ import annotations

from service.domain.errors import Refused
from service.domain.lineage import ModelVersion
from service.domain.model_status import Act, after
from service.ports.store import Work


def release(work: Work, name: str, version: int, act: Act, by: str, why: str) -> ModelVersion:
    """Approve, reject or roll back. ``Refused`` if there is no such version, if its status does not allow the act, or if
    somebody else was faster."""
    found = next((model for model in work.models.all(name) if model.version == version), None)
    if found is None:
        raise Refused(f"{act.value} of {name}/{version}: there is no such version")
    settled = work.models.settle(found, after(found, act), by, why)
    if settled is None:
        raise Refused(f"{act.value} of {name}/{version}: its status has just changed; look again")
    return settled
