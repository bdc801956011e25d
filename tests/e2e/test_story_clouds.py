"""The demo's story with its steps on each cloud: the decisions that were announced for the local runner, by the same keys, with
the same digests and the same metrics for every commit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from service.cli.demo import SOURCE
from service.cli.demo.stage import LOCAL, Stage
from service.cli.demo.story import Played, story
from tests.e2e.test_story import check_lineage
from tests.emulators.demo import NAMES, emulated

Made = list[tuple[Any, ...]]
"""What stands for a commit: the key of each step, in which are the contents of all that it read, what it made and what it
measured."""


def told(folder: Path, environment: Mapping[str, str] | None = None, backend: str = LOCAL) -> list[Made]:
    """The whole story, chapter by chapter, each as announced."""
    found: list[Made] = []
    with Stage(SOURCE, folder, environment, backend) as stage:
        played: list[Played] = []
        for chapter in story():
            commit = stage.push(chapter)
            played.append(Played(chapter, commit, stage.follow(commit, chapter, lambda _: None)))
            assert played[-1].differences() == [], chapter.title
            found.append(made(stage, commit))
        check_lineage(stage, played)
    return found


def made(stage: Stage, commit: str) -> Made:
    results = stage.get(f"/commits/{commit}")["results"]
    return sorted((one["component"], one["key"], str(one["outputs"]), str(one["metrics"])) for one in results)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> list[Made]:
    """The story on the local runner, once for all clouds."""
    return told(tmp_path_factory.mktemp("local") / "stage")


@pytest.mark.timeout(1800)  # twelve pushes with real training twice, beside whatever else the machine does
@pytest.mark.parametrize("cloud", sorted(NAMES))
def test_the_story_comes_out_as_announced_on(cloud: str, local: list[Made], tmp_path: Path) -> None:
    with emulated(cloud, tmp_path / "emulated") as environment:
        there = told(tmp_path / "stage", environment, NAMES[cloud])
    assert there == local
    assert sum(len(one) for one in local) > 3, "something ran"
