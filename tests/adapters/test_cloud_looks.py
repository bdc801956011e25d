"""A look is taken again once it was forgotten, also while it was being taken; forgetting strangers costs nobody a look."""

from __future__ import annotations

from datetime import UTC, datetime

from service.adapters.backends.cloud.looks import Look, Looks

LONG = (600.0, 600.0)


def test_what_is_forgotten_while_it_is_looked_at_is_looked_at_again() -> None:
    taken: list[str] = []

    def looked(name: str) -> Look:
        taken.append(name)
        if len(taken) == 1:
            looks.forget(name)  # an event comes after the cloud has answered
        return Look("Running", False, datetime.now(UTC), {})

    looks = Looks(looked, LONG)
    for _ in range(3):
        looks.look("job")
    assert taken == ["job", "job"]
    looks.forget("job")
    looks.look("job")
    assert len(taken) == 3


def test_forgetting_what_nobody_looks_at_displaces_nothing() -> None:
    taken: list[str] = []

    def looked(name: str) -> Look:
        taken.append(name)
        return Look("Running", False, datetime.now(UTC), {})

    looks = Looks(looked, LONG)
    looks.look("job")
    for number in range(5_000):
        looks.forget(f"forged-{number}")
    looks.look("job")
    assert taken == ["job"]
