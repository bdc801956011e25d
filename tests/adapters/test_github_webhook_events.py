"""What a webhook means, sans-IO: pushes, pull requests and the rest, and what nobody must act upon."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.domain.delivery import Closed, Delivery, Nothing, PullRequest, Push
from service.ports.webhook import Rejected
from tests.deliveries import GUID, NOW, ONE, PULL, PUSH, TWO, ZERO, headers, pull, read, refused

# what a push says ------------------------------------------------------------------------------------------------------


def test_a_push_in_full() -> None:
    said = "Subject\\x0a\\x0aBody"
    event = Push("acme/diamonds", "refs/heads/main", ONE, TWO, False, "Ada-L", said, default_branch="trunk")
    assert read(PUSH) == Delivery(GUID, "push", "", event, NOW)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"forced": True}, {"forced": True}),
        ({"forced": 1}, {"forced": False}),
        ({"before": ZERO, "created": True}, {"before": ZERO}),
        ({"before": "a" * 64, "after": "b" * 64}, {"before": "a" * 64, "after": "b" * 64}),
        ({"ref": "refs/heads/feature/größer-💎"}, {"ref": "refs/heads/feature/größer-💎"}),
        ({"ref": "refs/heads/--upload-pack=x"}, {"ref": "refs/heads/--upload-pack=x"}),
        ({"head_commit": None}, {"message": ""}),
        ({"head_commit": {"message": 5}}, {"message": ""}),
        (
            {"head_commit": {"message": "a\x00b\u202e\ud800" + "c" * 2_000}},
            {"message": "a\\x00b\\x202e\\xd800" + "c" * 995},
        ),
        ({"sender": None}, {"author": "ada"}),
        ({"sender": {"login": ""}, "pusher": 3}, {"author": ""}),
        ({"sender": {"login": "\x1b[31mred"}}, {"author": "\\x1b[31mred"}),
        ({"repository": {"full_name": "acme/diamonds"}}, {"default_branch": ""}),
        (
            {"repository": {"full_name": "Acme/.github", "default_branch": ["main"]}},
            {"repository": "Acme/.github", "default_branch": ""},
        ),
        ({"commits": [{"id": "not looked at"}] * 3}, {}),
    ],
)
def test_a_push_with(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    event = read(PUSH).event
    assert isinstance(event, Push)
    assert read(PUSH | changes).event == replace(event, **expected)


def test_a_branch_is_a_ref_without_its_folder() -> None:
    event = read(PUSH | {"ref": "refs/heads/refs/heads/x"}).event
    assert isinstance(event, Push)
    assert event.branch == "refs/heads/x"


@pytest.mark.parametrize(
    "changes",
    [{"after": ZERO}, {"after": "0" * 64}, {"deleted": True}, {"after": ZERO, "deleted": True, "head_commit": None}],
)
def test_a_deleted_branch_is_closed(changes: dict[str, Any]) -> None:
    assert read(PUSH | changes).event == Closed("acme/diamonds", "refs/heads/main", "refs/heads/main was deleted")


@pytest.mark.parametrize("changes", [{}, {"after": ZERO, "deleted": True}, {"forced": True}])
@pytest.mark.parametrize("ref", ["refs/tags/v1", "refs/tags/heads/main", "refs/notes/commits", "refs/pull/7/head"])
def test_tags_and_other_refs_start_nothing_and_end_nothing(ref: str, changes: dict[str, Any]) -> None:
    event = read(PUSH | changes | {"ref": ref}).event
    assert isinstance(event, Nothing)
    assert ref in event.why
    assert event.why.startswith("tags start nothing") == ref.startswith("refs/tags/")


@pytest.mark.parametrize(
    "ref",
    [
        None,
        5,
        "",
        "main",
        "refs/",
        "refs/heads/",
        "heads/main",
        "--upload-pack=touch /tmp/x",
        "-refs/heads/main",
        "refs/heads/a b",
        "refs/heads/a\nb",
        "refs/heads/a\0b",
        "refs/heads/a\x7f",
        "refs/heads/a..b",
        "refs/heads/a~1",
        "refs/heads/a^",
        "refs/heads/a:b",
        "refs/heads/a?",
        "refs/heads/*",
        "refs/heads/[a",
        "refs/heads/a\\b",
        "refs/heads/a.lock",
        "refs/heads/a.",
        "refs/heads/a/",
        "refs/heads/\ud800",
        "refs/heads/\u202efdp",
        "refs/heads/" + "a" * 2_000,
        "refs/heads/a//b",
        "refs/heads/.a",
        "refs/heads/a/.b",
        "refs/heads/a.lock/b",
        "refs/heads/a@{1}",
        "/refs/heads/a",
    ],
)
@pytest.mark.parametrize("deleted", [False, True])
def test_a_ref_that_git_could_not_have_is_refused(ref: Any, deleted: bool) -> None:
    body = json.dumps(PUSH | {"ref": ref, "deleted": deleted}).encode()
    assert refused(headers(body), body) == 400


@settings(max_examples=150, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Cn"]), min_size=1, max_size=12)
    | st.lists(st.sampled_from([".", "..", "/", "@", "{", "a", "-", ".lock", "ü"]), min_size=1, max_size=6).map("".join)
)
@example("@")
@example("a.lock.b")
def test_of_branch_names_just_those_that_git_allows_are_taken(name: str) -> None:
    allowed = subprocess.run(["git", "check-ref-format", f"refs/heads/{name}"], check=False).returncode == 0
    try:
        taken = isinstance(read(PUSH | {"ref": f"refs/heads/{name}"}).event, Push)
    except Rejected:
        taken = False
    assert taken == allowed


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize(
    "sha", [None, 1, "", "1" * 39, "1" * 41, "A" * 40, "g" * 40, "1" * 40 + "\n", "--" + "1" * 38, "１" * 40]
)
def test_a_commit_is_a_full_object_name(where: str, sha: Any) -> None:
    body = json.dumps(PUSH | {where: sha}).encode()
    assert refused(headers(body), body) == 400


@pytest.mark.parametrize(
    "name",
    [
        None,
        7,
        "",
        "diamonds",
        "/diamonds",
        "acme/",
        "acme/a/b",
        "../../x",
        "acme/..",
        "acme/.",
        "acme/a b",
        "acme/a\n",
        "acme/é",
        "a.b/c",
        "-" * 40 + "/x",
        "acme/" + "x" * 101,
        "https://x/y",
        "acme/\0",
    ],
)
@pytest.mark.parametrize("event", [b"push", b"pull_request", b"ping", b"star"])
def test_a_repository_is_owner_and_name(name: Any, event: bytes) -> None:
    body = json.dumps(PUSH | PULL | {"repository": {"full_name": name}}).encode()
    assert refused(headers(body, event), body) == 400


def test_managed_users_have_an_underscore() -> None:
    """https://docs.github.com/enterprise-cloud@latest/admin/concepts/identity-and-access-management/enterprise-managed-users"""
    assert read(PUSH | {"repository": {"full_name": "ada_acme/diamonds"}}).event.repository == "ada_acme/diamonds"


