"""The demo's story, checked from outside: through the REST API alone, and through ``refit plan --json``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.cli.demo import SOURCE
from service.cli.demo.stage import Stage
from service.cli.demo.story import STEPS, Chapter, Played, story
from tests.conftest import series

ROOT = Path(__file__).resolve().parents[2]


def planned_outside(stage: Stage, base: str | None, head: str) -> list[dict[str, Any]]:
    """What the command line says in the bare repository, which knows no server."""
    command = [sys.executable, "-m", "service", "plan", "--json", "--repo", str(stage.bare), "--head", head]
    done = subprocess.run([*command, *(["--base", base] if base else [])], cwd=ROOT, capture_output=True, check=True)
    (pipeline,) = json.loads(done.stdout)["pipelines"]
    return list(pipeline["steps"])


@pytest.mark.parametrize("database_url", series(("sqlite", "postgres"), "sqlite"), indirect=True)
def test_the_story_comes_out_as_announced(database_url: str, tmp_path: Path) -> None:
    with Stage(SOURCE, tmp_path / "stage", {"REFIT_DATABASE_URL": database_url}) as stage:
        played: list[Played] = []
        for chapter in story():
            commit = stage.push(chapter)
            execution = stage.follow(commit, chapter, lambda _: None)
            played.append(Played(chapter, commit, execution))
            assert played[-1].differences() == [], chapter.title
            base = played[-1 - chapter.base].commit if chapter.base else None
            check_plan_outside(stage, chapter, base, commit, execution)
        check_lineage(stage, played)


def check_plan_outside(stage: Stage, chapter: Chapter, base: str | None, commit: str, execution: Any) -> None:
    outside = planned_outside(stage, base, commit)
    assert [(s["component"], s["decision"]) for s in outside] == list(zip(STEPS, chapter.plan, strict=True)), (
        chapter.title
    )
    inside = {step["component"]: step for step in execution["steps"]}
    for step in outside:
        assert step["static_key"] == inside[step["component"]]["static_key"]
        assert step["reasons"]
        if step["decision"] == "run":  # the evidence is the same, whoever gives it
            causes = {(r["kind"], r["subject"], r["new"]) for r in step["reasons"]}
            assert causes <= {(r["kind"], r["subject"], r["new"]) for r in inside[step["component"]]["reasons"]}


def check_lineage(stage: Stage, played: list[Played]) -> None:
    model = stage.newest_model()
    assert model is not None
    assert model["metrics"]["r2"] > 0.97
    graph = stage.lineage(model)
    labels = {(node["kind"], node["label"]) for node in graph["nodes"]}
    assert {("result", "diamonds/preprocess"), ("result", "diamonds/train"), ("result", "diamonds/evaluate")} <= labels
    assert ("file", "data/diamonds.csv.gz") in labels
    merged = played[-1]
    nodes = {node["id"] for node in graph["nodes"]}
    assert f"commit:{merged.commit}" in nodes  # promoted: nothing ran for it
    commit = stage.get(f"/commits/{merged.commit}")
    assert commit["results"] == []
    assert sorted(one["component"] for one in commit["promotions"]) == sorted(STEPS)
    made = stage.get(f"/commits/{played[0].commit}")
    assert sorted(one["component"] for one in made["results"]) == sorted(STEPS)
    failed = next(one for one in played if "breaks" in one.chapter.title)
    (step,) = [s for s in failed.execution["steps"] if s["state"] == "failed"]
    assert "NameError: name 'dollars' is not defined" in step["attempts"][-1]["error"]
    lines = stage.get(f"/executions/{failed.execution['id']}/logs", step="train", limit="1000")["items"]
    assert any("Traceback" in line["text"] for line in lines)
