"""Owns where a checkout's repository is found, and which commit a plan in it is compared with when none is named; real
repositories, shallow ones too."""

from __future__ import annotations

import subprocess
from pathlib import Path

import git as gitpython
import pytest

from service.adapters.git.checkout import Checkout
from service.bootstrap.here import checkout
from service.domain.errors import Refused


def git(folder: Path, *words: str) -> str:
    settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    run = subprocess.run(["git", *settings, "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return run.stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def default_base(folder: Path, head: str) -> str | None:
    with checkout(folder) as here:
        return here.default_base(head)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "--quiet")
    return folder


def test_on_the_default_branch_it_is_the_first_parent(origin: Path) -> None:
    first, second = commit(origin, "1"), commit(origin, "2")
    assert default_base(origin, second) == first
    assert default_base(origin, first) is None


def test_on_another_branch_it_is_where_the_branch_left(origin: Path) -> None:
    first = commit(origin, "1")
    git(origin, "checkout", "--quiet", "-b", "work")
    commit(origin, "2")
    last = commit(origin, "3")
    git(origin, "checkout", "--quiet", "main")
    commit(origin, "4")
    assert default_base(origin, last) == first


def test_for_a_merge_commit_it_is_the_first_parent(origin: Path) -> None:
    commit(origin, "1")
    git(origin, "checkout", "--quiet", "-b", "work")
    commit(origin, "2")
    git(origin, "checkout", "--quiet", "main")
    third = commit(origin, "3")
    git(origin, "merge", "--quiet", "--no-edit", "work")
    assert default_base(origin, git(origin, "rev-parse", "HEAD")) == third


@pytest.mark.parametrize(("depth", "known"), [(1, False), (2, True)])
def test_a_shallow_clone_may_have_none(origin: Path, tmp_path: Path, depth: int, known: bool) -> None:
    first, second = commit(origin, "1"), commit(origin, "2")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", f"--depth={depth}", f"file://{origin}", str(shallow))
    assert default_base(shallow, second) == (first if known else None)
    for folder, expected in ((shallow, True), (origin, False)):
        with checkout(folder) as here:
            assert here.is_shallow is expected


def places(origin: Path) -> dict[str, Path]:
    commit(origin, "1")
    (origin / "src" / "HEAD").mkdir(parents=True)
    linked, bare, inside = (origin.with_name(name) for name in ("linked", "bare.git", "inside"))
    git(origin, "worktree", "add", "--quiet", str(linked))
    git(origin.parent, "clone", "--quiet", "--bare", str(origin), str(bare))
    git(origin.parent, "clone", "--quiet", "--bare", str(origin), str(inside / ".git"))
    return {
        "checkout": origin,
        "folder": origin / "src",
        "HEAD": origin / "src" / "HEAD",
        "linked": linked,
        "bare": bare,
        "inside": inside,
        ".git": origin / ".git",
    }


@pytest.mark.parametrize("kind", ["checkout", "folder", "HEAD", "linked", "bare", "inside", ".git"])
def test_a_repository_is_found_wherever_gitpython_finds_it(origin: Path, kind: str) -> None:
    path = places(origin)[kind]
    with Checkout(path) as found, gitpython.Repo(path, search_parent_directories=True) as expected:
        assert found.folder.samefile(expected.common_dir)
        assert found.resolve("HEAD") == expected.head.commit.hexsha
        assert found.uncommitted() == 0


@pytest.mark.parametrize("kind", ["nothing", "file", "broken"])
def test_what_is_no_repository_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "broken" / ".git").mkdir(parents=True)
    with pytest.raises(Refused, match="--repo names one"):
        Checkout(tmp_path / kind)
