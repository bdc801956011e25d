"""What the API answers about a known past."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.running import ID, Running
from tests.web.site import BROKEN, FIRST, FOURTH, GOOD, HOSTILE, README, REPOSITORY, SECOND, THIRD, Site, digest, git

ALL = [FOURTH, THIRD, SECOND, FIRST]


@pytest.mark.parametrize(
    ("query", "expected"),
    [({}, ALL), ({"repository": REPOSITORY}, ALL), ({"repository": "acme/other"}, []),
     ({"pipeline": "diamonds"}, ALL), ({"branch": "main"}, [SECOND, FIRST]), ({"branch": HOSTILE}, [THIRD]),
     ({"commit": README}, [SECOND]), ({"status": "failed,awaiting_approval"}, [FOURTH, THIRD]),
     ({"status": "succeeded"}, [SECOND, FIRST]), ({"trigger": f"guid-{FIRST}"}, [FIRST]),
     ({"since": "2026-11-24T11:30:00Z"}, [FOURTH, THIRD]), ({"since": "2026-11-24T12:30:00"}, [FOURTH])],
)  # fmt: skip
def test_executions_are_filtered(looked_at: Site, query: dict[str, str], expected: list[str]) -> None:
    assert [one["id"] for one in looked_at.get("/executions", **query)["items"]] == expected


@pytest.mark.parametrize("path", ["/executions", "/results", "/metrics", "/deliveries"])
def test_following_next_gives_everything_once(looked_at: Site, path: str) -> None:
    query: dict[str, Any] = {"name": "rmse"} if path == "/metrics" else {}
    whole = looked_at.get(path, limit=100, **query)
    assert whole["next_cursor"] is None
    seen, url = [], f"/api/v1{path}?limit=1" + "".join(f"&{k}={v}" for k, v in query.items())
    while url:
        answer = looked_at.http.get(url)
        seen += answer.json()["items"]
        url = answer.links.get("next", {}).get("url", "")
        assert bool(url) == (answer.json()["next_cursor"] is not None)
    assert seen == whole["items"]


@pytest.mark.parametrize("cursor", ["x", "!!!!", "AAAA", "w4M", "MQ==", "é"])
def test_a_cursor_that_was_never_given_is_refused_or_harmless(looked_at: Site, cursor: str) -> None:
    for path in ("/executions", "/results", "/deliveries", "/metrics?name=rmse"):
        answer = looked_at.http.get(f"/api/v1{path}", params={"cursor": cursor, "name": "rmse"})
        assert answer.status_code in (200, 400, 422), path


def test_an_execution_says_what_was_decided_why_and_what_came_of_it(looked_at: Site) -> None:
    one = looked_at.get(f"/executions/{THIRD}")
    assert (one["status"], one["removed"], one["message"]) == ("failed", ["old-step"], HOSTILE)
    steps = {step["component"]: step for step in one["steps"]}
    assert {name: (step["decision"], step["state"]) for name, step in steps.items()} == {
        "preprocess": ("reuse", "reused"), "train": ("run", "failed"), "evaluate": ("run", "blocked")}  # fmt: skip
    assert steps["preprocess"]["reused_from"] == FIRST
    train = steps["train"]
    reason = train["reasons"][0]
    assert (reason["kind"], reason["subject"], reason["old"], reason["new"]) == (
        "parameter", "train.rate", "0.1", "0.05")  # fmt: skip
    assert {"kind": "parameter", "subject": "train.rate", "value": "0.05"} in train["parts"]
    assert train["attempts"][0]["exit_code"] == 1
    assert train["attempts"][0]["error"].endswith("ValueError: no")
    assert train["notes"] == [f"a note {HOSTILE}"]


def test_what_has_ended_is_not_sent_twice(looked_at: Site) -> None:
    first = looked_at.http.get(f"/api/v1/executions/{FIRST}")
    tag = first.headers["ETag"]
    assert tag.startswith('W/"')
    for given in (tag, f'"other", {tag}', "*", tag.removeprefix("W/")):
        again = looked_at.http.get(f"/api/v1/executions/{FIRST}", headers={"If-None-Match": given})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    other = looked_at.http.get(f"/api/v1/executions/{FIRST}", headers={"If-None-Match": 'W/"other"'})
    assert other.status_code == 200
    assert "ETag" not in looked_at.http.get(f"/api/v1/executions/{FOURTH}").headers


@pytest.mark.parametrize(
    ("path", "other"),
    [(f"/executions/{FIRST}", f"/executions/{SECOND}"), ("/openapi.json", f"/executions/{FIRST}"),
     (f"/executions/{THIRD}/logs?step=train&limit=2", f"/executions/{THIRD}/logs?step=train&limit=2&after=1")],
)  # fmt: skip
def test_what_never_changes_has_a_tag_of_its_own(looked_at: Site, path: str, other: str) -> None:
    tags = {one: looked_at.http.get(f"/api/v1{one}").headers["ETag"] for one in (path, other)}
    assert tags[path] != tags[other]
    again = looked_at.http.get(f"/api/v1{path}", headers={"If-None-Match": tags[path]})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tags[path])
    assert looked_at.http.get(f"/api/v1{path}", headers={"If-None-Match": tags[other]}).status_code == 200
    assert looked_at.http.head(f"/api/v1{path}", headers={"If-None-Match": tags[path]}).status_code == 304


@pytest.mark.parametrize("path", [f"/executions/{FOURTH}", f"/executions/{FOURTH}/logs?step=train", "/executions"])
def test_what_may_change_has_no_tag(looked_at: Site, path: str) -> None:
    answer = looked_at.http.get(f"/api/v1{path}", headers={"If-None-Match": "*"})
    assert (answer.status_code, "ETag" in answer.headers) == (200, False)


def test_a_log_that_still_grows_has_no_tag(site: Site) -> None:
    running, path = Running(site, SECOND), f"/api/v1/executions/{ID}/logs?step=train"
    running.write("one")
    assert "ETag" not in site.http.get(path).headers
    running.end("train")
    assert "ETag" in site.http.get(path).headers


def test_logs_by_number(looked_at: Site) -> None:
    path = f"/executions/{THIRD}/logs"
    lines = looked_at.get(path, step="train")
    assert (lines["execution"], lines["attempt"]) == (THIRD, 1)
    assert [line["text"] for line in lines["items"]] == [
        "loading", f"\\x1b[31mTraceback {HOSTILE}", "\tindented", "ValueError: no"]  # fmt: skip
    assert [line["number"] for line in looked_at.get(path, step="train", after=1, limit=2)["items"]] == [2, 3]
    assert looked_at.get(path, step="train", attempt=1)["items"] == lines["items"]


def test_logs_of_a_reused_step_are_its_makers(looked_at: Site) -> None:
    lines = looked_at.get(f"/executions/{SECOND}/logs", step="preprocess")
    assert (lines["execution"], lines["attempt"], lines["items"][0]["text"]) == (FIRST, 1, "53940 rows")


@pytest.mark.parametrize(
    ("query", "status"), [({"step": "train", "attempt": 9}, 404), ({"step": "nope"}, 404), ({}, 422)]
)
def test_logs_of_nothing(looked_at: Site, query: dict[str, Any], status: int) -> None:
    assert looked_at.http.get(f"/api/v1/executions/{THIRD}/logs", params=query).status_code == status
    assert looked_at.get(f"/executions/{THIRD}/logs", step="evaluate") == {
        "execution": None, "attempt": None, "items": []}  # fmt: skip


def test_a_commit_knows_what_it_made_and_what_satisfied_it(looked_at: Site) -> None:
    good, readme = looked_at.get(f"/commits/{GOOD}"), looked_at.get(f"/commits/{README}")
    assert {one["component"] for one in good["results"]} == {"preprocess", "train", "evaluate"}
    assert (good["promotions"], readme["results"]) == ([], [])
    assert {one["result"] for one in readme["promotions"]} == {one["id"] for one in good["results"]}


def test_pipelines_components_models_and_metrics(looked_at: Site) -> None:
    (pipeline,) = looked_at.get("/pipelines")["items"]
    assert (pipeline["repository"], pipeline["pipeline"], pipeline["latest"]["id"], pipeline["status"]) == (
        REPOSITORY, "diamonds", FOURTH, "awaiting_approval")  # fmt: skip
    components = {one["component"]: one for one in looked_at.get("/components")["items"]}
    assert list(components) == ["preprocess", "train", "evaluate"]
    train = components["train"]
    assert (train["ran"], train["reused"], train["mean_seconds"], train["latest"]["id"]) == (
        1,
        1,
        4.0,
        f"{FIRST}.train.1",
    )
    model = looked_at.get("/models/price/1")
    assert (model["commit"], model["metrics"], model["lineage"]) == (
        GOOD, {"rmse": 534.2}, "/api/v1/lineage?model=price/1")  # fmt: skip
    points = looked_at.get("/metrics", name="rmse", repository=REPOSITORY, pipeline="diamonds")["items"]
    assert [(one["commit"], one["value"], one["reused"]) for one in points] == [
        (README, 534.2, True),
        (GOOD, 534.2, False),
    ]
    assert looked_at.get("/metrics", name="rmse", pipeline="other")["items"] == []


def ids(graph: dict[str, Any], kind: str) -> set[str]:
    return {node["id"].partition(":")[2] for node in graph["nodes"] if node["kind"] == kind}


def test_lineage_leads_from_a_model_to_all_that_made_it(looked_at: Site) -> None:
    for graph in (looked_at.get("/lineage", model="price/1"),
                  looked_at.get("/lineage", model="price/1", direction="upstream")):  # fmt: skip
        assert {edge["source"] for edge in graph["edges"] if edge["kind"] == "of"} == {f"commit:{GOOD}"}
        assert ids(graph, "commit") == {GOOD, README}, "the README commit is satisfied by this very model"
        assert ids(graph, "result") == {f"{FIRST}.{name}.1" for name in ("preprocess", "train", "evaluate")}
        assert ids(graph, "file") == {f"d.csv@sha256:{digest('d.csv')}"}
        assert ids(graph, "model") == {"price/1"}
        assert not graph["truncated"]


def test_lineage_leads_from_a_metric_to_all_that_made_it(looked_at: Site) -> None:
    result = f"{FIRST}.evaluate.1"
    graph = looked_at.get("/lineage", result=result, metric="rmse")
    assert ids(graph, "metric") == {f"{result}/rmse"}
    assert ids(graph, "commit") == {GOOD}
    assert ids(graph, "result") == {f"{FIRST}.{name}.1" for name in ("preprocess", "train", "evaluate")}
    answer = looked_at.http.get("/api/v1/lineage", params={"result": result, "metric": "nope"})
    assert answer.status_code == 404


def test_lineage_leads_from_a_commit_to_all_that_it_made(looked_at: Site) -> None:
    graph = looked_at.get("/lineage", commit=GOOD, direction="downstream")
    assert ids(graph, "model") == {"price/1"}
    assert ids(graph, "metric") == {f"{FIRST}.evaluate.1/rmse", f"{FIRST}.evaluate.1/r2"}
    assert ids(graph, "commit") == {GOOD, README, BROKEN}, "it also satisfies the later commits"
    satisfied = looked_at.get("/lineage", commit=README)
    assert {edge["kind"] for edge in satisfied["edges"]} >= {"promoted", "made", "read"}


def test_lineage_walks_up_and_down_apart(looked_at: Site) -> None:
    train = f"{FIRST}.train.1"
    up = looked_at.get("/lineage", result=train, direction="upstream")
    down = looked_at.get("/lineage", result=train, direction="downstream")
    assert ids(up, "result") == {train, f"{FIRST}.preprocess.1"}
    assert ids(down, "result") == {train, f"{FIRST}.evaluate.1"}
    data = looked_at.get("/lineage", digest=f"sha256:{digest('d.csv')}")
    assert ids(data, "model") == {"price/1"}, "from a datum to every model made of it"


@pytest.mark.parametrize(("query", "status"), [({}, 422), ({"commit": GOOD, "model": "price/1"}, 422),
                                               ({"metric": "rmse"}, 422), ({"commit": BROKEN[:8]}, 422),
                                               ({"model": "price/2"}, 404), ({"model": "price"}, 404),
                                               ({"digest": "sha256:0"}, 404), ({"result": "nope"}, 404)])  # fmt: skip
def test_lineage_of_nothing(looked_at: Site, query: dict[str, str], status: int) -> None:
    assert looked_at.http.get("/api/v1/lineage", params=query).status_code == status


def test_cancel_approve_and_rerun(site: Site) -> None:
    run = site.bearer("run")
    approved = site.http.post(f"/api/v1/executions/{FOURTH}/approve", headers=run)
    assert (approved.status_code, approved.json()["approved_by"], approved.json()["status"]) == (202, "runer", "queued")
    assert site.http.post(f"/api/v1/executions/{FOURTH}/approve", headers=run).status_code == 409
    cancelled = site.http.post(f"/api/v1/executions/{FOURTH}/cancel", headers=run)
    assert (cancelled.status_code, cancelled.json()["cancelled"]) == (202, "cancelled by runer")
    assert site.http.post(f"/api/v1/executions/{FIRST}/cancel", headers=run).status_code == 409
    running = site.http.post(f"/api/v1/executions/{FOURTH}/rerun", headers=run)
    assert (running.status_code, running.json()["title"]) == (409, "Refused")
    for action in ("cancel", "approve", "rerun"):
        assert site.http.post(f"/api/v1/executions/nope/{action}", headers=run).status_code == 404


def test_replaying_a_delivery(site: Site) -> None:
    path, run = "/api/v1/deliveries/72d3162e-cc78-11e3-81ab-4c9367dc0958", site.bearer("run")
    answer = site.http.post(f"{path}/replay", headers=run)
    assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
    assert site.http.post("/api/v1/deliveries/nope/replay", headers=run).status_code == 404


def test_a_plan_is_a_dry_run(site: Site) -> None:
    head = git(site.git, "rev-parse", "HEAD")
    body = {"repository": REPOSITORY, "head": "main"}
    answer = site.http.post("/api/v1/plans", json=body)
    assert answer.status_code == 200, answer.text
    (pipeline,) = answer.json()["pipelines"]
    assert (pipeline["name"], pipeline["head"], pipeline["base"]) == (
        "diamonds", head, git(site.git, "rev-parse", "HEAD~1"))  # fmt: skip
    assert [(step["component"], step["decision"]) for step in pipeline["steps"]] == [
        ("train", "run"),
        ("evaluate", "run"),
    ]
    assert pipeline["steps"][0]["reasons"]
    assert len(site.get("/executions")["items"]) == len(ALL), "nothing is stored"


@pytest.mark.parametrize(
    ("body", "status"),
    [({"repository": "acme/other", "head": "main"}, 404), ({"repository": REPOSITORY, "head": "nope"}, 404),
     ({"repository": REPOSITORY, "head": "--upload-pack=x"}, 404), ({"repository": REPOSITORY, "head": "main\0"}, 422),
     ({"repository": REPOSITORY, "head": ""}, 422), ({"head": "main"}, 422), ([], 422),
     ({"repository": REPOSITORY, "head": "\\ud800"}, 422)],
)  # fmt: skip
def test_a_plan_of_nothing(looked_at: Site, body: object, status: int) -> None:
    text = json.dumps(body).replace("\\\\", "\\")  # a lone surrogate, as JSON escapes it
    answer = looked_at.http.post("/api/v1/plans", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
