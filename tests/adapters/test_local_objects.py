"""The store of what steps made: by content, whole or not at all, never overwritten, exact when copied out."""

from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.adapters.backends.local.objects import Objects
from service.adapters.backends.steps.digests import Unstorable, digest_of
from tests.disks import little_space

NAMES = ["a", "ü", "a b", "line\nbreak", "-rf", "\udcff", ".hidden", "a.folder", "..x"]


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "objects")


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def made(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_file_is_named_by_its_bytes_and_stored_once(objects: Objects, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for path in (one, two):
        path.write_bytes(b"content")
    stored = objects.put(one)
    assert stored.digest == f"sha256:{hashlib.sha256(b'content').hexdigest()}"
    assert stored.size == 7
    (kept,) = files_below(tmp_path / "objects")
    inode = kept.stat().st_ino
    assert objects.put(two) == digest_of(two) == stored
    assert [path.stat().st_ino for path in files_below(tmp_path / "objects")] == [inode]
    assert stat.S_IMODE(kept.stat().st_mode) == 0o444
    assert one.read_bytes() == b"content", "the original stays"


def test_a_copy_is_the_caller_s_own(objects: Objects, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"content")
    digest = objects.put(tmp_path / "x").digest
    objects.copy(digest, tmp_path / "copy")
    assert stat.S_IMODE((tmp_path / "copy").stat().st_mode) == 0o444
    (tmp_path / "copy").chmod(0o644)
    (tmp_path / "copy").write_bytes(b"spoilt")
    objects.copy(digest, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == b"content"
    with pytest.raises(FileExistsError):
        objects.copy(digest, tmp_path / "again")
    with pytest.raises(FileNotFoundError):
        objects.copy("sha256:" + "0" * 64, tmp_path / "other")


def test_a_folder_comes_back_as_it_was(objects: Objects, tmp_path: Path) -> None:
    folder = made(
        tmp_path / "folder", {name: name.encode("utf-8", "surrogateescape") for name in NAMES} | {"d/e/f": b"deep"}
    )
    (folder / "empty/inside").mkdir(parents=True)
    (folder / "d/run").write_text("#!/bin/sh")
    (folder / "d/run").chmod(0o744)
    stored = objects.put(folder)
    assert stored == digest_of(folder)
    assert stored.size == sum(path.stat().st_size for path in files_below(folder))
    objects.copy(stored.digest, tmp_path / "copy")
    assert digest_of(tmp_path / "copy") == stored
    for path in folder.rglob("*"):
        twin = tmp_path / "copy" / path.relative_to(folder)
        assert path.is_dir() == twin.is_dir()
        if path.is_file():
            assert twin.read_bytes() == path.read_bytes()
            assert os.access(twin, os.X_OK) == bool(path.stat().st_mode & 0o100)


CONTENTS = st.dictionaries(st.sampled_from(["a", "b", "c/a", "c/b"]), st.sampled_from([b"", b"1", b"2"]), max_size=4)


@settings(deadline=None, max_examples=60)
@given(CONTENTS, CONTENTS)
def test_folders_have_one_name_just_if_they_hold_the_same(
    tmp_path_factory: pytest.TempPathFactory, one: dict[str, bytes], other: dict[str, bytes]
) -> None:
    root = tmp_path_factory.mktemp("pair")
    objects = Objects(root / "objects")
    digests = [objects.put(made(root / name, files)).digest for name, files in (("one", one), ("other", other))]
    assert (digests[0] == digests[1]) == (one == other)
    assert all(objects.holds(digest) for digest in digests)


def test_modes_and_empty_folders_count_and_times_do_not(objects: Objects, tmp_path: Path) -> None:
    folder = made(tmp_path / "x", {"a": b"1"})
    first = objects.put(folder).digest
    os.utime(folder / "a", (1, 1))
    (folder / "a").chmod(0o600)
    assert objects.put(folder).digest == first
    (folder / "a").chmod(0o700)
    second = objects.put(folder).digest
    (folder / "b").mkdir()
    assert len({first, second, objects.put(folder).digest}) == 3


@pytest.mark.parametrize("kind", ["link", "link to a folder", "dangling", "fifo", "device"])
@pytest.mark.parametrize("inside", [False, True])
def test_what_is_neither_file_nor_folder_is_not_stored(
    objects: Objects, tmp_path: Path, kind: str, inside: bool
) -> None:
    (tmp_path / "real").write_text("1")
    path = tmp_path / "out"
    if inside:
        path.mkdir()
        path = path / "odd"
    match kind:
        case "link":
            path.symlink_to(tmp_path / "real")
        case "link to a folder":
            path.symlink_to(made(tmp_path / "folder", {"a": b"1"}))
        case "dangling":
            path.symlink_to("nowhere")
        case "fifo":
            os.mkfifo(path)
        case _:
            path.symlink_to("/dev/zero")
    with pytest.raises(Unstorable, match=r"symbolic link|neither"):
        objects.put(tmp_path / "out")
    assert files_below(tmp_path / "objects") == []


def test_a_link_in_a_folder_that_is_only_read_counts_as_where_it_points(objects: Objects, tmp_path: Path) -> None:
    """A folder of the repository may hold links, and is an input all the same."""
    folder = made(tmp_path / "data", {"v1": b"1", "v2": b"2"})
    seen = []
    for target in ("v1", "v2", "/dev/zero", "nowhere"):
        (folder / "latest").symlink_to(target)
        seen.append(digest_of(folder).digest)
        (folder / "latest").unlink()
    assert len({*seen, digest_of(folder).digest}) == 5


def test_a_full_disk_leaves_no_half_object(objects: Objects, tmp_path: Path) -> None:
    big = made(tmp_path / "big", {"x": b"x" * 50_000, **{f"{n}": b"%d" % n for n in range(300)}})
    with little_space(10_000):
        with pytest.raises(OSError, match="too large"):
            objects.put(big / "x")
        with pytest.raises(OSError, match="too large"):
            objects.put(big)
    digest = digest_of(big)
    left = [path for path in files_below(tmp_path / "objects") if path.name.startswith(".")]
    assert left == []
    assert not objects.holds(digest.digest)
    assert objects.put(big) == digest
    assert objects.holds(digest.digest)


def test_a_folder_is_held_only_with_all_its_files(objects: Objects, tmp_path: Path) -> None:
    folder = made(tmp_path / "x", {"a": b"1", "b/c": b"2"})
    digest = objects.put(folder).digest
    inner = digest_of(folder / "b/c").digest.removeprefix("sha256:")
    assert objects.holds(digest)
    (tmp_path / "objects" / inner[:2] / inner[2:]).unlink()
    assert not objects.holds(digest)
    assert objects.put(folder).digest == digest
    assert objects.holds(digest), "and is whole again once it was stored again"


@pytest.mark.parametrize(
    "digest",
    ["", "sha256:", "sha256:ab", "../../x", "sha256:" + "g" * 64, "sha256:../" + "0" * 61, "md5:" + "0" * 64, "0" * 64],
)
def test_what_is_no_digest_is_not_held(objects: Objects, tmp_path: Path, digest: str) -> None:
    objects.put(made(tmp_path / "x", {"a": b"1"}))
    (tmp_path / "x/a").rename(tmp_path / "x/b")
    assert not objects.holds(digest)


def test_many_store_the_same_at_once(objects: Objects, tmp_path: Path) -> None:
    folder = made(tmp_path / "x", {f"{n}": b"%d" % (n % 5) * 10_000 for n in range(20)})
    with ThreadPoolExecutor(8) as threads:
        stored = set(threads.map(lambda _: objects.put(folder), range(16)))
    assert len(stored) == 1
    objects.copy(stored.pop().digest, tmp_path / "copy")
    assert {path.name: path.read_bytes() for path in files_below(tmp_path / "copy")} == {
        path.name: path.read_bytes() for path in files_below(folder)
    }
