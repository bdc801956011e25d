"""Run, reuse or pending: every decision, with the reason that a person is given."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.domain.pipeline import Component, Pipeline, UpstreamInput
from service.domain.plan import Decision, History, Plan, Result, decide, explain, full_key, make_plan, presumed
from tests.planning import (
    DIAMONDS,
    EVALUATE,
    PREPROCESS,
    TRAIN,
    commit,
    content,
    ingredients,
    past,
    read_by,
    result,
)

RUN, REUSE, PENDING = Decision.RUN, Decision.REUSE, Decision.PENDING
ALL = ("preprocess", "train", "evaluate")


def planned(head: object, history: History, **more: object) -> Plan:
    return make_plan(DIAMONDS, head, history, base="b" * 40, head="a" * 40, **more)  # type: ignore[arg-type]


def decisions(plan: Plan) -> tuple[Decision, ...]:
    return tuple(step.decision for step in plan.steps)


def why(plan: Plan, component: str) -> list[tuple[str, str]]:
    (step,) = [step for step in plan.steps if step.component.name == component]
    return [(reason.kind, reason.subject) for reason in step.reasons]


def detail(plan: Plan, component: str) -> str:
    (step,) = [step for step in plan.steps if step.component.name == component]
    return "; ".join(reason.detail for reason in step.reasons)


# the three decisions --------------------------------------------------------------------------------------------------


def test_a_first_commit_runs_everything() -> None:
    plan = planned(commit(), History())
    assert decisions(plan) == (RUN, RUN, RUN)
    assert why(plan, "train") == [("first", "train")]
    assert detail(plan, "train") == "train has not succeeded before"
    assert not plan.is_idle


def test_an_unchanged_commit_reuses_everything_and_says_from_where() -> None:
    history = past(commit())
    plan = planned(commit(), history)
    assert decisions(plan) == (REUSE, REUSE, REUSE)
    assert plan.is_idle
    assert [step.reuses for step in plan.steps] == list(history.results)
    assert [step.key for step in plan.steps] == [one.key for one in history.results]
    assert detail(plan, "train") == "nothing that can change its result did; reuses exec-1 at cccccccccc"


def test_a_result_that_no_execution_made_is_told_by_its_commit() -> None:
    history = past(commit())
    bare = History(tuple(replace(one, execution="", commit="the base") for one in history.results))
    assert detail(planned(commit(), bare), "train").endswith("reuses the base")


def test_a_change_runs_its_step_and_leaves_what_follows_pending() -> None:
    plan = planned(commit(train="2"), past(commit()))
    assert decisions(plan) == (REUSE, RUN, PENDING)
    assert why(plan, "train") == [("source", "train.py")]
    assert plan.steps[2].key is None
    assert plan.steps[2].static_key
    assert detail(plan, "evaluate") == "train runs; evaluate is needed only if what it reads of it changes"
    first = planned(commit(preprocess="2"), past(commit()))
    assert why(first, "train") == [("upstream", "preprocess")]
    assert why(first, "evaluate") == [("upstream", "train"), ("upstream", "preprocess")]


def test_what_changed_itself_runs_even_below_what_runs() -> None:
    plan = planned(commit(preprocess="2", evaluate="2"), past(commit()))
    assert decisions(plan) == (RUN, PENDING, RUN)
    assert why(plan, "evaluate") == [("source", "evaluate.py")], "an unknown upstream output is no reason yet"


def test_a_change_beside_does_not_matter() -> None:
    assert decisions(planned(commit(evaluate="2"), past(commit()))) == (REUSE, REUSE, RUN)


def test_early_cutoff_reuses_a_step_whose_upstream_made_the_same_again() -> None:
    history = past(commit())
    again = result(ingredients(PREPROCESS, "2"), execution="exec-2")  # other code, same content
    head = commit(preprocess="2")
    assert decisions(planned(head, replace(history, results=(again, *history.results)))) == (REUSE, REUSE, REUSE)


def test_another_content_upstream_runs_the_step_and_shows_both() -> None:
    history = past(commit())
    again = result(ingredients(PREPROCESS, "2"), version="2", execution="exec-2")
    plan = planned(commit(preprocess="2"), replace(history, results=(again, *history.results)))
    assert decisions(plan) == (REUSE, RUN, PENDING)
    (reason,) = plan.steps[1].reasons
    assert (reason.kind, reason.subject) == ("upstream", "preprocess.train")
    assert (reason.old, reason.new) == (content("preprocess", "train"), content("preprocess", "train", "2"))


def test_only_the_outputs_that_a_step_reads_count_for_it() -> None:
    history = past(commit())
    again = result(ingredients(PREPROCESS, "2"), execution="exec-2")
    again = replace(again, outputs={**again.outputs, "test": "sha256:other"})
    plan = planned(commit(preprocess="2"), replace(history, results=(again, *history.results)))
    assert decisions(plan) == (REUSE, REUSE, RUN)
    assert why(plan, "evaluate") == [("upstream", "preprocess.test")]


def test_the_newest_of_equal_results_is_taken() -> None:
    older, newer = past(commit()), past(commit(), execution="exec-2")
    plan = planned(commit(), History(newer.results + older.results))
    assert {step.reuses.execution for step in plan.steps if step.reuses} == {"exec-2"}


# trap 20: revert, squash-merge, cherry-pick ---------------------------------------------------------------------------


def test_a_revert_reuses_what_the_commit_before_made() -> None:
    first, second = past(commit()), past(commit(train="2"), execution="exec-2", train="2")
    history = History(second.results + first.results, second.baseline)
    plan = planned(commit(), history)
    assert decisions(plan) == (REUSE, REUSE, REUSE)
    assert {step.reuses.execution for step in plan.steps[1:] if step.reuses} == {"exec-1"}


# trap 19: failures, losses --------------------------------------------------------------------------------------------


def test_a_step_that_failed_stays_changed() -> None:
    history = past(commit())
    broken = planned(commit(train="2"), history).steps[1]
    plan = planned(commit(train="2"), replace(history, failed={broken.key or "": "exec-9"}))
    assert decisions(plan) == (REUSE, RUN, PENDING)
    assert why(plan, "train") == [("source", "train.py"), ("failed-before", "train")]
    assert "its last run with this content failed in exec-9" in detail(plan, "train")


def test_a_failure_is_told_even_where_nothing_differs_from_the_last_success() -> None:
    history = past(commit())
    key = history.results[1].key
    without = tuple(one for one in history.results if one.component != "train")
    plan = planned(commit(), replace(history, results=without, failed={key: "exec-9"}))
    assert why(plan, "train") == [("failed-before", "train")]


def test_a_success_after_a_failure_is_reused() -> None:
    history = past(commit())
    assert decisions(planned(commit(), replace(history, failed={history.results[1].key: "exec-0"}))) == (REUSE,) * 3


def test_a_result_whose_outputs_are_gone_runs_again_and_says_so() -> None:
    history = past(commit())
    lost = tuple(replace(one, available=one.component != "train") for one in history.results)
    plan = planned(commit(), replace(history, results=lost))
    assert decisions(plan) == (REUSE, RUN, PENDING)
    assert why(plan, "train") == [("lost", "train")]
    assert detail(plan, "train") == "the outputs of exec-1 can no longer be read"


def test_a_loss_is_told_only_of_the_content_that_is_wanted() -> None:
    history = past(commit())
    lost = tuple(replace(one, available=False) for one in history.results)
    plan = planned(commit(train="2"), replace(history, results=lost))
    assert why(plan, "preprocess") == [("lost", "preprocess")]
    assert why(plan, "train") == [("source", "train.py")]
    forgotten = replace(past(commit()), results=past(commit()).results[1:])
    assert why(planned(commit(), forgotten), "preprocess") == [("first", "preprocess")]


def test_another_copy_of_a_lost_result_is_as_good() -> None:
    gone, kept = past(commit()), past(commit(), execution="exec-2")
    lost = tuple(replace(one, available=False) for one in gone.results)
    assert decisions(planned(commit(), History(lost + kept.results))) == (REUSE, REUSE, REUSE)


def test_a_lost_result_makes_nobody_wait_for_its_upstream() -> None:
    history = past(commit())
    lost = tuple(replace(one, available=False) for one in history.results)
    assert decisions(planned(commit(), replace(history, results=lost))) == (RUN, RUN, RUN)


# in flight, forced, unknowable ----------------------------------------------------------------------------------------


def test_what_another_execution_is_computing_is_taken_over() -> None:
    key = ingredients(PREPROCESS).static_key
    plan = planned(commit(), History(in_flight={key: "exec-7"}))
    assert decisions(plan) == (REUSE, RUN, RUN)
    assert plan.steps[0].reuses is None
    assert why(plan, "preprocess") == [("in-flight", "preprocess")]
    assert "execution exec-7 is computing this very content" in detail(plan, "preprocess")
    assert not plan.is_idle


def test_a_finished_result_beats_one_in_flight() -> None:
    history = past(commit())
    plan = planned(commit(), replace(history, in_flight={history.results[0].key: "exec-7"}))
    assert plan.steps[0].reuses is not None


def test_a_forced_step_runs_whatever_the_past_and_what_follows_waits() -> None:
    plan = planned(commit(), past(commit()), forced=("train",))
    assert decisions(plan) == (REUSE, RUN, PENDING)
    assert why(plan, "train") == [("forced", "train")]


def test_data_whose_version_cannot_be_known_is_never_reused() -> None:
    unknowable = {"preprocess": ("the version of s3://b/k cannot be resolved", "and of another")}
    head = commit(unknowable=unknowable)
    plan = planned(head, past(commit()))
    assert decisions(plan) == (RUN, PENDING, PENDING)
    assert [r.detail for r in plan.steps[0].reasons] == list(unknowable["preprocess"])
    assert {r.kind for r in plan.steps[0].reasons} == {"uncertain"}
    in_flight = History(in_flight={ingredients(PREPROCESS).static_key: "exec-7"})
    assert decisions(planned(head, in_flight))[0] is RUN, "not even from what runs now"


def test_a_forced_step_is_forced_even_if_it_would_run_anyway() -> None:
    assert why(planned(commit(), History(), forced=("train",)), "train") == [("forced", "train")]


# components that came and went ----------------------------------------------------------------------------------------


def test_components_that_the_head_dropped_are_named() -> None:
    shorter = Pipeline("diamonds", "local", (PREPROCESS, TRAIN))
    plan = make_plan(shorter, commit(shorter), History(), base=None, head="a" * 40, before=commit())
    assert plan.removed == ("evaluate",)
    assert planned(commit(), History(), before=commit()).removed == ()
    other = Pipeline("other", "local", DIAMONDS.components)
    assert make_plan(other, commit(other), History(), base=None, head="a" * 40, before=commit()).removed == ()


def test_a_new_component_runs_and_the_others_do_not_mind() -> None:
    shorter = Pipeline("diamonds", "local", (PREPROCESS, TRAIN))
    plan = planned(commit(), past(commit(shorter)))
    assert decisions(plan) == (REUSE, REUSE, RUN)
    assert why(plan, "evaluate") == [("first", "evaluate")]


# reasons --------------------------------------------------------------------------------------------------------------


def test_a_run_always_has_a_reason() -> None:
    same = past(commit())
    plan = planned(commit(), replace(same, results=()))
    assert decisions(plan) == (RUN, RUN, RUN)
    assert detail(plan, "preprocess") == "no successful run with this content is known"
    only = explain(TRAIN, same.results[1].parts, "another key", same.baseline["train"], History())
    assert [reason.kind for reason in only] == ["first"]


def test_the_baseline_explains_and_never_decides() -> None:
    history = past(commit())
    misleading = replace(history, baseline={"train": history.results[0]})
    assert decisions(planned(commit(), misleading)) == (REUSE, REUSE, REUSE)


# keys -----------------------------------------------------------------------------------------------------------------


def test_the_key_of_a_step_without_upstream_is_its_static_key() -> None:
    assert full_key("static", PREPROCESS, {}) == "static"


def test_a_key_depends_on_each_upstream_output_that_is_read() -> None:
    read = {("train", "model"): "m1", ("preprocess", "test"): "t1"}
    swapped = {("train", "model"): "t1", ("preprocess", "test"): "m1"}
    others = ({}, {("train", "model"): "m2"}, {("preprocess", "test"): "t2"}, swapped)
    keys = {full_key("static", EVALUATE, {**read, **more}) for more in others}
    assert len(keys) == 4
    assert full_key("static", EVALUATE, {**read, ("preprocess", "train"): "not read"}) in keys
    assert full_key("other", EVALUATE, read) not in keys


def test_two_inputs_may_read_the_same_output() -> None:
    twice = Component(
        "x", "x.py", inputs=(("a", UpstreamInput("train", "model")), ("b", UpstreamInput("train", "model")))
    )
    assert full_key("static", twice, {("train", "model"): "1"}) != full_key("static", twice, {("train", "model"): "2"})
    assert twice.upstream == ("train",)


def test_deciding_with_unknown_outputs_never_names_a_key() -> None:
    step = decide(ingredients(TRAIN), None, History())
    assert (step.decision, step.key) == (RUN, None)
    known = decide(ingredients(TRAIN), {("preprocess", "train"): "d"}, History())
    waiting = decide(ingredients(TRAIN), None, past(commit()))
    assert (waiting.decision, [reason.subject for reason in waiting.reasons]) == (PENDING, ["preprocess"])
    read = {("preprocess", "train"): content("preprocess", "train")}
    assert decide(ingredients(TRAIN), read, past(commit())).decision is REUSE
    assert known.key == full_key(ingredients(TRAIN).static_key, TRAIN, {("preprocess", "train"): "d"})


# without a database ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ({}, (REUSE, REUSE, REUSE)),
        ({"evaluate": "2"}, (REUSE, REUSE, RUN)),
        ({"train": "2"}, (REUSE, RUN, PENDING)),
        ({"preprocess": "2"}, (RUN, PENDING, PENDING)),
        ({"preprocess": "2", "train": "2", "evaluate": "2"}, (RUN, RUN, RUN)),
    ],
)
def test_the_base_is_taken_as_if_it_had_succeeded(versions: dict[str, str], expected: tuple[Decision, ...]) -> None:
    plan = planned(commit(**versions), presumed(DIAMONDS, commit()))
    assert decisions(plan) == expected
    assert all("first" not in dict(why(plan, name)) for name in ALL)


def test_without_a_base_or_without_its_pipeline_nothing_is_presumed() -> None:
    assert presumed(DIAMONDS, None) == History()
    assert presumed(Pipeline("other", "local", (PREPROCESS,)), commit()) == History()


def test_what_the_base_could_not_know_is_not_presumed() -> None:
    base = commit(unknowable={"preprocess": ("why",)})
    history = presumed(DIAMONDS, base)
    assert [known.component for known in history.results] == ["train", "evaluate"]
    assert decisions(planned(base, history)) == (RUN, PENDING, PENDING)
    assert decisions(planned(commit(), history)) == (RUN, PENDING, PENDING)


def test_presumed_contents_differ_with_the_key_that_made_them() -> None:
    one, two = presumed(DIAMONDS, commit()), presumed(DIAMONDS, commit(preprocess="2"))

    def made(history: History) -> set[str]:
        return {digest for found in history.results for digest in found.outputs.values()}

    assert len(made(one)) == 4, "train, test, model, metrics"
    assert not made(one) & made(two)


def test_a_presumed_result_names_the_base() -> None:
    (step, *_) = planned(commit(), presumed(DIAMONDS, commit())).steps
    assert isinstance(step.reuses, Result)
    assert step.reasons[0].detail.endswith("reuses the base")
    assert read_by(TRAIN, dict(presumed(DIAMONDS, commit()).baseline))
