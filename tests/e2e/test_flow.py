"""What pushes lead to, on the running service: supersession and hand-over, crashes, branches that go, odd commits."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.cli.demo.stage import Stage
from service.cli.demo.story import Chapter, Edit

ANY = ("", "", "")
PARAMS = "params.yaml"


def commit(stage: Stage, message: str, *edits: Edit, branch: str = "main") -> str:
    return stage.push(Chapter("", message, ANY, ANY, edits, branch=branch))


def until(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"never: {what}")


def ended(stage: Stage, sha: str, branch: str = "main") -> dict[str, Any]:
    return dict(stage.follow(sha, Chapter("", "", ANY, ANY, branch=branch), lambda _: None))


def states(execution: dict[str, Any]) -> dict[str, str]:
    return {step["component"]: step["state"] for step in execution["steps"]}


def running_step(stage: Stage, sha: str, component: str) -> bool:
    found = stage.get("/executions", commit=sha)["items"]
    return bool(found) and states(found[0])[component] == "running" and bool(logs(stage, found[0]["id"], component))


def logs(stage: Stage, execution: str, step: str) -> list[str]:
    return [
        line["text"]
        for line in stage.get(f"/executions/{execution}/logs", step=step)["items"]
        if line["stream"] == "stdout"
    ]


def processes(marked: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marked.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_a_newer_commit_hands_over_what_it_still_wants_and_cancels_the_rest(stage: Stage) -> None:
    first = commit(stage, "slow", Edit(PARAMS, "delay: 0", "delay: 4"))
    until(lambda: running_step(stage, first, "train"), "train runs")
    second = commit(stage, "readme", Edit("README.md", "", "more\n"))
    newer = ended(stage, second)
    older = ended(stage, first)
    assert states(newer) == {"preprocess": "reused", "train": "reused", "evaluate": "succeeded"}
    assert newer["steps"][1]["reused_from"] == older["id"]
    assert states(older) == {"preprocess": "succeeded", "train": "succeeded", "evaluate": "cancelled"}
    assert older["status"] == "superseded"
    assert older["superseded_by"] == newer["id"]


def test_a_newer_commit_ends_what_it_no_longer_wants(stage: Stage) -> None:
    first = commit(stage, "slow", Edit(PARAMS, "delay: 0", "delay: 60"))
    until(lambda: running_step(stage, first, "train"), "train runs")
    second = commit(stage, "quick", Edit(PARAMS, "delay: 60", "delay: 0"))
    older, newer = ended(stage, first), ended(stage, second)
    assert newer["status"] == "succeeded"
    assert states(older)["train"] == "cancelled"
    assert processes(f"REFIT_STEP={older['id']}.train") == []


def test_a_service_killed_in_the_middle_finishes_what_it_began_and_repeats_nothing(stage: Stage) -> None:
    sha = commit(stage, "slow", Edit(PARAMS, "delay: 0", "delay: 4"))
    until(lambda: running_step(stage, sha, "train"), "train runs")
    stage.stop_service(signal.SIGKILL)
    assert len(processes("REFIT_STEP=")) >= 1  # the step goes on without the service
    stage.start_service()
    execution = ended(stage, sha)
    assert execution["status"] == "succeeded"
    assert [len(step["attempts"]) for step in execution["steps"]] == [1, 1, 1]
    assert logs(stage, execution["id"], "train") == ["training"]


def test_a_supervisor_killed_with_its_step_is_noticed_and_the_step_runs_again(stage: Stage) -> None:
    sha = commit(stage, "slow", Edit(PARAMS, "delay: 0", "delay: 3"))
    until(lambda: running_step(stage, sha, "train"), "train runs")
    (execution,) = stage.get("/executions", commit=sha)["items"]
    token = f"{execution['id']}.train.1"
    started = stage.home / "local" / "runs" / token / "started.json"
    os.kill(int(started.read_text().split('"pid": ')[1].split(",")[0]), signal.SIGKILL)
    after = ended(stage, sha)
    assert after["status"] == "succeeded"
    assert [attempt["state"] for attempt in after["steps"][1]["attempts"]] == ["lost", "succeeded"]
    assert processes(f"REFIT_STEP={token}") == []


def test_deliveries_that_arrive_while_the_service_is_down_are_not_lost(stage: Stage) -> None:
    ended(stage, commit(stage, "first"))
    stage.stop_service()
    # The hook tries for 20 s, as GitHub's redelivery would later; the service comes back meanwhile.
    pushed = os.fork()
    if pushed == 0:
        try:
            commit(stage, "while down", Edit(PARAMS, "scale: 2", "scale: 5"))
        finally:
            os._exit(0)
    time.sleep(1.0)
    stage.start_service()
    os.waitpid(pushed, 0)
    assert states(ended(stage, stage.git("rev-parse", "HEAD")))["preprocess"] == "succeeded"


def test_a_deleted_branch_ends_its_work(stage: Stage) -> None:
    ended(stage, commit(stage, "first"))
    sha = commit(stage, "slow", Edit(PARAMS, "delay: 0", "delay: 60"), branch="side")
    until(lambda: running_step(stage, sha, "train"), "train runs")
    stage.git("push", "--quiet", "origin", "--delete", "side")
    execution = ended(stage, sha, "side")
    assert execution["status"] == "cancelled"
    assert "deleted" in execution["cancelled"]


def test_tags_skip_markers_and_broken_manifests_get_an_answer_and_run_nothing(stage: Stage) -> None:
    ended(stage, commit(stage, "first"))
    commit(stage, "quietly [skip refit]", Edit(PARAMS, "scale: 2", "scale: 3"))
    stage.git("tag", "v1")
    stage.git("push", "--quiet", "origin", "v1")
    commit(stage, "break it", Edit("refit.yaml", "run: src/train.py", "runs: src/train.py"))
    outcomes = until(lambda: all_outcomes(stage, 4), "all four deliveries are decided")
    assert any("asks to skip" in one for one in outcomes)
    assert any("tags start nothing" in one for one in outcomes)
    assert any("did you mean 'run'?" in one for one in outcomes)
    assert len(stage.get("/executions")["items"]) == 1


def all_outcomes(stage: Stage, count: int) -> list[str]:
    found = [one["outcome"] for one in stage.get("/deliveries")["items"]]
    return found if len(found) == count and all(found) else []


def test_a_forced_push_is_planned_against_what_is_there_now(stage: Stage) -> None:
    ended(stage, commit(stage, "first"))
    ended(stage, commit(stage, "second", Edit(PARAMS, "factor: 3", "factor: 4")))
    stage.git("reset", "--quiet", "--hard", "HEAD~1")
    sha = commit_only(stage, "other second", Edit(PARAMS, "factor: 3", "factor: 5"))
    stage.git("push", "--quiet", "--force", "origin", "HEAD")
    execution = ended(stage, sha)
    assert states(execution) == {"preprocess": "reused", "train": "succeeded", "evaluate": "succeeded"}
    (reason,) = execution["steps"][1]["reasons"]
    assert (reason["subject"], reason["old"], reason["new"]) == ("train.factor", "4", "5")


def commit_only(stage: Stage, message: str, edit: Edit) -> str:
    path = stage.work / edit.path
    path.write_text(path.read_text().replace(edit.old, edit.new))
    stage.git("commit", "--quiet", "--all", "-m", message)
    return stage.git("rev-parse", "HEAD")


def test_a_person_can_cancel_and_run_again(stage: Stage) -> None:
    token = stage.token("run")
    sha = commit(stage, "slow", Edit(PARAMS, "delay: 0", "delay: 60"))
    until(lambda: running_step(stage, sha, "train"), "train runs")
    (execution,) = stage.get("/executions", commit=sha)["items"]
    assert stage.post(f"/executions/{execution['id']}/cancel", "").status_code == 401
    assert stage.post(f"/executions/{execution['id']}/cancel", token).status_code == 202
    assert ended(stage, sha)["status"] == "cancelled"
    again = stage.post(f"/executions/{execution['id']}/rerun", token).json()
    assert states(until(lambda: step_ended(stage, again["id"]), "preprocess is reused"))["preprocess"] == "reused"
    stage.post(f"/executions/{again['id']}/cancel", token)


def step_ended(stage: Stage, execution: str) -> dict[str, Any] | None:
    found: dict[str, Any] = stage.get(f"/executions/{execution}")
    return found if states(found)["preprocess"] == "reused" else None


def test_a_push_whose_webhook_never_came_is_planned_all_the_same(
    source: Path, database_url: str, tmp_path: Path
) -> None:
    more = {"REFIT_DATABASE_URL": database_url, "REFIT_SWEEP_SECONDS": "0.5"}
    with Stage(source, tmp_path / "stage", more) as stage:
        ended(stage, commit(stage, "first"))
        hook = stage.bare / "hooks" / "post-receive"
        hook.rename(hook.with_suffix(".off"))
        late = ended(stage, commit(stage, "twice as much", Edit(PARAMS, "scale: 2", "scale: 4")))
        assert states(late) == {"preprocess": "succeeded", "train": "succeeded", "evaluate": "succeeded"}
        assert late["trigger"].startswith("sweep-")
