"""Owns the life of a registered model version: which act leads from which status to which, and which version is in use;
refuses to judge whether a model is good, which is for gates and people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from service.domain.errors import Refused
from service.domain.lineage import ModelVersion


class ModelStatus(StrEnum):
    """``candidate``: registered, its gates have passed, and nobody has spoken yet."""

    CANDIDATE = "candidate"
    APPROVED = "approved"
    REJECTED = "rejected"
    ROLLED_BACK = "rolled_back"


class Act(StrEnum):
    """What a person may do to a version."""

    APPROVE = "approve"
    REJECT = "reject"
    ROLL_BACK = "rollback"


_NEXT = {
    (ModelStatus.CANDIDATE, Act.APPROVE): ModelStatus.APPROVED,
    (ModelStatus.REJECTED, Act.APPROVE): ModelStatus.APPROVED,
    (ModelStatus.ROLLED_BACK, Act.APPROVE): ModelStatus.APPROVED,
    (ModelStatus.CANDIDATE, Act.REJECT): ModelStatus.REJECTED,
    (ModelStatus.APPROVED, Act.ROLL_BACK): ModelStatus.ROLLED_BACK,
}


def after(model: ModelVersion, act: Act) -> ModelStatus:
    """The status that the act leads to; ``Refused`` names the acts that are possible instead."""
    status = ModelStatus(model.status)
    found = _NEXT.get((status, act))
    if found is None:
        possible = ", ".join(other.value for (at, other) in _NEXT if at is status)
        raise Refused(
            f"{act.value} of {model.name}/{model.version}: it is {status.value.replace('_', ' ')}; possible: {possible}"
        )
    return found


def in_use(versions: Iterable[ModelVersion]) -> int | None:
    """Of one model's versions the one that was approved last and still is; rolling it back brings back the one before."""
    approvals = [
        (event.at, version.version)
        for version in versions
        if version.status == ModelStatus.APPROVED
        for event in version.events
        if event.status == ModelStatus.APPROVED
    ]
    return max(approvals)[1] if approvals else None


@dataclass(frozen=True, slots=True)
class Approval:
    """What a vendor's registry says of the same version: its ``status`` there (candidate, approved or rejected), who gave it
    ``by`` what name, when, and why."""

    status: ModelStatus
    by: str
    at: datetime
    why: str = ""


def elsewhere(status: str) -> ModelStatus:
    """The status that a vendor's registry, which knows three, has for one of ours."""
    return ModelStatus.REJECTED if status == ModelStatus.ROLLED_BACK else ModelStatus(status)


def taken_over(model: ModelVersion, approval: Approval) -> ModelStatus | None:
    """The status that a version gets because of what was said elsewhere; ``None`` if what was said here is newer, and is to
    be said there. Of a version about which nobody has spoken here, the other registry knows more."""
    spoken = model.events[1:]
    if spoken and spoken[-1].at > approval.at:
        return None
    if approval.status is ModelStatus.REJECTED and model.status == ModelStatus.APPROVED:
        return ModelStatus.ROLLED_BACK
    return approval.status
