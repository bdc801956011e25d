"""A log followed live, as server-sent events: of what has ended, resumed, bounded, and of what still runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import httpx

from service.cli.demo.stage import Stage
from service.cli.demo.story import Edit
from tests.e2e.conftest import source as source
from tests.e2e.conftest import stage as stage
from tests.e2e.test_flow import PARAMS, commit, running_step, until
from tests.web.site import FIRST, FOURTH, SECOND, THIRD, Site, write_log

EVENTS = {"Accept": "text/event-stream"}


def events(text: str) -> list[tuple[str, str, Any]]:
    """(name, id, data) of each event."""
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        found.append((fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"])))
    return found


def followed(site: Site, execution: str, step: str, headers: dict[str, str] | None = None, **query: Any) -> Any:
    params = {"step": step, **query}
    return site.http.get(f"/api/v1/executions/{execution}/logs", params=params, headers=EVENTS | (headers or {}))


def test_what_has_ended_is_told_and_then_the_stream_ends(looked_at: Site) -> None:
    answer = followed(looked_at, THIRD, "train")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["X-Accel-Buffering"] == "no"
    told = events(answer.text)
    assert [(name, id) for name, id, _ in told] == [("line", f"1.{n}") for n in (1, 2, 3, 4)] + [("end", "")]
    assert told[3][2]["text"] == "ValueError: no"
    assert told[-1][2] == {"state": "failed", "attempt": 1}
    assert events(looked_at.http.get(
        f"/api/v1/executions/{THIRD}/logs", params={"step": "train", "follow": "true"}).text) == told  # fmt: skip


def test_a_reused_step_tells_the_log_of_who_made_it(looked_at: Site) -> None:
    told = events(followed(looked_at, SECOND, "preprocess").text)
    assert [data.get("text", data.get("state")) for _, _, data in told] == ["53940 rows", "reused"]


def test_a_broken_stream_is_taken_up_where_it_was(looked_at: Site) -> None:
    rest = events(followed(looked_at, THIRD, "train", {"Last-Event-ID": "1.3"}).text)
    assert [id for _, id, _ in rest] == ["1.4", ""]
    assert [id for _, id, _ in events(followed(looked_at, THIRD, "train", after=2).text)] == ["1.3", "1.4", ""]
    other = followed(looked_at, THIRD, "train", {"Last-Event-ID": "7.3"})
    assert len(events(other.text)) == 5, "an attempt that is not this one: from its beginning"
    assert len(events(followed(looked_at, THIRD, "train", {"Last-Event-ID": "nonsense"}).text)) == 5


def test_a_long_log_comes_whole(site: Site) -> None:
    write_log(site.local, f"{FIRST}.train.1", [f"line {n}" for n in range(1_000)])
    told = events(followed(site, FIRST, "train").text)
    assert [data["number"] for name, _, data in told if name == "line"] == list(range(1, 1_001))


def test_what_cannot_be_followed_is_a_problem_as_ever(looked_at: Site, closed: Site) -> None:
    assert followed(looked_at, THIRD, "nope").status_code == 404
    assert followed(looked_at, "nope", "train").status_code == 404
    assert followed(closed, FOURTH, "train").status_code == 401


def test_a_running_step_is_followed_to_its_end(stage: Stage) -> None:
    sha = commit(stage, "slow", Edit("src/train.py", "time.sleep(float(f['delay']))",
                                     "[(time.sleep(0.4), print(n, flush=True)) for n in range(8)]"))  # fmt: skip
    until(lambda: running_step(stage, sha, "train"), "train runs")
    (execution,) = stage.get("/executions", commit=sha)["items"]
    command = [sys.executable, "-m", "service", "logs", execution["id"], "train", "--follow"]
    person = subprocess.Popen(
        command, env={**os.environ, "REFIT_SERVER": stage.url}, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    url = f"{stage.url}/api/v1/executions/{execution['id']}/logs"
    arrived: list[float] = []
    with httpx.stream("GET", url, params={"step": "train"}, headers=EVENTS, timeout=60) as answer:
        for line in answer.iter_lines():
            if line == "event: line":
                arrived.append(time.monotonic())
            if line.startswith("event: end"):
                break
    assert len(arrived) >= 10
    assert arrived[-1] - arrived[0] > 1.0, "line by line, not all at the end"
    out, _ = person.communicate(timeout=60)
    assert person.returncode == 0
    assert [line.split()[-1] for line in out.splitlines()][-8:] == [str(n) for n in range(8)]


def test_an_open_stream_does_not_keep_the_service_from_stopping(stage: Stage) -> None:
    sha = commit(stage, "very slow", Edit(PARAMS, "delay: 0", "delay: 50"))
    until(lambda: running_step(stage, sha, "train"), "train runs")
    (execution,) = stage.get("/executions", commit=sha)["items"]
    url = f"{stage.url}/api/v1/executions/{execution['id']}/logs"
    with httpx.stream("GET", url, params={"step": "train"}, headers=EVENTS, timeout=60) as answer:
        next(answer.iter_lines())
        process = stage._service
        assert process is not None
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
