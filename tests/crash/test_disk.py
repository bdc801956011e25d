"""A disk that fills up, a database that somebody locks, while the service works: it says so, loses nothing, and goes on."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.stand import NAME, Clone, Stand, until
from tests.crash.sums import FILES, MANIFEST, noted, params
from tests.disks import disk


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own with little space, mounted for the test."""
    with disk(tmp_path / "disk", "size=48m") as folder:
        yield folder


def fill(folder: Path) -> Path:
    """Take all the space that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    return filler


def stand_on(small: Path, tmp_path: Path, database: Path) -> Stand:
    """Its home on the small disk, everything else beside it."""
    stand = Stand(tmp_path / "stand", f"sqlite:///{database}")
    stand.home = small / "home"
    stand.settings = {"REFIT_HOME": str(stand.home)}
    return stand


def test_runs_and_objects(small: Path, tmp_path: Path) -> None:
    with stand_on(small, tmp_path, tmp_path / "refit.db") as stand:
        stand.serve()
        # The notes of the steps are where `parents[4]` leads from here: onto the small disk.
        clone = Clone(stand.folder / "clone", stand.git_server.url(NAME), FILES)
        first = clone.commit("first")
        clone.push()
        assert stand.ended(first)["status"] == "succeeded"
        filler = fill(small)
        status, checks = stand.ready()
        assert (status, "No space left on device" in checks["home"]) == (503, True)
        second = clone.commit("second", params(scale=7))
        clone.push()
        told = ("No space left on device", "machine fails", "disk is full")
        until(lambda: any(words in stand.log() for words in told), "it says so", stand.log)
        filler.unlink()
        until(lambda: stand.ready()[0] == 200, "it is ready again", stand.log)
        execution = stand.ended(second, 240.0)
        if execution["status"] == "failed":  # a step met the full disk: its author's to repeat
            assert "space" in str(execution) or "disk is full" in str(execution)
            third = clone.commit("third")
            clone.push()
            execution = stand.ended(third)
        assert execution["status"] == "succeeded"
        assert stand.steps() == []


def test_a_step_that_fills_the_disk_ends_with_its_outcome_and_log(small: Path, tmp_path: Path) -> None:
    greedy = (
        "import sys\nprint('begins', flush=True)\n"
        "with open('big', 'wb', buffering=0) as f:\n    try:\n        while True:\n            f.write(b'x' * 65536)\n"
        "    except OSError as e:\n        print(e, flush=True)\n"
        "for n in range(2000):\n    print('line', n, flush=True)\nsys.exit(3)\n"
    )
    manifest = MANIFEST.replace("src/preprocess.py", "src/greedy.py")
    with stand_on(small, tmp_path, tmp_path / "refit.db") as stand:
        stand.serve()
        files = FILES | {"src/greedy.py": greedy, "refit.yaml": manifest}
        clone = Clone(stand.folder / "clone", stand.git_server.url(NAME), files)
        sha = clone.commit("greedy")
        clone.push()
        execution = stand.ended(sha, 240.0)
        assert execution["steps"][0]["state"] == "failed"
        (attempt,) = execution["steps"][0]["attempts"]
        assert "exit code 3" in attempt["error"]
        assert stand.steps() == []
        runs = stand.home / "local" / "runs"
        assert not [*runs.glob("*/.*")], "no half-written file stays"
        assert not (runs / f"{execution['id']}.preprocess.1" / "work").exists()


def test_the_database(small: Path, tmp_path: Path) -> None:
    with Stand(tmp_path / "stand", f"sqlite:///{small / 'refit.db'}") as stand:
        stand.serve()
        clone = Clone(stand.folder / "clone", stand.git_server.url(NAME), FILES)
        first = clone.commit("first")
        clone.push()
        assert stand.ended(first)["status"] == "succeeded"
        filler = fill(small)
        second = clone.commit("second", params(scale=7))
        pushing = subprocess.Popen(["git", "push", "--quiet", "origin", "HEAD"], cwd=clone.folder)  # its hook tries on
        until(lambda: "database or disk is full" in stand.log(), "it says so", stand.log)
        assert pushing.poll() is None, "what is not stored is not accepted"
        filler.unlink()
        assert pushing.wait(120) == 0
        assert stand.ended(second, 180.0)["status"] == "succeeded"
        assert set(noted(stand.folder, "start").values()) == {1}
        with sqlite3.connect(small / "refit.db") as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_database_that_somebody_locks_for_long(tmp_path: Path) -> None:
    with Stand(tmp_path / "stand", f"sqlite:///{tmp_path / 'refit.db'}") as stand:
        stand.serve()
        clone = Clone(stand.folder / "clone", stand.git_server.url(NAME), FILES)
        first = clone.commit("first")
        clone.push()
        assert stand.ended(first)["status"] == "succeeded"
        other = sqlite3.connect(tmp_path / "refit.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        status, checks = stand.ready()
        assert (status, checks["database"]) == (503, "the database cannot be used now: database is locked")
        until(lambda: "the database cannot be used now" in stand.log(), "it says so", stand.log)
        other.rollback()
        other.close()
        second = clone.commit("second", params(scale=7))
        clone.push()
        assert stand.ended(second)["status"] == "succeeded"
        assert stand.ready()[0] == 200
        assert set(noted(stand.folder, "start").values()) == {1}
