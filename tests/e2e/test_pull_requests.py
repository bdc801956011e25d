"""Pull requests on the running service: planned against where they left, trusted as far as their author, promoted by merging."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from typing import Any

import httpx
import pytest

from service.cli.demo.stage import Stage, apply
from service.cli.demo.story import Edit
from tests.e2e.test_flow import PARAMS, commit, ended, states, until

TRIGGERS = Edit("refit.yaml", 'push: ["**", "*"]', "push: [main]\n  pull_request: [main]")


def deliver(stage: Stage, number: int, action: str, head: str, base: str, *, fork: bool = False) -> str:
    """What GitHub sends for a pull request into main; the delivery's GUID."""
    name = "demo/diamonds"
    pull = {
        "number": number, "title": "a proposal", "draft": False, "user": {"login": "eve" if fork else "ada"},
        "author_association": "NONE" if fork else "MEMBER",
        "head": {"sha": head, "ref": "proposal", "repo": {"full_name": "eve/diamonds" if fork else name}},
        "base": {"sha": base, "ref": "main"},
    }  # fmt: skip
    body = json.dumps({"action": action, "number": number, "pull_request": pull, "repository": {"full_name": name}})
    signature = hmac.new(stage._secret.encode(), body.encode(), hashlib.sha256).hexdigest()
    guid = str(uuid.uuid4())
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "pull_request", "X-GitHub-Delivery": guid,
               "X-Hub-Signature-256": f"sha256={signature}"}  # fmt: skip
    answer = httpx.post(f"{stage.url}/webhooks/github", content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return guid


def proposed(stage: Stage, number: int, *edits: Edit) -> str:
    """A commit that only the pull request's own ref has."""
    stage.git("checkout", "--quiet", "--detach", "main")
    for edit in edits:
        apply(stage.work, edit)
    stage.git("commit", "--quiet", "--all", "-m", "a proposal")
    stage.git("push", "--quiet", "origin", f"HEAD:refs/pull/{number}/head")
    head = stage.git("rev-parse", "HEAD")
    stage.git("checkout", "--quiet", "main")
    return head


def execution_of(stage: Stage, guid: str) -> dict[str, Any]:
    return dict(until(lambda: stage.get("/executions", trigger=guid)["items"], f"an execution of {guid}")[0])


def finished(stage: Stage, id: str) -> dict[str, Any]:
    return dict(until(lambda: (one := stage.get(f"/executions/{id}"))["ended_at"] and one, f"{id} ends"))


def outcome(stage: Stage, guid: str) -> str:
    return str(until(lambda: stage.get(f"/deliveries/{guid}")["outcome"], f"an outcome of {guid}"))


@pytest.fixture
def main(stage: Stage) -> str:
    """A first commit on main, all of it run."""
    sha = commit(stage, "first", TRIGGERS)
    assert ended(stage, sha)["status"] == "succeeded"
    return sha


def test_a_pull_request_is_planned_and_merging_it_runs_nothing(stage: Stage, main: str) -> None:
    head = proposed(stage, 1, Edit(PARAMS, "factor: 3", "factor: 4"))
    stage.git("commit", "--quiet", "--allow-empty", "-m", "main moves on")
    stage.git("push", "--quiet", "origin", "main")
    moved = stage.git("rev-parse", "main")
    ended(stage, moved)
    done = finished(stage, execution_of(stage, deliver(stage, 1, "opened", head, moved))["id"])
    assert (done["ref"], done["pull_request"], done["base"]) == ("refs/pull/1/head", 1, main), "where it left main"
    assert states(done) == {"preprocess": "reused", "train": "succeeded", "evaluate": "succeeded"}
    assert [one["version"] for one in stage.get("/models")["items"]] == [1], "a proposal registers nothing"

    stage.git("merge", "--quiet", "--squash", head)
    stage.git("commit", "--quiet", "-m", "merged (#1)")
    stage.git("push", "--quiet", "origin", "main")
    merged = ended(stage, stage.git("rev-parse", "main"))
    assert set(states(merged).values()) == {"reused"}
    newest = stage.newest_model()
    assert newest is not None
    assert (newest["version"], newest["commit"], newest["metrics"]) == (2, merged["commit"], {"total": 48.0})
    assert "no new commit" in outcome(stage, deliver(stage, 1, "labeled", head, main))


def test_a_fork_waits_for_a_person_and_keeps_mains_manifest(stage: Stage, main: str) -> None:
    head = proposed(
        stage, 2, Edit(PARAMS, "factor: 3", "factor: 5"), Edit("refit.yaml", "run: src/train.py", "run: src/evil.py"),
        Edit("src/train.py", "print('training', flush=True)", "print('from the fork', flush=True)"),
    )  # fmt: skip
    execution = execution_of(stage, deliver(stage, 2, "opened", head, main, fork=True))
    assert execution["status"] == "awaiting_approval"
    assert "eve" in execution["needs_approval"]
    assert set(states(execution).values()) == {"waiting"}
    answer = stage.post(f"/executions/{execution['id']}/approve", "")
    assert answer.status_code == 401
    answer = stage.post(f"/executions/{execution['id']}/approve", stage.token("run"))
    assert answer.status_code == 202
    done = finished(stage, execution["id"])
    assert (done["status"], done["approved_by"]) == ("succeeded", "stage")
    assert states(done) == {"preprocess": "reused", "train": "succeeded", "evaluate": "succeeded"}
    lines = [one["text"] for one in stage.get(f"/executions/{done['id']}/logs", step="train")["items"]]
    assert lines == ["running src/train.py", "from the fork"]


def test_a_closed_pull_request_ends_what_waits_for_it(stage: Stage, main: str) -> None:
    head = proposed(stage, 3, Edit(PARAMS, "factor: 3", "factor: 6"))
    execution = execution_of(stage, deliver(stage, 3, "opened", head, main, fork=True))
    deliver(stage, 3, "closed", head, main, fork=True)
    done = finished(stage, execution["id"])
    assert (done["status"], done["cancelled"]) == ("cancelled", "pull request 3 was closed")
