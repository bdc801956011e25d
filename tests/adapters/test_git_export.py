"""A commit on disk: every file byte for byte as its key knows it, nothing else, nothing outside, no program run."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.adapters.git.checkout import Checkout
from service.adapters.git.command import Git
from service.adapters.git.objects import Objects
from service.cli.demo.git_server import run_git
from service.domain.errors import Refused
from service.domain.names import EXECUTABLE, SUBMODULE, SYMLINK
from tests.origins import Files, Origin


@pytest.fixture(params=["sha1", "sha256"])
def origin(request: pytest.FixtureRequest, tmp_path: Path) -> Origin:
    return Origin(tmp_path / "x.git", request.param)


@pytest.fixture
def objects(origin: Origin) -> Iterator[Objects]:
    made = Objects(Git(origin.path))
    yield made
    made.close()


def exported(objects: Objects, sha: str, folder: Path) -> dict[str, bytes]:
    """Path → content of every file that is there now; a link's is where it points."""
    target = folder / "target"
    target.mkdir()
    objects.export(sha, target)
    found = {}
    for path in target.rglob("*"):
        name = os.fsencode(path.relative_to(target)).decode("utf-8", "surrogateescape")
        if path.is_symlink():
            found[name] = b"-> " + os.fsencode(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def test_every_file_and_nothing_else(origin: Origin, objects: Objects, tmp_path: Path) -> None:
    files: Files = {
        "a.py": "1",
        "b/c/d.txt": "2",
        ".hidden": "",
        "ü\n.txt": "3",
        "caf\udce9": "4",
        "-rf": "5",
        "run.sh": (EXECUTABLE, "6"),
        "big.bin": os.urandom(300_000),
        ".gitignore": "*\n",
        "sub": (SUBMODULE, "1" * len(origin.blob(b""))),
    }
    sha = origin.commit(files)
    found = exported(objects, sha, tmp_path)
    plain = {
        path: content.encode() if isinstance(content, str) else content
        for path, content in files.items()
        if not isinstance(content, tuple)
    }
    assert found == {**plain, "run.sh": b"6"}
    assert stat.S_IMODE((tmp_path / "target/run.sh").stat().st_mode) & 0o111
    assert not stat.S_IMODE((tmp_path / "target/a.py").stat().st_mode) & 0o111
    assert not (tmp_path / "target/.git").exists()


def test_links_are_links_and_are_not_followed(origin: Origin, objects: Objects, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    files: Files = {
        "up": (SYMLINK, "../outside"),
        "root": (SYMLINK, "/etc/passwd"),
        "here": (SYMLINK, "a.py"),
        "a.py": "1",
        "nowhere": (SYMLINK, "absent"),
    }
    found = exported(objects, origin.commit(files), tmp_path)
    assert found == {
        "up": b"-> ../outside",
        "root": b"-> /etc/passwd",
        "here": b"-> a.py",
        "nowhere": b"-> absent",
        "a.py": b"1",
    }
    assert list(outside.iterdir()) == []


def test_a_file_is_never_written_through_a_link(origin: Origin, objects: Objects, tmp_path: Path) -> None:
    """A tree that git itself would never make: one name as a link and as a folder."""
    outside = tmp_path / "outside"
    outside.mkdir()
    link, inner = origin.blob(os.fsencode(outside)), origin.tree({b"planted": ("100644", b"evil")})
    rows = b"120000 a\0" + bytes.fromhex(link) + b"40000 a\0" + bytes.fromhex(inner)
    tree = origin.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=rows).decode()
    sha = origin.raw_commit(f"tree {tree}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nx\n".encode())
    (tmp_path / "target").mkdir()
    try:
        objects.export(sha, tmp_path / "target")
    except Refused as refusal:
        assert "exporting" in refusal.reason  # noqa: PT017 - refusing is one right answer
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("path", [b"..", b".git", b".GIT", b"git~1", b"a/../../x", b"."])
def test_a_path_out_of_the_folder_is_refused(origin: Origin, objects: Objects, tmp_path: Path, path: bytes) -> None:
    folder, _, name = path.rpartition(b"/")
    tree = bytes.fromhex(origin.tree({b"config": ("100644", b"[core]\n\tfsmonitor = touch /tmp/x\n")}))
    for part in [name, *reversed([one for one in folder.split(b"/") if one])]:
        rows = b"40000 " + part + b"\0" + tree
        tree = bytes.fromhex(
            origin.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=rows).decode()
        )
    sha = origin.raw_commit(f"tree {tree.hex()}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nx\n".encode())
    target = tmp_path / "deep" / "target"
    target.mkdir(parents=True)
    with pytest.raises(Refused, match="exporting"):
        objects.export(sha, target)
    assert list(target.iterdir()) == []
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["target"]


def test_attributes_change_nothing(origin: Origin, objects: Objects, tmp_path: Path) -> None:
    """Keys are made of blobs: were a file converted on its way, two commits with equal keys could give different files."""
    attributes = (
        "* text=auto eol=crlf\n*.c ident\n*.u working-tree-encoding=UTF-16\n*.l filter=lfs diff=lfs\n"
        "*.ex export-ignore\n*.subst export-subst\n*.old crlf\n"
    )
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    files: Files = {
        ".gitattributes": attributes,
        "a.txt": "1\n2\n",
        "b.txt": "1\r\n2\r\n",
        "x.c": "$Id$\n",
        "y.u": "ü\n",
        "z.l": pointer,
        "w.ex": "1",
        "s.subst": "$Format:%H$",
        "sub/.gitattributes": "* eol=crlf\n",
        "sub/x.old": "1\n",
    }
    found = exported(objects, origin.commit(files), tmp_path)
    assert found == {path: str(content).encode() for path, content in files.items()}


def test_the_configuration_of_a_checkout_changes_nothing(tmp_path: Path) -> None:
    """A user's own checkout may have filters, sparse patterns and hooks: a clean export knows none of them."""
    here = tmp_path / "here"
    run_git("init", "--quiet", str(here))
    for key, value in (
        ("user.name", "A"),
        ("user.email", "a@b"),
        ("filter.x.smudge", f"touch {tmp_path / 'marker'}; cat"),
        ("filter.x.clean", "cat"),
        ("core.sparseCheckout", "true"),
        ("core.symlinks", "false"),
        ("core.fileMode", "false"),
        ("core.eol", "crlf"),
    ):
        run_git("config", key, value, cwd=here)
    (here / ".git/info/sparse-checkout").write_text("/nothing\n")
    (here / ".gitattributes").write_text("* filter=x text\n")
    (here / "a.txt").write_text("1\n")
    (here / "run.sh").write_text("1\n")
    run_git("add", "--all", "--sparse", cwd=here)
    run_git("update-index", "--chmod=+x", "run.sh", cwd=here)
    oid = run_git("hash-object", "-w", "a.txt", cwd=here)
    run_git("update-index", "--add", "--cacheinfo", f"120000,{oid},link", cwd=here)
    run_git("commit", "--quiet", "-m", "x", cwd=here)
    before = sorted(path for path in here.rglob("*"))
    with Checkout(here) as checkout:
        found = exported(checkout, checkout.resolve("HEAD"), tmp_path)
    assert found == {".gitattributes": b"* filter=x text\n", "a.txt": b"1\n", "run.sh": b"1\n", "link": b"-> 1\n"}
    assert (tmp_path / "target/run.sh").stat().st_mode & 0o111
    assert not (tmp_path / "marker").exists()
    assert sorted(path for path in here.rglob("*")) == before, "nothing of the user's own is touched"
