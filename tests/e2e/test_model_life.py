"""A model's life on the running service: a gate fails, is met, a version is approved, the next is worse and rolled back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import httpx

from service.cli.demo.stage import Stage
from service.cli.demo.story import Edit
from tests.e2e.test_flow import PARAMS, commit, ended, states

GATES = "    gates: [total < 30, total <= baseline * 1.2]\n    register:"
RAN = {"preprocess": "succeeded", "train": "succeeded", "evaluate": "succeeded"}


def refit(stage: Stage, token: str, *words: str) -> tuple[int, Any]:
    """The command line against this server; its exit code and its JSON document."""
    environment = {**os.environ, "REFIT_SERVER": stage.url, "REFIT_TOKEN": token}
    done = subprocess.run(
        [sys.executable, "-m", "service", *words, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def act(stage: Stage, token: str, path: str, why: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.post(f"{stage.url}/api/v1/models/{path}", json={"why": why}, headers=headers)


def test_a_models_life(stage: Stage) -> None:
    token = stage.token("run")

    # The gate fails, with the figures, and nothing is registered.
    bad = ended(stage, commit(stage, "too much", Edit("refit.yaml", "    register:", GATES)))
    assert (bad["status"], states(bad)) == ("failed", RAN)
    assert [(gate["passed"], gate["detail"]) for gate in bad["gates"]] == [
        (False, "total = 36 is not < 30"),
        (True, "total = 36; no success on the target branch to compare with"),
    ]
    assert (bad["gates"][0]["value"], bad["gates"][0]["bound"]) == (36.0, 30.0)
    assert stage.newest_model() is None
    code, shown = refit(stage, "", "status", bad["id"])
    assert (code, shown["status"]) == (4, "failed")

    # A commit that changes nothing does not make it pass.
    still = ended(stage, commit(stage, "explain", Edit("README.md", "", "more words\n")))
    assert (still["status"], set(states(still).values())) == ("failed", {"reused"})

    # Met: registered as a candidate, and approved.
    good = ended(stage, commit(stage, "less", Edit(PARAMS, "factor: 3", "factor: 2")))
    assert (good["status"], states(good)) == ("succeeded", RAN | {"preprocess": "reused"})
    first = stage.newest_model()
    assert first is not None
    assert (first["version"], first["status"], first["in_use"]) == (1, "candidate", False)
    assert first["metrics"] == {"total": 24.0}
    assert act(stage, "", "sums/1/approve", "who am I").status_code == 401
    assert act(stage, token, "sums/1/approve", "").status_code == 422
    approved = act(stage, token, "sums/1/approve", "within the budget").json()
    assert (approved["status"], approved["in_use"]) == ("approved", True)

    # The next one passes its gates and is worse all the same.
    worse = ended(stage, commit(stage, "more data", Edit("data.txt", "3", "4")))
    assert [gate["detail"] for gate in worse["gates"]] == [
        "total = 28 is < 30",
        "total = 28 is <= baseline 24 × 1.2 = 28.8",
    ]
    assert worse["gates"][1]["baseline"] == good["id"]
    code, second = refit(stage, token, "model", "approve", "sums/2", "--why", "newer data")
    assert (code, second["status"], second["in_use"]) == (0, "approved", True)
    code, second = refit(stage, token, "model", "rollback", "sums/2", "--why", "customers complain")
    assert (code, second["status"], second["in_use"]) == (0, "rolled_back", False)
    assert stage.get("/models/sums/1")["in_use"]
    assert [(event["status"], event["by"], event["why"]) for event in second["events"]] == [
        ("candidate", "ada", "its gates passed: total = 28 is < 30; total = 28 is <= baseline 24 × 1.2 = 28.8"),
        ("approved", "stage", "newer data"),
        ("rolled_back", "stage", "customers complain"),
    ]
    assert [event["at"] for event in second["events"]] == sorted(event["at"] for event in second["events"])
    refused = act(stage, token, "sums/2/reject", "twice")
    assert refused.status_code == 409
    assert refused.json()["detail"] == "reject of sums/2: it is rolled back; possible: approve"

    # Far worse than the baseline: the newest success counts, not what a person thinks of its model.
    failed = ended(stage, commit(stage, "far more", Edit(PARAMS, "factor: 2", "factor: 5")))
    assert [gate["passed"] for gate in failed["gates"]] == [False, False]
    assert failed["gates"][1]["baseline"] == worse["id"]
    assert [model["version"] for model in stage.get("/models")["items"]] == [2, 1]

    # From the model back to data and commits.
    graph = stage.lineage(second)
    made_of = {node["label"] for node in graph["nodes"] if node["kind"] in ("file", "result")}
    assert made_of == {"data.txt", "sums/preprocess", "sums/train", "sums/evaluate"}
    assert f"commit:{worse['commit']}" in {node["id"] for node in graph["nodes"]}


def test_a_branch_is_compared_with_the_default_branch(stage: Stage) -> None:
    gate = "    gates: [total <= baseline]\n    register:"
    main = ended(stage, commit(stage, "first", Edit("refit.yaml", "    register:", gate)))
    assert main["status"] == "succeeded"
    branch = ended(stage, commit(stage, "worse", Edit(PARAMS, "factor: 3", "factor: 4"), branch="topic"), "topic")
    assert (branch["status"], branch["gates"][0]["baseline"]) == ("failed", main["id"])
    assert branch["gates"][0]["detail"] == "total = 48 is not <= baseline 36"
    assert branch["base"] == main["commit"], "a new branch is compared with where it left the default branch"
