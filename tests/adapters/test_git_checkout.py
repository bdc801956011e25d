"""A user's own repository, read where it is: a checkout, a worktree, a bare one; from wherever one stands in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.adapters.git.checkout import Checkout
from service.cli.demo.git_server import run_git
from service.domain.errors import Refused


class Here:
    """A checkout with two commits on main and one on a branch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        run_git("init", "--quiet", "--initial-branch=main", str(path))
        for key, value in (("user.name", "Ada"), ("user.email", "a@example.org")):
            self.git("config", key, value)
        self.first = self.commit("a.py", "1")
        self.git("branch", "side")
        self.second = self.commit("pkg/b.py", "2")

    def git(self, *words: str) -> str:
        return run_git(*words, cwd=self.path)

    def commit(self, name: str, text: str) -> str:
        (self.path / name).parent.mkdir(exist_ok=True)
        (self.path / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", name)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path / "here")


def test_it_is_found_from_any_folder_inside(here: Here) -> None:
    for path in (here.path, here.path / "pkg", here.path / ".git"):
        with Checkout(path) as checkout:
            assert checkout.resolve("HEAD") == here.second
            assert [change.path for change in checkout.compare(here.first, here.second).files] == ["pkg/b.py"]


def test_a_bare_repository_is_as_good(here: Here, tmp_path: Path) -> None:
    run_git("clone", "--quiet", "--bare", str(here.path), str(tmp_path / "bare.git"))
    with Checkout(tmp_path / "bare.git") as checkout:
        assert checkout.resolve("HEAD") == checkout.default_branch() == here.second
        assert set(checkout.tree(here.second).under("")) == {"a.py", "pkg/b.py"}
        assert checkout.uncommitted() == 0


def test_a_worktree_has_its_own_head_and_the_common_objects(here: Here, tmp_path: Path) -> None:
    here.git("worktree", "add", "--quiet", str(tmp_path / "tree"), "side")
    with Checkout(tmp_path / "tree") as checkout:
        assert checkout.resolve("HEAD") == here.first
        assert checkout.resolve("main") == here.second
        assert checkout.default_branch() == here.second
        (tmp_path / "target").mkdir()
        checkout.export(here.second, tmp_path / "target")
    assert (tmp_path / "target/pkg/b.py").read_text() == "2"


def test_a_clone_with_borrowed_objects(here: Here, tmp_path: Path) -> None:
    run_git("clone", "--quiet", "--shared", str(here.path), str(tmp_path / "clone"))
    (tmp_path / "target").mkdir()
    with Checkout(tmp_path / "clone") as checkout:
        checkout.export(checkout.resolve("HEAD"), tmp_path / "target")
        assert checkout.default_branch() == here.second
    assert (tmp_path / "target/a.py").read_text() == "1"


@pytest.mark.parametrize("what", ["", "absent", "file"])
def test_elsewhere_there_is_none(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match=r"opening .*not in a git repository"):
        Checkout(tmp_path / what)


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    run_git("init", "--quiet", str(tmp_path))
    with Checkout(tmp_path) as checkout:
        assert checkout.fetch() == {}
        assert checkout.default_branch() is None
        with pytest.raises(Refused, match="resolving HEAD"):
            checkout.resolve("HEAD")


@pytest.mark.parametrize("where", ["declared", "configured"])
def test_a_submodule_that_asks_to_be_ignored_is_seen(here: Here, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.chdir(here.path)  # as one calls `refit plan`
    shas = []
    for oid in ("1" * 40, "2" * 40):
        here.git("update-index", "--add", "--cacheinfo", f"160000,{oid},module")
        here.git("commit", "--quiet", "-m", oid)
        shas.append(here.git("rev-parse", "HEAD"))
    if where == "declared":
        (here.path / ".gitmodules").write_text('[submodule "m"]\npath = module\nurl = x\nignore = all\n')
    else:
        here.git("config", "diff.ignoreSubmodules", "all")
    with Checkout(here.path) as checkout:
        assert [change.path for change in checkout.compare(*shas).files] == ["module"]


# revisions -------------------------------------------------------------------------------------------------------------


def test_anything_that_git_understands_is_a_revision(here: Here) -> None:
    here.git("tag", "-a", "-m", "x", "v1", here.first)
    with Checkout(here.path / "pkg") as checkout:
        for revision in (
            "HEAD~1",
            "v1",
            "side",
            "main^",
            here.first[:8],
            "refs/heads/side",
            "main@{1}",
            here.first,
        ):
            assert checkout.resolve(revision) == here.first
        assert checkout.fetch(here.first) == {
            "refs/heads/main": here.second,
            "refs/heads/side": here.first,
            "refs/tags/v1": here.first,
        }


@pytest.mark.parametrize(
    "revision",
    [
        "",
        "--all",
        "--git-dir",
        "-h",
        "absent",
        "a.py",
        "HEAD:a.py",
        "main..side",
        "^main",
        "a\0b",
        "dead" * 10,
        "\udcff",
        "main side",
    ],
)
def test_anything_else_is_refused(here: Here, revision: str) -> None:
    with Checkout(here.path) as checkout, pytest.raises(Refused, match=r"resolving|reading"):
        checkout.resolve(revision)


def test_a_branch_may_look_like_an_option(here: Here) -> None:
    here.git("update-ref", "refs/heads/--upload-pack=x", here.first)
    with Checkout(here.path) as checkout:
        assert checkout.resolve("--upload-pack=x") == here.first
        assert checkout.fetch()["refs/heads/--upload-pack=x"] == here.first


def test_a_commit_that_is_not_here_is_refused_and_nothing_is_fetched(here: Here) -> None:
    with Checkout(here.path) as checkout, pytest.raises(Refused, match="no such commit"):
        checkout.fetch(here.first, "dead" * 10)


# where work is merged into ---------------------------------------------------------------------------------------------


def test_the_default_branch_is_the_remotes_then_main_then_master_then_the_only_one(here: Here) -> None:
    with Checkout(here.path) as checkout:
        for name, expected in (
            ("refs/heads/master", here.second),
            ("refs/remotes/origin/master", here.first),
            ("refs/remotes/origin/main", here.second),
            ("refs/remotes/origin/trunk", here.first),
        ):
            here.git("update-ref", name, here.first if expected == here.first else here.second)
            if name.endswith("trunk"):
                here.git("symbolic-ref", "refs/remotes/origin/HEAD", name)
            assert checkout.default_branch() == expected, name


def test_without_any_of_them_only_a_single_branch_is_the_default(here: Here) -> None:
    here.git("checkout", "--quiet", "side")
    here.git("branch", "-D", "main")
    with Checkout(here.path) as checkout:
        assert checkout.default_branch() == here.first
        here.git("branch", "other")
        assert checkout.default_branch() is None
        here.git("update-ref", "refs/heads/master", here.second)
        assert checkout.default_branch() == here.second


# what is not committed -------------------------------------------------------------------------------------------------


def test_changes_to_tracked_files_are_counted(here: Here, tmp_path: Path) -> None:
    with Checkout(here.path / "pkg") as checkout:
        assert checkout.uncommitted() == 0
        (here.path / "untracked").write_text("1")
        assert checkout.uncommitted() == 0
        (here.path / "a.py").write_text("changed")
        (here.path / "pkg/b.py").unlink()
        here.git("add", "a.py")
        for key in ("core.fsmonitor", "diff.external"):
            here.git("config", key, f"touch {tmp_path / 'marker'}")
        assert checkout.uncommitted() == 2
    assert not (tmp_path / "marker").exists()
