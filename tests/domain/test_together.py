"""How a native pipeline's execution goes on: decided at once, started together, with a source or as a whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from service.domain.acts import Promote, Record, Seek, Submit
from service.domain.advance import advance, asks_the_past
from service.domain.execution import Artifact, Execution, Observation, Seen, State, Status, StepRun
from service.domain.ingredients import Ingredients
from service.domain.pipeline import Component, Native, NativeStep, Pipeline, UpstreamInput
from service.domain.plan import Decision, History, Result, foreseen, full_key, full_parts
from service.domain.selection import Source
from service.domain.step_key import Part, PartKind, key_of

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def component(name: str, *upstream: str, kind: str = "Processing") -> Component:
    inputs = tuple((f"{one}.out", UpstreamInput(one, "out")) for one in upstream)
    return Component(name, "", inputs=inputs, outputs=("out",), native=NativeStep(kind))


PIPELINE = Pipeline(
    "sums",
    "aws",
    (
        component("left"),
        component("right"),
        component("merge", "left", "right"),
        component("gate", "merge", kind="Condition"),
        component("publish", "gate"),
    ),
    native=Native("sagemaker", "pipeline.py"),
)
NAMES = tuple(one.name for one in PIPELINE.components)


def execution(id: str = "e1", marks: Mapping[str, str] | None = None, **more: object) -> Execution:
    """A fresh execution; ``marks`` change a step's own content."""
    steps = []
    for one in PIPELINE.components:
        parts = (Part(PartKind.SOURCE, one.name, (marks or {}).get(one.name, "")),)
        unknowable = ("reads a place",) if (marks or {}).get(one.name) == "unknowable" else ()
        steps.append(StepRun(Ingredients(one, parts, (), (), unknowable), Decision.RUN, None, (), key_of(parts)))
    return Execution(
        id, "acme/sums", PIPELINE, "refs/heads/main", "1" * 40, "2" * 40, None, "ada", "x", id, NOW, tuple(steps), **more  # type: ignore[arg-type]
    )  # fmt: skip


def moved(
    one: Execution, seen: Mapping[str, Observation] | None = None, results: Collection[Result] = (), **more: object
) -> tuple[Execution, list[object]]:
    """One move, with observations by step."""
    tokens = {step.name: step.attempts[-1].token for step in one.steps if step.attempts}
    observations = {tokens[name]: look for name, look in (seen or {}).items()}
    history = History(results=tuple(results))
    after, acts = advance(one, observations, history, NOW, slots=more.pop("slots", 20), composes=True, **more)  # type: ignore[arg-type]
    return after, list(acts)


def success(one: Execution, name: str, note: str = "") -> Observation:
    step = one.step(name)
    outputs = tuple(Artifact(*made, 1) for made in one.foreseen(step, len(step.attempts)).items())
    return Observation(Seen.SUCCEEDED, started_at=NOW, ended_at=NOW + timedelta(seconds=1), outputs=outputs, note=note)


def finished(one: Execution, results: Collection[Result] = (), **more: object) -> tuple[Execution, list[Result]]:
    """Carried out without a failure; everything that it made."""
    after, acts = moved(one, results=results, **more)
    running = [step.name for step in after.steps if step.state is State.RUNNING]
    after, acts = moved(after, {name: success(after, name) for name in running}, results, **more)
    return after, [act.result for act in acts if isinstance(act, Record)]


def submitted(acts: Collection[object]) -> list[str]:
    return [act.step.name for act in acts if isinstance(act, Submit)]


def states(one: Execution) -> dict[str, str]:
    return {step.name: step.state.value for step in one.steps}


def source(*steps: str, status: str = "Succeeded", name: str = "x") -> Source:
    return Source(name, status, frozenset(steps))


def kinds(one: Execution, step: str) -> list[str]:
    return [reason.kind for reason in one.step(step).reasons]


