"""A mirror of a remote over real git HTTP: what it fetches, in how many requests, and which names it knows."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from service.adapters.git.mirror import Mirror
from service.domain.errors import Refused, Retry
from service.domain.names import SUBMODULE, SYMLINK
from tests.origins import Files, Gate, Origin


def stored(mirror: Mirror, oid: str) -> bool:
    environment = {"PATH": os.environ["PATH"], "GIT_DIR": str(mirror.git.folder)}
    return (
        subprocess.run(["git", "cat-file", "-e", oid], env=environment, capture_output=True, check=False).returncode
        == 0
    )


# fetching --------------------------------------------------------------------------------------------------------------


def test_an_empty_remote_has_no_refs(mirror: Mirror) -> None:
    assert mirror.fetch() == {}


def test_the_first_fetch_brings_branches_tags_and_pull_requests(mirror: Mirror, origin: Origin) -> None:
    first = origin.commit({"a.py": "1"})
    pull = origin.commit({"a.py": "2"}, "refs/pull/7/head", (first,))
    origin.git("update-ref", "refs/pull/7/merge", first)
    origin.git("update-ref", "refs/notes/commits", first)
    origin.git("update-ref", "refs/tags/light", first)
    origin.git("-c", "user.name=A", "-c", "user.email=a@b", "tag", "-a", "-m", "x", "heavy", first)
    assert mirror.fetch() == {
        "refs/heads/main": first,
        "refs/pull/7/head": pull,
        "refs/tags/light": first,
        "refs/tags/heavy": first,  # peeled: a tag object is no commit
    }
    assert mirror.commit(pull).parents == (first,)


def test_later_fetches_follow_the_remote_and_forget_what_it_deleted(mirror: Mirror, origin: Origin) -> None:
    first = origin.commit({"a.py": "1"})
    origin.git("update-ref", "refs/heads/gone", first)
    origin.git("update-ref", "refs/tags/moved", first)
    mirror.fetch()
    made = mirror.git.folder.stat().st_ino
    second = origin.commit({"a.py": "2"}, parents=(first,))
    forced = origin.commit({"a.py": "3"}, "refs/heads/forced")
    origin.git("update-ref", "refs/tags/moved", second)
    origin.git("update-ref", "-d", "refs/heads/gone")
    origin.git("update-ref", "refs/heads/gone/deeper", first)  # now a folder where a branch was
    assert mirror.fetch(second) == {
        "refs/heads/main": second,
        "refs/heads/forced": forced,
        "refs/heads/gone/deeper": first,
        "refs/tags/moved": second,
    }
    origin.git("update-ref", "-d", "refs/tags/moved")
    rewritten = origin.commit({"a.py": "4"})
    assert mirror.fetch()["refs/heads/main"] == rewritten
    assert mirror.compare(second, rewritten).files, "what a forced push left behind stays readable"
    assert mirror.git.folder.stat().st_ino == made, "it is the same mirror"


def test_the_second_fetch_asks_only_for_what_is_new(mirror: Mirror, origin: Origin, gate: Gate) -> None:
    first = origin.commit({f"{n}.py": str(n) for n in range(50)})
    mirror.fetch()
    gate.fetches = 0
    assert mirror.fetch()["refs/heads/main"] == first
    assert gate.fetches == 0, "nothing new: no pack"
    packs = mirror.git.folder / "objects" / "pack"
    before = sum(path.stat().st_size for path in packs.glob("*.pack"))
    origin.commit({f"{n}.py": str(n) for n in range(51)}, parents=(first,))
    mirror.fetch()
    assert sum(path.stat().st_size for path in packs.glob("*.pack")) < 2.5 * before
    assert gate.fetches == 1


def test_the_mirror_is_blobless_and_gets_wanted_blobs_in_one_batch(mirror: Mirror, origin: Origin, gate: Gate) -> None:
    head = origin.commit({f"{n}.txt": f"text {n}" for n in range(200)})
    mirror.fetch()
    oids = [entry.oid for path in mirror.tree(head).under("") if (entry := mirror.tree(head).get(path))]
    assert len(oids) == 200
    assert not any(stored(mirror, oid) for oid in oids[:5])
    gate.fetches = 0
    assert mirror.blobs(oids[:150], 1_000)[oids[7]] == b"text 104"
    assert gate.fetches == 1
    assert not stored(mirror, oids[-1])
    mirror.blobs(oids[:150], 1_000)
    assert gate.fetches == 1, "what is here is not fetched again"


def test_what_it_exports_comes_in_one_batch_too(mirror: Mirror, origin: Origin, gate: Gate, tmp_path: Path) -> None:
    files: Files = {f"{n}.txt": str(n) for n in range(60)}
    head = origin.commit({**files, "module": (SUBMODULE, "1" * 40), "link": (SYMLINK, "1.txt")})
    mirror.fetch(head)
    gate.fetches = 0
    (tmp_path / "target").mkdir()
    mirror.export(head, tmp_path / "target")
    assert {path.name for path in (tmp_path / "target").iterdir()} == {*files, "module", "link"}
    assert gate.fetches == 1


def test_a_remote_without_filters_sends_everything(mirror: Mirror, origin: Origin, gate: Gate) -> None:
    origin.git("config", "uploadpack.allowFilter", "false")
    head = origin.commit({"a.py": "content"})
    mirror.fetch(head)
    gate.fetches = 0
    assert mirror.blobs([origin.blob(b"content")], 100) == {origin.blob(b"content"): b"content"}
    assert gate.fetches == 0


def test_blobs_that_the_remote_lost_are_none_and_spoil_no_others(mirror: Mirror, origin: Origin) -> None:
    oids = [origin.blob(f"text {n}".encode()) for n in range(9)]
    origin.commit({f"{n}.txt": f"text {n}" for n in range(9)})
    mirror.fetch()
    lost = [oids[0], oids[5]]
    for oid in lost:
        (origin.path / "objects" / oid[:2] / oid[2:]).unlink()
    found = mirror.blobs([*oids, "ab" * 20], 100)
    assert {oid for oid, content in found.items() if content is None} == {*lost, "ab" * 20}
    assert found[oids[8]] == b"text 8"


def test_a_commit_that_no_ref_names_any_more_is_fetched_by_its_name(mirror: Mirror, origin: Origin) -> None:
    orphan = origin.commit({"a.py": "1"})
    main = origin.commit({"a.py": "2"})
    assert mirror.fetch(orphan) == {"refs/heads/main": main}
    assert mirror.commit(orphan).sha == orphan


def test_so_is_one_whose_name_looks_like_a_server_error(mirror: Mirror, origin: Origin) -> None:
    """Numbers such as 503 in a message are not the server's answer."""
    odd = next(sha for n in range(10_000) if "503" in (sha := origin.commit({"a.py": "1"}, message=f"attempt {n}")))
    origin.commit({"a.py": "2"})
    mirror.fetch(odd)
    assert mirror.commit(odd).sha == odd


