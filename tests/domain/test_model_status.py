"""Which act a model version allows, and which version is in use."""

from __future__ import annotations

from datetime import timedelta

import pytest

from service.domain.errors import Refused
from service.domain.lineage import ModelEvent, ModelVersion
from service.domain.model_status import Act, ModelStatus, after, in_use
from tests.records import NOW, SHA


def version(number: int, *statuses: str, since: int = 0) -> ModelVersion:
    events = tuple(ModelEvent(s, "ada", "because", NOW + timedelta(hours=since + at)) for at, s in enumerate(statuses))
    return ModelVersion("price", number, "acme/x", "r", "model", "sha256:m", "e", SHA, statuses[-1], NOW, {}, events)


@pytest.mark.parametrize(
    ("status", "act", "then"),
    [
        ("candidate", Act.APPROVE, ModelStatus.APPROVED),
        ("candidate", Act.REJECT, ModelStatus.REJECTED),
        ("rejected", Act.APPROVE, ModelStatus.APPROVED),
        ("rolled_back", Act.APPROVE, ModelStatus.APPROVED),
        ("approved", Act.ROLL_BACK, ModelStatus.ROLLED_BACK),
    ],
)
def test_possible_acts(status: str, act: Act, then: ModelStatus) -> None:
    assert after(version(1, status), act) is then


@pytest.mark.parametrize(
    ("status", "act", "possible"),
    [
        ("candidate", Act.ROLL_BACK, "approve, reject"),
        ("approved", Act.APPROVE, "rollback"),
        ("approved", Act.REJECT, "rollback"),
        ("rejected", Act.REJECT, "approve"),
        ("rolled_back", Act.ROLL_BACK, "approve"),
    ],
)
def test_impossible_acts_name_the_possible_ones(status: str, act: Act, possible: str) -> None:
    with pytest.raises(Refused, match=f"possible: {possible}$"):
        after(version(1, status), act)


def test_the_version_in_use_is_the_one_approved_last() -> None:
    old, new = version(1, "candidate", "approved"), version(2, "candidate", "approved", since=5)
    assert in_use([new, old]) == 2
    assert in_use([version(2, "candidate", "approved", "rolled_back", since=5), old]) == 1
    assert in_use([new, version(1, "candidate", "approved", "rolled_back", "approved", since=9)]) == 1
    assert in_use([version(1, "candidate"), version(2, "rejected")]) is None