def test_all_start_together_in_one_submission_and_each_key_is_known_before() -> None:
    after, acts = moved(execution())
    assert submitted(acts) == list(NAMES)
    assert len({act.attempt.submission for act in acts if isinstance(act, Submit)}) == 1
    assert all(step.key for step in after.steps)
    ended, made = finished(execution())
    assert (ended.status, len(made)) == (Status.SUCCEEDED, 5)
    assert {one.component: one.key for one in made} == {step.name: step.key for step in after.steps}, "as foreseen"


def test_what_did_not_change_is_reused_and_a_source_is_sought_for_what_is_read_of_it() -> None:
    _, made = finished(execution())
    fresh = execution("e2", {"merge": "other"})
    _, acts = moved(fresh, results=made)
    (seek,) = [act for act in acts if isinstance(act, Seek)]
    assert seek.wanted == {one.component: one.outputs for one in made if one.component in ("left", "right")}
    assert submitted(acts) == []
    after, acts = moved(fresh, results=made, sources=(source("left", "right"),))
    assert submitted(acts) == ["merge", "gate", "publish"]
    assert [act.step.name for act in acts if isinstance(act, Promote)] == ["left", "right"]
    assert states(after) == {
        "left": "reused", "right": "reused", "merge": "running", "gate": "running", "publish": "running",
    }  # fmt: skip
    again, _ = finished(execution("e3", {"merge": "other"}), made, sources=(source("left", "right"),))
    assert again.status is Status.SUCCEEDED


def test_without_a_source_all_of_it_runs_and_says_why() -> None:
    _, made = finished(execution())
    fresh = execution("e2", {"merge": "other"})
    for sources, words in (
        ((), "no earlier execution has the outputs"),
        ((source("left"),), "merge needs right, which did not succeed in x"),
        ((source("left", "right", status="Stopped"),), "x is Stopped"),
    ):
        after, acts = moved(fresh, results=made, sources=sources)
        assert submitted(acts) == list(NAMES)
        assert [act for act in acts if isinstance(act, Promote)] == [], "what runs again is not taken over"
        assert kinds(after, "left") == ["whole"]
        assert words in after.step("left").reasons[0].detail
        assert after.step("left").result is None


def test_the_first_source_that_serves_is_taken() -> None:
    _, made = finished(execution())
    sources = (source("left", name="a"), source("left", "right", name="b"))
    _, acts = moved(execution("e2", {"merge": "other"}), results=made, sources=sources)
    assert submitted(acts) == ["merge", "gate", "publish"]


def test_a_condition_is_judged_again_for_what_lies_in_its_branch() -> None:
    _, made = finished(execution())
    after, acts = moved(execution("e2", {"publish": "other"}), results=made, sources=(source("merge"),))
    assert submitted(acts) == ["gate", "publish"]
    assert kinds(after, "gate") == ["upstream"]
    assert "is the condition that says whether it does" in after.step("gate").reasons[0].detail


def test_what_is_forced_or_unknowable_is_like_nothing_before_so_what_reads_it_runs() -> None:
    _, made = finished(execution())
    _, acts = moved(execution("e2", forced=("merge",)), results=made, sources=(source("left", "right"),))
    assert submitted(acts) == ["merge", "gate", "publish"]
    _, unknown = finished(execution("e3", {"left": "unknowable"}), made, sources=(source("right"),))
    _, acts = moved(execution("e4", {"left": "unknowable"}), results=[*made, *unknown], sources=(source("right"),))
    assert submitted(acts) == ["left", "merge", "gate", "publish"]
    assert len({one.outputs["out"] for one in unknown if one.component == "left"} & {made[0].outputs["out"]}) == 0


def test_nothing_more_starts_while_something_runs_or_after_a_failure() -> None:
    after, _ = moved(execution())
    assert moved(after, {"left": success(after, "left")})[1][0].step.name == "left"  # type: ignore[attr-defined]
    look = {
        "left": success(after, "left"), "right": Observation(Seen.FAILED, error="no"),
        **{name: Observation(Seen.SKIPPED) for name in ("merge", "gate", "publish")},
    }  # fmt: skip
    failed, acts = moved(after, look)
    assert submitted(acts) == []
    assert states(failed) == {
        "left": "succeeded", "right": "failed", "merge": "blocked", "gate": "blocked", "publish": "blocked",
    }  # fmt: skip
    assert failed.status is Status.FAILED