def test_a_commit_that_is_not_there_yet_is_tried_again(mirror: Mirror, origin: Origin) -> None:
    main = origin.commit({"a.py": "1"})
    with pytest.raises(Retry, match="does not have it yet"):
        mirror.fetch("dead" * 10)
    assert mirror.refs() == {"refs/heads/main": main}, "the rest was fetched"


def test_what_is_no_commit_is_refused(mirror: Mirror, origin: Origin) -> None:
    head = origin.commit({"a.py": "1"})
    tree = origin.git("rev-parse", f"{head}^{{tree}}").decode()
    for other in (tree, origin.blob(b"1")):
        with pytest.raises(Refused, match="commit"):
            mirror.fetch(other)


def test_a_mirror_of_many_refs(mirror: Mirror, origin: Origin) -> None:
    """17,000, as a real repository has; among them names that would be options, and names that are no UTF-8."""
    sha = origin.commit({"a.py": "1"})
    names = [b"refs/heads/%d" % n for n in range(17_000)]
    names += [b"refs/heads/--upload-pack=touch_x", b"refs/heads/-c", b"refs/heads/\xff\xfe", "refs/heads/ü/💎".encode()]
    rows = b"".join(b"%s %s\n" % (sha.encode(), name) for name in sorted(names))
    (origin.path / "packed-refs").write_bytes(b"# pack-refs with: peeled fully-peeled sorted \n" + rows)
    refs = mirror.fetch(sha)
    assert len(refs) == 17_005
    assert set(refs.values()) == {sha}
    assert refs["refs/heads/\udcff\udcfe"] == sha
    for name in ("--upload-pack=touch_x", "-c", "\udcff\udcfe", "ü/💎", "refs/heads/-c", "16999"):
        assert mirror.resolve(name) == sha


# names -----------------------------------------------------------------------------------------------------------------


def test_a_revision_is_a_ref_a_branch_a_tag_or_a_name_of_a_commit(mirror: Mirror, origin: Origin) -> None:
    first = origin.commit({"a.py": "1"})
    second = origin.commit({"a.py": "2"}, "refs/heads/v1")
    origin.git("update-ref", "refs/tags/v1", first)
    origin.git("update-ref", "refs/tags/v2", first)
    mirror.fetch()
    assert mirror.resolve("main") == first
    assert mirror.resolve("v1") == second, "a branch before a tag"
    assert mirror.resolve("refs/tags/v1") == mirror.resolve("v2") == first
    assert mirror.resolve(second) == second
    assert mirror.resolve(second[:10]) == second


@pytest.mark.parametrize(
    "revision",
    ["", "absent", "--all", "-h", "main^", "main~1", "HEAD", ":/a", "a\0b", "dead" * 10, "deadbeef", "\udcff"],
)
def test_any_other_revision_is_refused(mirror: Mirror, origin: Origin, revision: str) -> None:
    origin.commit({"a.py": "1"})
    mirror.fetch()
    with pytest.raises(Refused):
        mirror.resolve(revision)
