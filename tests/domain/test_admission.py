"""Who and what may start an execution."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.domain.admission import Admitted, Declined, admit, triggered_by, wants_skip
from service.domain.delivery import Closed, Event, Nothing, PullRequest, Push

HERE = ("acme/diamonds", "acme/Gems")
PUSH = Push("acme/diamonds", "refs/heads/main", "0" * 40, "a" * 40, False, "ada", "message")
PULL = PullRequest(
    "acme/diamonds", 7, "synchronize", "a" * 40, "topic", "b" * 40, "main", "mallory", "NONE", False, "title"
)


def why(event: Event) -> str:
    admitted = admit(event, HERE)
    assert isinstance(admitted, Declined)
    return admitted.why


@pytest.mark.parametrize("name", ["acme/diamonds", "ACME/Diamonds", "acme/gems"])
def test_a_configured_repository_is_admitted_whatever_its_case(name: str) -> None:
    assert admit(replace(PUSH, repository=name), HERE) == Admitted()


@pytest.mark.parametrize("name", ["acme/other", "evil/diamonds", "acme/diamonds2", ""])
def test_no_other_repository_is(name: str) -> None:
    for event in (
        replace(PUSH, repository=name),
        replace(PULL, repository=name),
        Closed(name, "r", "w"),
        Nothing(name, "w"),
    ):
        assert why(event) == f"repository {name or '(none)'} is not configured on this server"
    assert isinstance(admit(PUSH, ()), Declined)


def test_an_event_without_consequence_says_so() -> None:
    assert why(Nothing("acme/diamonds", "a ping")) == "a ping"


def test_a_ref_that_is_gone_is_dealt_with() -> None:
    assert admit(Closed("acme/diamonds", "refs/heads/topic", "deleted"), HERE) == Admitted()


@pytest.mark.parametrize(
    "marker", ["[skip ci]", "[ci skip]", "[no ci]", "[skip refit]", "[refit skip]", "[SKIP CI]", "[Skip Refit]"]
)
def test_a_message_may_ask_to_skip(marker: str) -> None:
    assert wants_skip(f"docs {marker} only")
    assert why(replace(PUSH, message=f"docs {marker}")) == "the head commit's message asks to skip"


@pytest.mark.parametrize(
    "message", ["", "skip ci", "[skip  ci]", "(skip ci)", "[skip", "[do not skip ci]", "[skip cia]"]
)
def test_an_ordinary_message_does_not(message: str) -> None:
    assert not wants_skip(message)
    assert admit(replace(PUSH, message=message), HERE) == Admitted()


def test_a_merge_queues_own_branch_was_planned_as_a_pull_request() -> None:
    assert "merge queue" in why(replace(PUSH, ref="refs/heads/gh-readonly-queue/main/pr-7-abc"))
    assert admit(replace(PUSH, ref="refs/heads/gh-readonly-queued"), HERE) == Admitted()


@pytest.mark.parametrize("action", ["opened", "reopened", "synchronize", "ready_for_review"])
def test_a_pull_request_with_a_new_head_is_admitted(action: str) -> None:
    assert admit(replace(PULL, action=action), HERE) == Admitted()


@pytest.mark.parametrize("action", ["labeled", "edited", "closed", "review_requested", ""])
def test_a_pull_request_without_one_is_not(action: str) -> None:
    assert why(replace(PULL, action=action)) == f"action {action!r} brings no new commit"


@pytest.mark.parametrize(
    "association", ["NONE", "CONTRIBUTOR", "FIRST_TIMER", "FIRST_TIME_CONTRIBUTOR", "MANNEQUIN", "", "owner"]
)
def test_a_strangers_fork_needs_a_persons_yes(association: str) -> None:
    admitted = admit(replace(PULL, from_fork=True, association=association), HERE)
    assert admitted == Admitted(f"pull request from a fork by mallory ({association})")


@pytest.mark.parametrize("association", ["OWNER", "MEMBER", "COLLABORATOR"])
def test_a_fork_of_somebody_who_may_push_needs_none(association: str) -> None:
    assert admit(replace(PULL, from_fork=True, association=association), HERE) == Admitted()


@pytest.mark.parametrize(
    ("branch", "patterns", "triggers"),
    [
        ("main", ["main"], True),
        ("main", [], False),
        ("Main", ["main"], False),
        ("maintenance", ["main"], False),
        ("release/1", ["main", "release/*"], True),
        ("release", ["release/*"], False),
        ("feature/a/b", ["feature/*"], True),
        ("anything", ["*"], True),
        ("v1", ["v[0-9]"], True),
        ("[x]", ["main"], False),
    ],
)
def test_a_branch_triggers_if_a_pattern_matches_it(branch: str, patterns: list[str], triggers: bool) -> None:
    assert triggered_by(branch, patterns) == triggers