def test_a_lost_step_is_repeated_with_what_it_kept_from_running() -> None:
    after, _ = moved(execution())
    look = {
        "left": success(after, "left"), "right": success(after, "right"), "merge": Observation(Seen.LOST),
        "gate": Observation(Seen.SKIPPED), "publish": Observation(Seen.SKIPPED),
    }  # fmt: skip
    again, acts = moved(after, look, sources=(source("left", "right", status="Failed"),))
    assert submitted(acts) == ["merge", "gate", "publish"]
    assert again.step("merge").attempts[-1].number == 2
    whole, acts = moved(after, look, sources=())
    assert submitted(acts) == list(NAMES), "its own execution cannot be a source either"
    assert [step.attempts[-1].number for step in whole.steps] == [2] * 5


def test_a_step_that_needed_no_run_has_its_result_and_says_so() -> None:
    after, _ = moved(execution())
    note = "it did not run: gate came out as false"
    look = {name: success(after, name, note if name == "publish" else "") for name in NAMES}
    ended, acts = moved(after, look)
    assert ended.status is Status.SUCCEEDED
    assert ended.step("publish").reasons[-1].detail == note
    assert len([act for act in acts if isinstance(act, Record)]) == 5


def test_what_another_execution_computes_is_waited_for_with_all_that_reads_it() -> None:
    one = execution("e2")
    history = History(in_flight={one.step("left").static_key: "e1"})
    after, acts = advance(one, {}, history, NOW, slots=20, composes=True)
    assert acts == ()
    assert {step.state for step in after.steps} == {State.WAITING}
    assert after.step("left").decision is Decision.REUSE


def test_full_house_waits_and_one_free_place_is_enough_for_all() -> None:
    assert submitted(moved(execution(), slots=0)[1]) == []
    assert submitted(moved(execution(), slots=1)[1]) == list(NAMES)


def test_a_stop_ends_what_waits() -> None:
    after, acts = moved(replace(execution(), cancelled="no"))
    assert set(states(after).values()) == {"cancelled"}
    assert acts == []


def test_a_foreseen_digest_follows_the_key_and_nothing_else() -> None:
    one, other = component("a"), component("b")
    assert foreseen(one, "k") == foreseen(other, "k")
    assert foreseen(one, "k") != foreseen(one, "l")
    assert foreseen(one, "k", "token") != foreseen(one, "k")
    static = key_of(())
    read = {("left", "out"): foreseen(one, "k")["out"], ("right", "out"): "sha256:0"}
    merge = PIPELINE.component("merge")
    assert full_key(static, merge, read) != static
    assert len(full_parts((), merge, read)) == 2


def test_a_move_that_does_not_ask_the_past_does_not_need_it() -> None:
    """Whatever the history says, such a move comes out the same; and a move in which anything can be decided asks."""
    _, made = finished(execution())
    fresh = execution("e2", {"merge": "other"})
    assert asks_the_past(fresh, {})
    after, _ = moved(fresh, results=made, sources=(source("left", "right"),))
    tokens = {step.name: step.attempts[-1].token for step in after.steps if step.attempts}
    running = {tokens["merge"]: Observation(Seen.RUNNING, started_at=NOW)}
    assert not asks_the_past(after, running)
    full = History(results=tuple(made), in_flight={step.static_key: "x" for step in after.steps})
    assert advance(after, running, full, NOW, slots=20, composes=True) == advance(
        after, running, History(), NOW, slots=20, composes=True
    )
    assert asks_the_past(after, {tokens["merge"]: success(after, "merge")})
    plain = replace(after, pipeline=replace(PIPELINE, native=None))
    assert not asks_the_past(plain, running)
    assert asks_the_past(replace(plain, steps=tuple(replace(s, state=State.WAITING) for s in plain.steps)), {})
