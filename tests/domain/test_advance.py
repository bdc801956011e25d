"""How an execution moves: each story is a plan, what was observed, and the acts that follow."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.domain.acts import Action, Promote, Record, Submit
from service.domain.advance import LOST_ATTEMPTS, SKIPPED_ATTEMPTS, advance
from service.domain.assessment import Assessment
from service.domain.execution import Artifact, Execution, Observation, Seen, State, Status, begin
from service.domain.pipeline import Limits, Pipeline
from service.domain.plan import Decision, History, make_plan
from tests.planning import DIAMONDS, PREPROCESS, TRAIN, commit, content, ingredients, past, result

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
WAITING, RUNNING, SUCCEEDED, REUSED = State.WAITING, State.RUNNING, State.SUCCEEDED, State.REUSED
FAILED, BLOCKED, CANCELLED = State.FAILED, State.BLOCKED, State.CANCELLED


class Play:
    """An execution with the acts of its last move. Observations are told by component."""

    def __init__(self, head: Assessment, history: History, *, forced: Collection[str] = (), **changes: object) -> None:
        (pipeline,) = head.manifest.pipelines
        plan = make_plan(pipeline, head, history, base=None, head="a" * 40, forced=forced)
        self.execution = Execution(
            id="exec-2", repository="acme/diamonds", pipeline=pipeline, ref="refs/heads/main", commit="a" * 40,
            tree="t" * 40, base=None, author="ada", message="m", trigger="t", created_at=NOW, steps=begin(plan),
            forced=tuple(forced),
        )  # fmt: skip
        self.change(**changes)
        self.history = history
        self.acts: tuple[Action, ...] = ()
        self.now = NOW

    def change(self, **changes: object) -> None:
        self.execution = replace(self.execution, **changes)  # type: ignore[arg-type]

    def move(
        self, *, slots: int = 9, wanted: Collection[str] = (), composes: bool = False, **seen: Observation
    ) -> Play:
        tokens = {self.token(name): observation for name, observation in seen.items()}
        self.now += timedelta(seconds=1)
        self.execution, self.acts = advance(
            self.execution, tokens, self.history, self.now, slots=slots, wanted=wanted, composes=composes
        )
        return self

    def token(self, name: str) -> str:
        return self.execution.step(name).attempts[-1].token

    @property
    def states(self) -> tuple[State, ...]:
        return tuple(step.state for step in self.execution.steps)

    @property
    def done(self) -> list[tuple[str, str]]:
        """The acts as (verb, component)."""
        return [(type(act).__name__, act.step.name) for act in self.acts]

    def reasons(self, name: str) -> list[str]:
        return [reason.kind for reason in self.execution.step(name).reasons]


def succeeded(component: str, version: str = "1", **changes: object) -> Observation:
    names = {one.name: one.products for one in DIAMONDS.components}[component]
    outputs = tuple(Artifact(name, content(component, name, version), 1) for name in names)
    return replace(Observation(Seen.SUCCEEDED, outputs=outputs, exit_code=0), **changes)  # type: ignore[arg-type]


STILL = Observation(Seen.RUNNING)
BROKEN = Observation(Seen.FAILED, error="exit code 1", exit_code=1)
GONE = Observation(Seen.LOST, error="the machine vanished")
ENDED = Observation(Seen.CANCELLED, error="cancelled")


def with_retries(retries: int) -> Pipeline:
    first = replace(PREPROCESS, limits=Limits(retries=retries, timeout=60))
    return replace(DIAMONDS, components=(first, *DIAMONDS.components[1:]))


# from the first to the last step --------------------------------------------------------------------------------------


def test_each_step_starts_when_everything_that_it_reads_is_there() -> None:
    play = Play(commit(), History()).move()
    assert play.states == (RUNNING, WAITING, WAITING)
    assert play.done == [("Submit", "preprocess")]
    play.move(preprocess=STILL)
    assert play.states == (RUNNING, WAITING, WAITING)
    assert play.done == []
    play.move(preprocess=succeeded("preprocess"))
    assert play.states == (SUCCEEDED, RUNNING, WAITING)
    assert play.done == [("Record", "preprocess"), ("Submit", "train")]
    play.move(train=succeeded("train"))
    assert play.done == [("Record", "train"), ("Submit", "evaluate")]
    assert play.execution.status is Status.RUNNING
    assert play.execution.ended_at is None
    play.move(evaluate=succeeded("evaluate"))
    assert play.states == (SUCCEEDED,) * 3
    assert play.execution.status is Status.SUCCEEDED
    assert play.execution.ended_at == play.now


def test_a_step_is_submitted_with_the_key_of_what_it_reads() -> None:
    play = Play(commit(), History()).move().move(preprocess=succeeded("preprocess", "7"))
    (submit,) = [act for act in play.acts if isinstance(act, Submit)]
    read = {("preprocess", "train"): content("preprocess", "train", "7")}
    assert submit.step.key == result(ingredients(TRAIN), read).key
    assert submit.attempt.token == "exec-2.train.1"
    assert submit.attempt == play.execution.step("train").current


def test_a_success_is_recorded_with_what_it_made_and_how_long_it_took() -> None:
    times = {"started_at": NOW, "ended_at": NOW + timedelta(seconds=42)}
    play = Play(commit(), History()).move().move(preprocess=succeeded("preprocess", **times))
    (record,) = [act for act in play.acts if isinstance(act, Record)]
    made = record.result
    assert made == replace(result(ingredients(PREPROCESS), execution="exec-2"), seconds=42.0, commit="a" * 40)
    assert record.observation.exit_code == 0
    assert record.attempt.ended_at == NOW + timedelta(seconds=42)
    assert play.execution.step("preprocess").result == made


def test_a_result_that_the_backend_had_already_says_whose_it_is() -> None:
    play = Play(commit(), History()).move().move(preprocess=succeeded("preprocess", reused="job-7"))
    last = play.execution.step("preprocess").reasons[-1]
    assert last.kind == "vendor"
    assert "job-7" in last.detail
    assert "vendor" not in Play(commit(), History()).move().move(preprocess=succeeded("preprocess")).reasons(
        "preprocess"
    )


def test_a_clock_that_went_backwards_makes_no_negative_time() -> None:
    times = {"started_at": NOW, "ended_at": NOW - timedelta(seconds=5)}
    play = Play(commit(), History()).move().move(preprocess=succeeded("preprocess", **times))
    assert [act.result.seconds for act in play.acts if isinstance(act, Record)] == [0.0]


def test_an_attempt_that_never_told_its_times_ends_now() -> None:
    play = Play(commit(), History()).move().move(preprocess=BROKEN)
    attempt = play.execution.step("preprocess").attempts[-1]
    assert (attempt.started_at, attempt.ended_at) == (None, play.now)
    assert (attempt.error, attempt.exit_code, attempt.seen) == ("exit code 1", 1, Seen.FAILED)


def test_the_start_is_noted_while_it_runs() -> None:
    play = Play(commit(), History()).move().move(preprocess=replace(STILL, started_at=NOW))
    assert play.execution.step("preprocess").attempts[-1].started_at == NOW
    play.move(preprocess=STILL)
    assert play.execution.step("preprocess").attempts[-1].started_at == NOW
    play.move(preprocess=BROKEN)
    assert play.execution.step("preprocess").attempts[-1].started_at == NOW


def test_an_attempt_that_nobody_saw_goes_on() -> None:
    play = Play(commit(), History()).move().move()
    assert play.states == (RUNNING, WAITING, WAITING)
    assert play.done == []


# reuse ----------------------------------------------------------------------------------------------------------------


def test_what_exists_is_promoted_in_one_move() -> None:
    play = Play(commit(), past(commit())).move()
    assert play.states == (REUSED,) * 3
    assert play.done == [("Promote", "preprocess"), ("Promote", "train"), ("Promote", "evaluate")]
    assert [act.result for act in play.acts if isinstance(act, Promote)] == list(play.history.results)
    assert play.execution.status is Status.SUCCEEDED
    assert play.execution.ended_at == play.now


def test_early_cutoff_spares_what_follows_when_the_same_was_made_again() -> None:
    play = Play(commit(preprocess="2"), past(commit())).move()
    assert [step.planned for step in play.execution.steps] == [Decision.RUN, Decision.PENDING, Decision.PENDING]
    play.move(preprocess=succeeded("preprocess"))
    assert play.done == [("Record", "preprocess"), ("Promote", "train"), ("Promote", "evaluate")]
    train = play.execution.step("train")
    assert (train.state, train.decision) == (REUSED, Decision.REUSE)
    assert train.reasons[0].detail == "preprocess ran and what train reads of it is identical"
    assert train.reasons[1].detail.endswith("reuses exec-1 at cccccccccc")
    assert play.execution.step("evaluate").reasons[0].detail.startswith("train, preprocess ran")


def test_a_pending_step_runs_when_its_upstream_made_something_else_and_says_so() -> None:
    play = Play(commit(preprocess="2"), past(commit())).move().move(preprocess=succeeded("preprocess", "2"))
    assert play.done == [("Record", "preprocess"), ("Submit", "train")]
    train = play.execution.step("train")
    assert (train.planned, train.decision) == (Decision.PENDING, Decision.RUN)
    assert play.reasons("train") == ["upstream"]
    play.move(train=succeeded("train"))  # the same model after all
    assert play.reasons("evaluate") == ["upstream"]
    assert play.execution.step("evaluate").reasons[0].subject == "preprocess.test"


def test_a_step_that_was_to_run_keeps_the_reasons_of_its_plan() -> None:
    play = Play(commit(preprocess="2", train="2"), past(commit()))
    planned = play.execution.step("train").reasons
    play.move().move(preprocess=succeeded("preprocess", "2"))
    assert play.execution.step("train").reasons == planned


def test_what_somebody_else_finished_meanwhile_is_taken_over() -> None:
    play = Play(commit(), History())
    play.history = past(commit(), execution="exec-9")
    play.move()
    assert play.states == (REUSED,) * 3
    assert play.reasons("train") == ["unchanged"]


def test_what_was_to_be_reused_and_is_gone_runs() -> None:
    play = Play(commit(), past(commit()))
    play.history = replace(play.history, results=tuple(replace(one, available=False) for one in play.history.results))
    play.move()
    assert play.states == (RUNNING, WAITING, WAITING)
    step = play.execution.step("preprocess")
    assert (step.planned, step.decision) == (Decision.REUSE, Decision.RUN)
    assert play.reasons("preprocess") == ["lost"]


def test_a_forced_step_runs_and_its_outcome_is_used() -> None:
    play = Play(commit(), past(commit()), forced=("train",)).move()
    assert play.states == (REUSED, RUNNING, WAITING)
    play.move(train=succeeded("train", "2"))
    assert play.states == (REUSED, SUCCEEDED, RUNNING)
    assert play.reasons("train") == ["forced"]


# in flight elsewhere --------------------------------------------------------------------------------------------------


def test_what_another_execution_computes_is_waited_for_and_taken_over() -> None:
    key = ingredients(PREPROCESS).static_key
    play = Play(commit(), History(in_flight={key: "exec-1"})).move()
    assert play.states == (WAITING, WAITING, WAITING)
    assert play.done == []
    assert play.reasons("preprocess") == ["in-flight"]
    assert play.execution.status is Status.QUEUED
    play.history = History(past(commit()).results[:1])
    play.move()
    assert play.states == (REUSED, RUNNING, WAITING)
    assert play.done == [("Promote", "preprocess"), ("Submit", "train")]


def test_if_the_other_execution_fails_the_step_runs_here() -> None:
    key = ingredients(PREPROCESS).static_key
    play = Play(commit(), History(in_flight={key: "exec-1"})).move()
    play.history = History(failed={key: "exec-1"})
    play.move()
    assert play.states == (RUNNING, WAITING, WAITING)
    assert play.reasons("preprocess") == ["first", "failed-before"]
    assert play.execution.step("preprocess").decision is Decision.RUN


def test_a_step_found_in_flight_when_its_turn_comes_waits_then() -> None:
    play = Play(commit(preprocess="2"), past(commit())).move()
    read = {("preprocess", "train"): content("preprocess", "train", "2")}
    play.history = replace(play.history, in_flight={result(ingredients(TRAIN), read).key: "exec-3"})
    play.move(preprocess=succeeded("preprocess", "2"))
    assert play.states == (SUCCEEDED, WAITING, WAITING)
    assert play.reasons("train") == ["in-flight"]
    play.history = History((*play.history.results, result(ingredients(TRAIN), read, execution="exec-3")))
    play.move()
    assert play.states == (SUCCEEDED, REUSED, RUNNING)
    assert play.reasons("train") == ["in-flight"], "its upstream made something else: nothing here was identical"


# slots ----------------------------------------------------------------------------------------------------------------


def test_no_more_steps_start_than_there_are_slots() -> None:
    twins = Pipeline("twins", "local", tuple(replace(PREPROCESS, name=f"prep{n}", run=f"prep{n}.py") for n in range(4)))
    play = Play(commit(twins), History()).move(slots=0)
    assert play.states == (WAITING,) * 4
    assert play.execution.status is Status.QUEUED
    play.move(slots=2)
    assert play.states == (RUNNING, RUNNING, WAITING, WAITING)
    assert play.done == [("Submit", "prep0"), ("Submit", "prep1")]
    play.move(slots=-3)
    assert play.states == (RUNNING, RUNNING, WAITING, WAITING)
    play.move(slots=1)
    assert play.states == (RUNNING, RUNNING, RUNNING, WAITING)


def test_a_reuse_takes_no_slot() -> None:
    assert Play(commit(), past(commit())).move(slots=0).states == (REUSED,) * 3


# failures, retries, losses --------------------------------------------------------------------------------------------


def test_a_failure_blocks_what_reads_it_and_nothing_else() -> None:
    history = past(commit())
    play = Play(commit(train="2"), history).move().move(train=BROKEN)
    assert play.states == (REUSED, FAILED, BLOCKED)
    assert play.done == []
    assert play.execution.status is Status.FAILED
    assert play.execution.ended_at == play.now


def test_blocked_spreads_through_what_is_blocked() -> None:
    play = Play(commit(), History()).move().move(preprocess=BROKEN)
    assert play.states == (FAILED, BLOCKED, BLOCKED)


def test_a_failure_is_retried_as_often_as_declared() -> None:
    play = Play(commit(with_retries(2)), History()).move()
    for number in (2, 3):
        play.move(preprocess=BROKEN)
        assert play.states == (RUNNING, WAITING, WAITING)
        assert play.done == [("Submit", "preprocess")]
        assert play.token("preprocess") == f"exec-2.preprocess.{number}"
    play.move(preprocess=BROKEN)
    assert play.states == (FAILED, BLOCKED, BLOCKED)
    assert [attempt.number for attempt in play.execution.step("preprocess").attempts] == [1, 2, 3]


def test_a_timeout_is_a_failure_like_any_other() -> None:
    late = Observation(Seen.FAILED, error="timed out after 60 s")
    play = Play(commit(with_retries(1)), History()).move().move(preprocess=late)
    assert play.states == (RUNNING, WAITING, WAITING)
    play.move(preprocess=late)
    assert play.states == (FAILED, BLOCKED, BLOCKED)
    assert play.execution.step("preprocess").attempts[-1].error == "timed out after 60 s"


def test_a_retry_may_succeed_and_keeps_the_reasons_of_its_plan() -> None:
    play = Play(commit(with_retries(1)), History())
    planned = play.execution.step("preprocess").reasons
    play.move().move(preprocess=BROKEN)
    assert play.execution.step("preprocess").reasons == planned
    play.move(preprocess=succeeded("preprocess"))
    assert play.states == (SUCCEEDED, RUNNING, WAITING)
    assert play.execution.step("preprocess").result is not None


def test_a_retry_waits_for_a_slot() -> None:
    play = Play(commit(with_retries(1)), History()).move().move(slots=0, preprocess=BROKEN)
    assert play.states == (WAITING, WAITING, WAITING)
    assert play.execution.ended_at is None
    assert play.move().done == [("Submit", "preprocess")]


def test_a_retry_takes_over_what_somebody_else_finished_meanwhile() -> None:
    play = Play(commit(with_retries(1)), History()).move()
    play.history = past(commit(with_retries(1)), execution="exec-9")
    play.move(preprocess=BROKEN)
    assert play.states == (REUSED,) * 3
    assert ("Submit", "preprocess") not in play.done


def test_a_retry_waits_for_what_somebody_else_computes_and_runs_if_that_fails() -> None:
    play = Play(commit(with_retries(1)), History()).move()
    key = play.execution.step("preprocess").key or ""
    play.history = History(in_flight={key: "exec-9"})
    play.move(preprocess=BROKEN)
    assert play.states == (WAITING, WAITING, WAITING)
    assert play.reasons("preprocess") == ["in-flight"]
    play.history = History(failed={key: "exec-9"})
    play.move()
    assert play.token("preprocess") == "exec-2.preprocess.2"
    assert play.execution.step("preprocess").decision is Decision.RUN
    assert play.reasons("preprocess") == ["first", "failed-before"]


def test_a_retry_of_a_forced_step_reuses_nothing() -> None:
    pipeline = with_retries(1)
    play = Play(commit(pipeline), past(commit(pipeline)), forced=("preprocess",)).move().move(preprocess=BROKEN)
    assert play.done == [("Submit", "preprocess")]


def test_a_retry_that_runs_keeps_the_attempts_before_it() -> None:
    play = Play(commit(with_retries(1)), History()).move().move(preprocess=BROKEN).move(preprocess=STILL)
    assert [attempt.seen for attempt in play.execution.step("preprocess").attempts] == [Seen.FAILED, Seen.RUNNING]
    play.move(preprocess=succeeded("preprocess"))
    assert [attempt.seen for attempt in play.execution.step("preprocess").attempts] == [Seen.FAILED, Seen.SUCCEEDED]


def test_a_run_that_vanished_is_repeated_without_using_up_a_retry() -> None:
    play = Play(commit(), History()).move()
    for _ in range(LOST_ATTEMPTS):
        play.move(preprocess=GONE)
        assert play.done == [("Submit", "preprocess")]
    play.move(preprocess=GONE)
    assert play.states == (FAILED, BLOCKED, BLOCKED)
    assert len(play.execution.step("preprocess").attempts) == LOST_ATTEMPTS + 1


def test_a_lost_attempt_and_a_failed_one_are_counted_apart() -> None:
    play = Play(commit(with_retries(1)), History()).move()
    for seen in (GONE, BROKEN, GONE):
        assert play.move(preprocess=seen).done == [("Submit", "preprocess")]
    assert play.move(preprocess=BROKEN).states == (FAILED, BLOCKED, BLOCKED)


def test_without_declared_retries_a_failure_after_a_loss_is_final() -> None:
    play = Play(commit(), History()).move().move(preprocess=GONE).move(preprocess=BROKEN)
    assert play.states == (FAILED, BLOCKED, BLOCKED)


def test_a_success_without_what_it_should_have_made_is_a_failure() -> None:
    play = Play(commit(), History()).move()
    play.move(preprocess=succeeded("preprocess", outputs=(Artifact("train", "sha256:x", 1),)))
    assert play.states == (FAILED, BLOCKED, BLOCKED)
    attempt = play.execution.step("preprocess").attempts[-1]
    assert (attempt.seen, attempt.error) == (Seen.FAILED, "it ended well and left no test")


# approval, cancel -----------------------------------------------------------------------------------------------------


def test_nothing_moves_before_a_person_approves() -> None:
    play = Play(commit(), past(commit()), needs_approval="a fork").move()
    assert play.states == (WAITING,) * 3
    assert play.done == []
    assert play.execution.status is Status.AWAITING_APPROVAL
    play.change(approved_by="grace")
    assert play.move().states == (REUSED,) * 3


def test_what_awaits_approval_can_be_cancelled() -> None:
    play = Play(commit(), History(), needs_approval="a fork", cancelled="by grace").move()
    assert play.states == (CANCELLED,) * 3
    assert play.execution.status is Status.CANCELLED


def test_a_cancel_ends_what_runs_and_starts_nothing() -> None:
    play = Play(commit(), History()).move()
    play.change(cancelled="by ada")
    play.move(preprocess=STILL)
    assert play.states == (RUNNING, CANCELLED, CANCELLED)
    assert play.done == [("Cancel", "preprocess")]
    assert play.execution.step("preprocess").attempts[-1].cancelling
    play.move(preprocess=ENDED)
    assert play.states == (CANCELLED,) * 3
    assert play.done == []
    assert play.execution.status is Status.CANCELLED
    assert play.execution.ended_at == play.now


def test_a_cancel_is_asked_for_until_the_attempt_has_ended() -> None:
    play = Play(commit(), History()).move()
    play.change(cancelled="by ada")
    for _ in range(3):  # whoever asked first may have died before it reached the backend
        assert play.move(preprocess=STILL).done == [("Cancel", "preprocess")]
    assert play.move().done == [("Cancel", "preprocess")], "an attempt that nobody saw included"


@pytest.mark.parametrize("seen", [BROKEN, GONE])
def test_what_dies_of_a_cancel_is_cancelled_and_never_retried(seen: Observation) -> None:
    play = Play(commit(with_retries(3)), History()).move()
    play.change(cancelled="by ada")
    play.move(preprocess=STILL).move(preprocess=seen)
    assert play.states == (CANCELLED,) * 3


def test_what_finished_in_spite_of_a_cancel_is_recorded() -> None:
    play = Play(commit(), History()).move()
    play.change(cancelled="by ada")
    play.move(preprocess=succeeded("preprocess"))
    assert play.states == (SUCCEEDED, CANCELLED, CANCELLED)
    assert play.done == [("Record", "preprocess")]
    assert play.execution.status is Status.CANCELLED


def test_a_run_that_somebody_ended_outside_blocks_what_reads_it() -> None:
    play = Play(commit(), History()).move().move(preprocess=ENDED)
    assert play.states == (CANCELLED, BLOCKED, BLOCKED)
    assert play.execution.status is Status.CANCELLED


def test_what_has_ended_never_moves_again() -> None:
    play = Play(commit(), past(commit())).move()
    before = play.execution
    play.change(cancelled="too late")
    play.history = History()
    assert play.move().done == []
    assert play.execution == replace(before, cancelled="too late")


# superseded -----------------------------------------------------------------------------------------------------------


def test_a_newer_commit_takes_over_what_it_still_wants_and_the_rest_ends() -> None:
    twins = Pipeline("twins", "local", tuple(replace(PREPROCESS, name=f"prep{n}", run=f"prep{n}.py") for n in range(3)))
    play = Play(commit(twins), History()).move(slots=2)
    still_wanted = play.execution.step("prep0").key or ""
    play.change(superseded_by="exec-3")
    play.move(wanted={still_wanted}, prep0=STILL, prep1=STILL)
    assert play.states == (RUNNING, RUNNING, CANCELLED)
    assert play.done == [("Cancel", "prep1")]
    outputs = tuple(Artifact(name, "sha256:x", 1) for name in PREPROCESS.outputs)
    play.move(wanted={still_wanted}, prep0=Observation(Seen.SUCCEEDED, outputs=outputs), prep1=ENDED)
    assert play.states == (SUCCEEDED, CANCELLED, CANCELLED)
    assert play.done == [("Record", "prep0")]
    assert play.execution.status is Status.SUPERSEDED
    assert play.execution.ended_at == play.now


def test_a_step_is_handed_over_by_its_static_key_while_the_newer_key_is_unknown() -> None:
    play = Play(commit(train="2"), past(commit())).move()
    train = play.execution.step("train")
    assert train.key != train.static_key
    play.change(superseded_by="exec-3")
    assert play.move(wanted={train.static_key}, train=STILL).done == []
    assert play.move(wanted={train.key or ""}, train=STILL).done == []
    assert play.move(wanted={"another"}, train=STILL).done == [("Cancel", "train")]


def test_what_is_handed_over_and_fails_is_not_retried_for_nobody() -> None:
    play = Play(commit(with_retries(3)), History()).move()
    wanted = {play.execution.step("preprocess").key or ""}
    play.change(superseded_by="exec-3")
    play.move(wanted=wanted, preprocess=BROKEN)
    assert play.states == (CANCELLED,) * 3
    assert play.execution.status is Status.SUPERSEDED


def test_a_persons_cancel_beats_a_hand_over() -> None:
    play = Play(commit(), History()).move()
    wanted = {play.execution.step("preprocess").key or ""}
    play.change(superseded_by="exec-3", cancelled="by ada")
    assert play.move(wanted=wanted, preprocess=STILL).done == [("Cancel", "preprocess")]
    assert play.move(preprocess=ENDED).execution.status is Status.CANCELLED


def test_a_superseded_execution_starts_nothing_even_if_it_is_wanted() -> None:
    play = Play(commit(), History())
    play.change(superseded_by="exec-3")
    wanted: Mapping[str, object] = {step.static_key: step for step in play.execution.steps}
    assert play.move(wanted=wanted).states == (CANCELLED,) * 3
    assert play.done == []


def test_what_finished_before_it_was_superseded_stays_finished() -> None:
    play = Play(commit(evaluate="2"), past(commit())).move()
    play.change(superseded_by="exec-3")
    play.move(evaluate=succeeded("evaluate"))
    assert play.execution.status is Status.SUCCEEDED


# steps that a backend takes together ------------------------------------------------------------------------------------

UNREACHED = Observation(Seen.SKIPPED, error="its submission ended before it began")


def submissions(play: Play) -> dict[str, str]:
    return {step.name: step.attempts[-1].submission for step in play.execution.steps if step.attempts}


def test_steps_that_must_run_are_submitted_together_before_what_they_read_is_made() -> None:
    play = Play(commit(), History()).move(composes=True)
    assert play.done == [("Submit", "preprocess"), ("Submit", "train"), ("Submit", "evaluate")]
    assert set(submissions(play).values()) == {"exec-2.preprocess.1"}
    assert [step.key is None for step in play.execution.steps] == [False, True, True]


def test_a_step_made_together_gets_the_key_that_it_would_have_got_alone() -> None:
    together = Play(commit(), History()).move(composes=True)
    together.move(preprocess=succeeded("preprocess"), train=succeeded("train"), evaluate=succeeded("evaluate"))
    alone = Play(commit(), History()).move().move(preprocess=succeeded("preprocess"))
    alone.move(train=succeeded("train")).move(evaluate=succeeded("evaluate"))
    assert together.states == alone.states == (SUCCEEDED,) * 3
    for one, other in zip(together.execution.steps, alone.execution.steps, strict=True):
        assert (one.key, one.result) == (other.key, other.result)


def test_a_step_that_may_turn_out_unneeded_is_not_submitted_before_that_is_known() -> None:
    play = Play(commit(preprocess="2"), past(commit())).move(composes=True)
    assert play.done == [("Submit", "preprocess")]
    play.move(composes=True, preprocess=succeeded("preprocess"))
    assert play.states == (SUCCEEDED, REUSED, REUSED)


def test_a_step_seen_to_succeed_before_what_it_read_waits_for_that() -> None:
    play = Play(commit(), History()).move(composes=True)
    play.move(composes=True, preprocess=STILL, train=succeeded("train"))
    assert play.states == (RUNNING,) * 3
    play.move(composes=True, preprocess=succeeded("preprocess"), train=succeeded("train"))
    assert play.states == (SUCCEEDED, SUCCEEDED, RUNNING)


def test_what_a_submission_never_reached_is_blocked_by_the_failure() -> None:
    play = Play(commit(), History()).move(composes=True)
    play.move(composes=True, preprocess=Observation(Seen.FAILED, error="no"), train=UNREACHED, evaluate=UNREACHED)
    assert play.states == (FAILED, BLOCKED, BLOCKED)


def test_what_a_submission_never_reached_is_submitted_again_with_the_retry() -> None:
    play = Play(commit(with_retries(1)), History()).move(composes=True)
    play.move(composes=True, preprocess=Observation(Seen.FAILED, error="no"), train=UNREACHED, evaluate=UNREACHED)
    assert play.states == (RUNNING,) * 3
    assert set(submissions(play).values()) == {"exec-2.preprocess.2"}


def test_a_step_that_no_submission_reaches_fails_in_the_end() -> None:
    play = Play(commit(), History()).move(composes=True)
    for _ in range(SKIPPED_ATTEMPTS + 1):
        assert play.states[0] is RUNNING
        play.move(composes=True, preprocess=UNREACHED, train=UNREACHED, evaluate=UNREACHED)
    assert play.states == (FAILED, FAILED, FAILED)


def test_a_newer_commit_that_wants_one_step_of_a_submission_lets_all_of_it_go_on() -> None:
    play = Play(commit(), History()).move(composes=True)
    play.change(superseded_by="exec-3")
    key = play.execution.step("train").static_key
    play.move(composes=True, wanted=[key], preprocess=STILL, train=STILL, evaluate=STILL)
    assert play.done == []
    play.move(composes=True, preprocess=STILL, train=STILL, evaluate=STILL)
    assert play.done == [("Cancel", "preprocess"), ("Cancel", "train"), ("Cancel", "evaluate")]