# what a pull request says ----------------------------------------------------------------------------------------------


def test_a_pull_request_in_full() -> None:
    event = PullRequest(
        "acme/diamonds",
        7,
        "opened",
        TWO,
        "deeper",
        ONE,
        "main",
        "grace",
        "MEMBER",
        from_fork=False,
        title="Deeper trees",
    )
    assert read(PULL, b"pull_request") == Delivery(GUID, "pull_request", "opened", event, NOW)
    assert event.ref == "refs/pull/7/head"


@pytest.mark.parametrize("action", ["opened", "reopened", "synchronize", "ready_for_review"])
def test_these_actions_bring_a_new_head(action: str) -> None:
    event = read(pull(action), b"pull_request").event
    assert isinstance(event, PullRequest)
    assert event.action == action


@pytest.mark.parametrize("action", ["edited", "labeled", "assigned", "converted_to_draft", "brand_new", "Opened", ""])
def test_other_actions_do_not(action: str) -> None:
    event = read(pull(action), b"pull_request").event
    assert isinstance(event, Nothing)
    assert action in event.why


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"head": {"sha": TWO, "ref": "main", "repo": {"full_name": "mallory/diamonds"}}},
            {"from_fork": True, "head_ref": "main"},
        ),
        ({"head": {"sha": TWO, "ref": "main", "repo": None}}, {"from_fork": True, "head_ref": "main"}),
        ({"head": {"sha": TWO, "ref": "main"}}, {"from_fork": True, "head_ref": "main"}),
        ({"head": {"sha": TWO, "ref": "main", "repo": {"full_name": 7}}}, {"from_fork": True, "head_ref": "main"}),
        ({"head": {"sha": TWO, "ref": "main", "repo": {"full_name": "ACME/Diamonds"}}}, {"head_ref": "main"}),
        ({"draft": True}, {"draft": True}),
        ({"user": None, "author_association": None, "title": None}, {"author": "", "association": "", "title": ""}),
        ({"title": "\u202e\0" + "x" * 2_000}, {"title": "\\x202e\\x00" + "x" * 998}),
        ({"merge_commit_sha": "nonsense", "mergeable": None}, {}),
    ],
)
def test_a_pull_request_with(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    event = read(PULL, b"pull_request").event
    assert isinstance(event, PullRequest)
    assert read(pull(**changes), b"pull_request").event == replace(event, **expected)


@pytest.mark.parametrize("merged", [True, False])
def test_a_closed_pull_request_is_closed_whatever_became_of_its_fork(merged: bool) -> None:
    event = read(pull("closed", merged=merged, head={"sha": TWO, "ref": "x", "repo": None}), b"pull_request").event
    assert event == Closed("acme/diamonds", "refs/pull/7/head", "pull request 7 was closed")


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 2**31},
        {"number": 2**70},
        {"number": 0},
        {"number": -1},
        {"number": True},
        {"number": "7"},
        {"number": 7.0},
        {"number": None},
        {"head": None},
        {"base": []},
        {"head": {"sha": "g" * 40, "ref": "x"}},
        {"base": {"ref": "main"}},
        {"head": {"sha": TWO, "ref": None}},
        {"head": {"sha": TWO, "ref": "a\nb"}},
        {"base": {"sha": ONE, "ref": "a\0"}},
        {"base": {"sha": ONE, "ref": "x" * 1_001}},
    ],
)
def test_a_pull_request_that_cannot_be_acted_upon_is_refused(changes: dict[str, Any]) -> None:
    body = json.dumps(pull(**changes)).encode()
    assert refused(headers(body, b"pull_request"), body) == 400


# the rest --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event", ["ping", "issue_comment", "check_run", "merge_group", "push_of_the_future", "installation"]
)
@pytest.mark.parametrize(
    "payload", [{"zen": "Anything"}, {"action": "created", "repository": {"full_name": "acme/diamonds"}}]
)
def test_every_other_event_is_understood_as_nothing(event: str, payload: dict[str, Any]) -> None:
    delivery = read(payload, event.encode())
    assert (delivery.name, delivery.action) == (event, payload.get("action", ""))
    assert isinstance(delivery.event, Nothing)
    assert event in delivery.event.why
    assert delivery.event.repository == payload.get("repository", {}).get("full_name", "")


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        (b"push", PULL),
        (b"pull_request", PUSH),
        (b"push", {}),
        (b"pull_request", {}),
        (b"push", PUSH | {"repository": None}),
        (b"pull_request", PULL | {"repository": None}),
    ],
)
def test_a_payload_of_another_event_is_refused(event: bytes, payload: dict[str, Any]) -> None:
    body = json.dumps(payload).encode()
    assert refused(headers(body, event), body) == 400
