"""Which act a model version allows, and which version is in use."""

from __future__ import annotations

from datetime import timedelta

import pytest

from service.domain.errors import Refused
from service.domain.lineage import ModelEvent, ModelVersion
from service.domain.model_status import Act, Approval, ModelStatus, after, elsewhere, in_use, taken_over
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


def there(status: ModelStatus, hours: float) -> Approval:
    """Said elsewhere, so long after the first event here."""
    return Approval(status, "grace", NOW + timedelta(hours=hours))


@pytest.mark.parametrize(
    ("here", "said", "hours", "becomes"),
    [
        (("candidate",), ModelStatus.APPROVED, 5, ModelStatus.APPROVED),
        (
            ("candidate",),
            ModelStatus.APPROVED,
            -5,
            ModelStatus.APPROVED,
        ),  # registered as approved: nobody has spoken here
        (("candidate", "approved"), ModelStatus.REJECTED, 5, ModelStatus.ROLLED_BACK),
        (("candidate", "rejected"), ModelStatus.APPROVED, 5, ModelStatus.APPROVED),
        (("candidate", "approved"), ModelStatus.CANDIDATE, 0.5, None),
        (("candidate", "approved", "rolled_back"), ModelStatus.APPROVED, 1.5, None),
        (("candidate", "approved", "rolled_back"), ModelStatus.APPROVED, 2.5, ModelStatus.APPROVED),
    ],
)
def test_what_was_said_last_counts_here_and_elsewhere(
    here: tuple[str, ...], said: ModelStatus, hours: float, becomes: ModelStatus | None
) -> None:
    assert taken_over(version(1, *here), there(said, hours)) is becomes


def test_elsewhere_a_version_that_is_rolled_back_is_rejected() -> None:
    assert {one: elsewhere(one) for one in ModelStatus} == {
        ModelStatus.CANDIDATE: ModelStatus.CANDIDATE,
        ModelStatus.APPROVED: ModelStatus.APPROVED,
        ModelStatus.REJECTED: ModelStatus.REJECTED,
        ModelStatus.ROLLED_BACK: ModelStatus.REJECTED,
    }
