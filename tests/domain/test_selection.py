"""Which steps run by selective execution, and when its rules forbid it."""

from __future__ import annotations

import pytest

from service.domain.pipeline import Component, NativeStep, Pipeline, UpstreamInput
from service.domain.selection import MOST_SELECTED, Source, select_steps


def step(name: str, *upstream: str, kind: str = "Processing") -> Component:
    inputs = tuple((f"{one}.done", UpstreamInput(one, "done")) for one in upstream)
    return Component(name, "", inputs=inputs, outputs=("done",), native=NativeStep(kind))


DIAMONDS = Pipeline(
    "diamonds",
    "aws",
    (
        step("Preprocess"),
        step("Train", "Preprocess"),
        step("Evaluate", "Preprocess", "Train"),
        step("Gate", "Evaluate", kind="Condition"),
        step("Register", "Gate", "Train"),
        step("TooWeak", "Gate"),
    ),
)
ALL = frozenset(one.name for one in DIAMONDS.components)
SOURCE = Source("execution-1", "Succeeded", ALL - {"TooWeak"})


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"Train"}, ("Train", "Evaluate", "Gate", "Register", "TooWeak")),
        ({"Evaluate"}, ("Evaluate", "Gate", "Register", "TooWeak")),
        ({"Register"}, ("Gate", "Register", "TooWeak")),
        (set(), ()),
    ],
)
def test_what_changed_runs_with_all_that_depends_on_it(changed: set[str], expected: tuple[str, ...]) -> None:
    found = select_steps(DIAMONDS, changed, SOURCE)
    assert (found.steps, found.source, found.why) == (expected, SOURCE, "")


def test_all_of_it_needs_no_source_and_no_reason() -> None:
    found = select_steps(DIAMONDS, {"Preprocess"}, SOURCE)
    assert (frozenset(found.steps), found.source, found.why) == (ALL, None, "")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (None, "no earlier execution"),
        (Source("e", "Stopped", ALL), "e is Stopped"),
        (Source("e", "Executing", ALL), "e is Executing"),
        (Source("e", "Failed", frozenset({"Train"})), "Evaluate needs Preprocess, which did not succeed in e"),
    ],
)
def test_where_the_rules_forbid_it_everything_runs_and_says_why(source: Source | None, why: str) -> None:
    found = select_steps(DIAMONDS, {"Evaluate"}, source)
    assert (frozenset(found.steps), found.source) == (ALL, None)
    assert why in found.why


def test_a_failed_source_serves_as_far_as_it_got() -> None:
    source = Source("e", "Failed", frozenset({"Preprocess", "Train"}))
    assert select_steps(DIAMONDS, {"Evaluate"}, source).source == source


def test_more_than_fifty_steps_cannot_be_selected() -> None:
    many = (step("free"), step("root"), *(step(f"s{at}", "root") for at in range(MOST_SELECTED)))
    source = Source("e", "Succeeded", frozenset(one.name for one in many))
    found = select_steps(Pipeline("p", "aws", many), {"root"}, source)
    assert (len(found.steps), found.source) == (MOST_SELECTED + 2, None)
    assert "at most 50" in found.why
    fits = select_steps(Pipeline("p", "aws", many[:-1]), {"root"}, source)
    assert (len(fits.steps), fits.source) == (MOST_SELECTED, source)
