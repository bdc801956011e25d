"""The demo's story with its steps on SageMaker: the decisions that were announced for the local runner, by the same keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.cli.demo import SOURCE
from service.cli.demo.stage import Stage
from service.cli.demo.story import Played, story
from tests.e2e.test_story import check_lineage
from tests.emulators.demo import NAME, emulated
from tests.emulators.sagemaker.process import require_unshare


def made(stage: Stage, commit: str) -> list[tuple[Any, ...]]:
    """What ran for a commit: its key, in which are the contents of all that it read, what it made and what it measured."""
    results = stage.get(f"/commits/{commit}")["results"]
    return sorted((one["component"], one["key"], str(one["outputs"]), str(one["metrics"])) for one in results)


@pytest.mark.timeout(900)  # twelve pushes with real training, beside whatever else the machine does
def test_the_story_comes_out_as_announced_on_sagemaker(tmp_path: Path) -> None:
    require_unshare()
    first = story()[0]
    with Stage(SOURCE, tmp_path / "local") as stage:
        commit = stage.push(first)
        stage.follow(commit, first, lambda _: None)
        local = made(stage, commit)
    with emulated(tmp_path / "emulated") as environment, Stage(SOURCE, tmp_path / "stage", environment, NAME) as stage:
        played: list[Played] = []
        for chapter in story():
            commit = stage.push(chapter)
            played.append(Played(chapter, commit, stage.follow(commit, chapter, lambda _: None)))
            assert played[-1].differences() == [], chapter.title
        check_lineage(stage, played)
        assert made(stage, played[0].commit) == local
