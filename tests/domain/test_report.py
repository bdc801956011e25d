"""How an execution is told to people: goldens, and text that cannot break out of its place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.domain.execution import Attempt, Execution, Seen, State
from service.domain.gates import Verdict
from service.domain.plan import Result
from service.domain.report import LIMIT, error, report, saved
from service.domain.step_key import Reason
from tests import records


def told(*states: State, **changes: object) -> Execution:
    return replace(records.ended(records.execution("exec-1"), *states), **changes)  # type: ignore[arg-type]


def failing(text: str) -> Execution:
    made = told(State.FAILED, State.BLOCKED)
    attempts = (Attempt(1, "t1", error="first"), Attempt(2, "t2", seen=Seen.FAILED, error=text))
    return replace(made, steps=(replace(made.steps[0], attempts=attempts), *made.steps[1:]))


def reusing(seconds: float) -> Execution:
    made = told(State.REUSED, State.SUCCEEDED)
    result = Result("r", "preprocess", "k", "s", (), {}, "exec-0", "c" * 40, seconds)
    return replace(made, steps=tuple(replace(step, result=result) for step in made.steps))


def test_a_report_of_an_execution_that_reused_and_ran() -> None:
    found = report(reusing(61.4))
    assert found.title == "diamonds: succeeded · 1 ran, 1 reused · saved 61 s"
    assert found.text == (
        "**diamonds: succeeded · 1 ran, 1 reused · saved 61 s** at `9fceb02d0a`\n\n"
        "| step | outcome | why |\n|---|---|---|\n"
        "| preprocess | reused | source changed |\n"
        "| train | ran | source changed |"
    )
    assert (found.execution, found.repository, found.commit) == ("exec-1", "acme/diamonds", records.SHA)
    assert (found.pipeline, found.status) == ("diamonds", "succeeded")


def test_only_a_reuse_saves_time() -> None:
    assert saved(reusing(61.4)) == 61.4
    assert saved(told(State.REUSED, State.REUSED)) == 0.0, "no result, no time"


@pytest.mark.parametrize(
    ("states", "status", "words"),
    [
        ((State.WAITING, State.WAITING), "queued", ("waiting", "waiting")),
        ((State.RUNNING, State.WAITING), "running", ("running", "waiting")),
        ((State.FAILED, State.BLOCKED), "failed", ("failed", "blocked by upstream")),
        ((State.SUCCEEDED, State.CANCELLED), "cancelled", ("ran", "cancelled")),
    ],
)
def test_every_outcome_has_its_word(states: tuple[State, ...], status: str, words: tuple[str, ...]) -> None:
    found = report(told(*states))
    assert found.status == status
    assert tuple(line.split(" | ")[1] for line in found.text.splitlines()[4:6]) == words


def test_a_failure_shows_what_the_last_attempt_died_of() -> None:
    text = report(failing("Traceback:\n  NameError: x")).text
    assert text.endswith("\n\n`preprocess` failed:\n\n```\nTraceback:\n  NameError: x\n```")
    assert "first" not in text
    assert error(told(State.FAILED, State.BLOCKED).steps[0]) == "", "a step that never ran died of nothing"


def test_several_reasons_stand_on_one_line() -> None:
    made = told(State.SUCCEEDED, State.SUCCEEDED)
    reasons = (Reason("source", "a.py", "a changed"), Reason("source", "b.py", "b changed"))
    found = report(replace(made, steps=(replace(made.steps[0], reasons=reasons), made.steps[1])))
    assert "| preprocess | ran | a changed; b changed |" in found.text


def test_gates_are_told_with_their_figures() -> None:
    verdicts = (Verdict("rmse < 5", False, "rmse = 6 is not < 5"), Verdict("r2 > 0", True, "r2 = 1 is > 0"))
    found = report(told(State.SUCCEEDED, State.SUCCEEDED, verdicts=verdicts))
    assert found.status == "failed"
    assert [line for line in found.text.splitlines() if "&lt;" in line] == [
        "| rmse &lt; 5 | **failed** | rmse = 6 is not &lt; 5 |"
    ]
    assert "| r2 > 0 | passed | r2 = 1 is > 0 |" in found.text


def test_hostile_text_stays_in_its_cell_and_in_its_block() -> None:
    made = failing("```\n**bold**\x1b[31m\u202e")
    reasons = (Reason("source", "x", "a | b\n<img src=x> \u202e"),)
    text = report(replace(made, steps=(replace(made.steps[0], reasons=reasons), *made.steps[1:]))).text
    assert "| a \\| b\\x0a&lt;img src=x> \\x202e |" in text
    block = text.partition("\n```\n")[2]
    assert block == "´´´\n**bold**\\x1b[31m\\x202e\n```"


def test_a_report_fits_where_it_is_posted_and_keeps_the_end_of_a_long_story() -> None:
    text = report(failing("first line\n" + "x" * 200_000 + "\nNameError: the cause")).text
    assert LIMIT - 100 < len(text) <= LIMIT < 65_535
    assert text.endswith("x\nNameError: the cause\n```")
    assert "```\n…\nxxx" in text
    assert "first line" not in text


def test_two_long_stories_share_the_room() -> None:
    made = failing("x" * 200_000 + "one")
    attempts = (Attempt(1, "t", seen=Seen.FAILED, error="y" * 200_000 + "two"),)
    both = replace(made, steps=(made.steps[0], replace(made.steps[1], state=State.FAILED, attempts=attempts)))
    text = report(both).text
    assert len(text) <= LIMIT
    assert "xone\n```\n\n`train` failed:" in text
    assert text.endswith("ytwo\n```")


def test_a_report_of_very_many_steps_is_cut() -> None:
    made = told(State.FAILED, State.BLOCKED)
    assert len(report(replace(made, steps=made.steps * 1_000)).text) == LIMIT
