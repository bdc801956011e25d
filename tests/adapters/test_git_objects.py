"""What a repository's objects say: commits however odd, trees, every kind of difference, blobs, from any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.adapters.git.command import Git
from service.adapters.git.objects import Objects
from service.domain.change import FileChange
from service.domain.errors import Refused
from service.domain.names import EXECUTABLE, REGULAR, SUBMODULE, SYMLINK, Entry
from tests.origins import Files, Origin

PERSON = b"Ada Lovelace <a@example.org> 1700000000 +0100"
ODD_PATHS = [
    "ü.py",
    "a b/c\td",
    "line\nbreak.py",
    "-rf",
    "--output=x",
    ":(glob)*",
    '"quoted"',
    "caf\udce9.txt",
    "\udcff\udcfe/x",
    "*",
    "💎",
]


@pytest.fixture(params=["sha1", "sha256"])
def origin(request: pytest.FixtureRequest, tmp_path: Path) -> Origin:
    return Origin(tmp_path / "x.git", request.param)


@pytest.fixture
def objects(origin: Origin) -> Iterator[Objects]:
    made = Objects(Git(origin.path))
    yield made
    made.close()


# commits ---------------------------------------------------------------------------------------------------------------


def written(origin: Origin, *lines: bytes, message: bytes = b"Subject\n\nBody\n") -> str:
    tree = origin.tree({})
    return origin.raw_commit(b"\n".join([b"tree " + tree.encode(), *lines]) + b"\n\n" + message)


def test_a_commit_in_full(origin: Origin, objects: Objects) -> None:
    one, two = origin.commit({"a": "1"}), origin.commit({"a": "2"})
    sha = written(
        origin,
        b"parent " + one.encode(),
        b"parent " + two.encode(),
        b"author " + PERSON,
        b"committer Bob <b> 1800000000 -0500",
    )
    found = objects.commit(sha)
    assert (found.sha, found.parents) == (sha, (one, two))
    assert (found.author, found.message) == ("Ada Lovelace", "Subject")
    assert found.committed_at == datetime(2027, 1, 15, 8, tzinfo=UTC)
    assert found.tree == origin.tree({})


@pytest.mark.parametrize(
    ("line", "author"),
    [
        (b"author  <a@example.org> 1 +0000", ""),
        (b"author Ada <> 1 +0000", "Ada"),
        (b"author Ada <a@b> -1 +0000", "Ada"),
        (b"author Ada <a@b> 1 +051800", "Ada"),
        (b"author Ada <a@b>", "Ada"),
        (b"author nobody at all", ""),
        (b"author J\xf6rg <j@b> 1 +0000", "J\N{REPLACEMENT CHARACTER}rg"),
        ("author Jörg\u202e\x1b[31m <j@b> 1 +0000".encode(), "Jörg\\x202e\\x1b[31m"),
        (b"author " + b"x" * 10_000 + b" <a@b> 1 +0000", "x" * 200),
        (b"x-nothing", ""),
    ],
)
def test_an_odd_author_is_no_obstacle(origin: Origin, objects: Objects, line: bytes, author: str) -> None:
    assert objects.commit(written(origin, line, b"committer " + PERSON)).author == author


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (b" 0 +0000", datetime(1970, 1, 1, tzinfo=UTC)),
        (b" 253402300799 +0000", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (b" 1099511627776 +0000", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (b" 18446744073709551615 +0000", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (b" " + b"9" * 6_000 + b" +0000", datetime(1970, 1, 1, tzinfo=UTC)),
        (b" yesterday", datetime(1970, 1, 1, tzinfo=UTC)),
        (b"", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_commit_may_claim_any_time(origin: Origin, objects: Objects, when: bytes, expected: datetime) -> None:
    sha = written(origin, b"author " + PERSON, b"committer Ada <a@b>" + when)
    assert objects.commit(sha).committed_at == expected


@pytest.mark.parametrize(
    ("message", "subject"),
    [
        (b"", ""),
        (b"\n\n  Late subject \nmore", "Late subject "),
        (b"a\0b", "a\\x00b"),
        (b"x" * 500, "x" * 200),
        (b"tree 1234\n\nparent 5678", "tree 1234"),
        (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}" * 2),
    ],
)
def test_an_odd_message_is_no_obstacle(origin: Origin, objects: Objects, message: bytes, subject: str) -> None:
    found = objects.commit(written(origin, b"author " + PERSON, b"committer " + PERSON, message=message))
    assert found.message == subject


def test_more_headers_mislead_nobody(origin: Origin, objects: Objects) -> None:
    """A signature and a merged tag are headers of several lines, which may look like others."""
    sha = written(
        origin,
        b"author " + PERSON,
        b"committer " + PERSON,
        b"encoding ISO-8859-1",
        b"mergetag object 1234\n type commit\n tree 5678\n \n parent 9999",
        b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQIz\n -----END PGP SIGNATURE-----",
        b"tree " + b"5" * 40,
        b"author Eve <e> 1 +0000",
    )
    found = objects.commit(sha)
    assert found.tree == origin.tree({}), "the first of its kind counts"
    assert (found.author, found.message, found.parents) == ("Ada Lovelace", "Subject", ())


@pytest.mark.parametrize(
    "text", [b"", b"author " + PERSON + b"\n\nx", b"tree \n\nx", b"tree ../../etc/passwd\n\nx", b"\n\n"]
)
def test_a_commit_without_a_tree_is_refused(origin: Origin, objects: Objects, text: bytes) -> None:
    with pytest.raises(Refused, match="reading commit"):
        objects.commit(origin.raw_commit(text, ref=""))


@pytest.mark.parametrize(
    "sha",
    ["", "HEAD", "main", "--all", "a" * 39, "A" * 40, "dead" * 10, "dead" * 16, "500" * 13 + "5", "1" * 40 + "\n"],
)
def test_what_is_not_here_is_refused_whatever_it_looks_like(origin: Origin, objects: Objects, sha: str) -> None:
    head = origin.commit({"a": "1"})
    asks: list[Callable[[], object]] = [
        lambda: objects.commit(sha),
        lambda: objects.tree(sha),
        lambda: objects.compare(None, sha),
        lambda: objects.compare(head, sha),
        lambda: objects.export(sha, Path("/nonexistent")),
    ]
    for ask in asks:
        with pytest.raises(Refused, match="reading"):
            ask()


def test_the_merge_base(origin: Origin, objects: Objects) -> None:
    root = origin.commit({"a": "1"})
    left, right = origin.commit({"a": "2"}, parents=(root,)), origin.commit({"a": "3"}, parents=(root,))
    stranger = origin.commit({"a": "4"})
    crossed = [origin.commit({"a": f"{n}"}, parents=(left, right)) for n in range(2)]
    assert objects.merge_base(left, right) == root
    assert objects.merge_base(root, right) == root
    assert objects.merge_base(left, stranger) is None
    assert objects.merge_base(*crossed) in (left, right), "one of several"
    with pytest.raises(Refused):
        objects.merge_base("main", left)


# trees and differences -------------------------------------------------------------------------------------------------

BEFORE: Files = {
    "same.py": "1",
    "edited.py": "1",
    "gone.py": "1",
    "run.sh": "1",
    "moved/old.py": "the same text",
    "edited-and-moved": "x" * 500,
    "link": (SYMLINK, "same.py"),
    "file-to-link": "same.py",
    "module": (SUBMODULE, "1" * 40),
    "swapped": "1",
    "folder/swapped": "1",
}
AFTER: Files = {
    "same.py": "1",
    "edited.py": "2",
    "new.py": "1",
    "run.sh": (EXECUTABLE, "1"),
    "moved/new.py": "the same text",
    "edited-and-moved-2": "x" * 499,
    "link": (SYMLINK, "edited.py"),
    "file-to-link": (SYMLINK, "same.py"),
    "module": (SUBMODULE, "2" * 40),
    "swapped/inner": "1",
    "folder": "1",
    ".gitmodules": '[submodule "m"]\npath=module\nurl=x\nignore=all\n',
}


def test_every_kind_of_difference(origin: Origin, objects: Objects) -> None:
    before, after = (_sized(origin, files) for files in (BEFORE, AFTER))
    base, head = origin.commit(before), origin.commit(after)
    change = objects.compare(base, head)
    kinds = {one.path: one.kind for one in change.files}
    assert kinds == {
        "edited.py": "modified",
        "gone.py": "deleted",
        "new.py": "added",
        "run.sh": "mode",
        "moved/old.py": "deleted",
        "moved/new.py": "added",
        "edited-and-moved": "deleted",
        "edited-and-moved-2": "added",
        "link": "modified",
        "file-to-link": "mode",
        "module": "modified",
        "swapped": "deleted",
        "swapped/inner": "added",
        "folder": "added",
        "folder/swapped": "deleted",
        ".gitmodules": "added",
    }
    assert ("moved/old.py", "moved/new.py") in change.renames
    found = {one.path: one for one in change.files}
    assert found["run.sh"] == FileChange(
        "run.sh", Entry(REGULAR, origin.blob(b"1")), Entry(EXECUTABLE, origin.blob(b"1"))
    )
    assert found["link"].new == Entry(SYMLINK, origin.blob(b"edited.py"))
    assert found["module"].new == Entry(SUBMODULE, after["module"][1])
    back = objects.compare(head, base)
    assert [(one.path, one.new, one.old) for one in back.files] == [
        (one.path, one.old, one.new) for one in change.files
    ]


def _sized(origin: Origin, files: Files) -> Files:
    """With submodules' commits as long as this repository's names are."""
    size = len(origin.blob(b""))
    return {
        path: (given[0], str(given[1])[0] * size) if given[0] == SUBMODULE else given for path, given in files.items()
    }


def test_without_a_base_every_file_is_added(origin: Origin, objects: Objects) -> None:
    head = origin.commit(_sized(origin, BEFORE))
    change = objects.compare(None, head)
    assert {one.path for one in change.files} == set(BEFORE)
    assert {one.kind for one in change.files} == {"added"}
    assert objects.compare(head, head).files == ()
    assert objects.compare(None, origin.commit({})).files == ()
    assert len(objects.compare(head, origin.commit({}, "refs/heads/empty")).files) == len(BEFORE)


def test_any_path_that_git_can_hold(origin: Origin, objects: Objects) -> None:
    files: Files = {path: path.encode("utf-8", "surrogateescape") for path in ODD_PATHS}
    head = origin.commit(files)
    tree = objects.tree(head)
    assert set(tree.under("")) == set(ODD_PATHS)
    assert {one.path for one in objects.compare(None, head).files} == set(ODD_PATHS)
    entries = {path: tree.get(path) for path in ODD_PATHS}
    contents = objects.blobs([entry.oid for entry in entries.values() if entry], 100)
    assert {path: contents[entry.oid] for path, entry in entries.items() if entry} == files


def test_a_tree_from_a_neighbour_is_the_tree(origin: Origin, objects: Objects) -> None:
    shas = [origin.commit(_sized(origin, files)) for files in (BEFORE, AFTER, {}, BEFORE, {"a": "1"}, AFTER)]
    shas += [origin.commit({f"{n}.py": str(n) for n in range(at, 40)}) for at in range(12)]
    for sha in [*shas, *reversed(shas)]:
        fresh = Objects(objects.git)
        expected, found = fresh.tree(sha), objects.tree(sha)
        paths = list(expected.under(""))
        assert list(found.under("")) == paths
        assert [found.get(path) for path in paths] == [expected.get(path) for path in paths]
        assert found.links == expected.links
        fresh.close()


def test_a_tree_that_cannot_be_read_is_never_no_difference(origin: Origin, objects: Objects) -> None:
    first, second = origin.commit({"a": "1"}), origin.commit({"a": "2", "d/b": "3"})
    third = origin.commit({"a": "3"})
    assert objects.compare(first, third).files
    tree = objects.commit(second).tree
    (origin.path / "objects" / tree[:2] / tree[2:]).unlink()
    for base, head in ((first, second), (second, third)):
        with pytest.raises(Refused, match="comparing"):
            objects.compare(base, head)
    with pytest.raises(Refused):
        objects.tree(second)
    assert objects.compare(first, third).files, "and the next question is answered"


def test_what_arrives_later_is_seen(origin: Origin, objects: Objects) -> None:
    """diff-tree lives on while packs come and go."""
    head = origin.commit({"a": "0"})
    for n in range(1, 4):
        head, base = origin.commit({"a": str(n)}, parents=(head,)), head
        origin.git("repack", "-a", "-d", "-q")
        assert [one.path for one in objects.compare(base, head).files] == ["a"]


def test_a_diff_tree_that_was_killed_is_started_again(origin: Origin, objects: Objects) -> None:
    base, head = origin.commit({"a": "1"}), origin.commit({"a": "2"})
    expected = objects.compare(base, head)
    process = objects._differ._process
    assert process is not None
    process.kill()
    assert objects.compare(base, head) == expected
    objects.close()
    assert objects.compare(base, head) == expected


def test_threads_get_their_own_answers(origin: Origin, objects: Objects) -> None:
    shas = [origin.commit({"a": str(n), **{f"{m}": str(m) for m in range(n)}}) for n in range(12)]
    blobs = [origin.blob(str(n).encode()) for n in range(12)]

    def ask(at: int) -> bool:
        one, other = at % 12, (at * 7 + 3) % 12
        changed = {change.path for change in objects.compare(shas[one], shas[other]).files}
        wanted = {str(m) for m in range(min(one, other), max(one, other))} | ({"a"} if one != other else set())
        return (
            changed == wanted
            and len(list(objects.tree(shas[one]).under(""))) == one + 1
            and objects.blobs([blobs[other]], 10) == {blobs[other]: str(other).encode()}
            and objects.commit(shas[other]).sha == shas[other]
        )

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(96)))


def test_a_large_difference_arrives_whole(origin: Origin, objects: Objects) -> None:
    files: Files = {f"{n % 97}/{'long' * 20}-{n}.txt": str(n) for n in range(4_000)}
    head = origin.quickly(files)
    assert {one.path for one in objects.compare(None, head).files} == set(files)


# blobs -----------------------------------------------------------------------------------------------------------------


def test_blobs_by_name_within_a_limit(origin: Origin, objects: Objects) -> None:
    contents = [b"", b"\n", b"\0\0", b"a blob 12\nmissing\n", bytes(range(256)), b"x" * 1_000]
    oids = [origin.blob(content) for content in contents]
    tree, absent = origin.tree({}), oids[0].replace(oids[0][0], "0" if oids[0][0] != "0" else "1")
    found = objects.blobs([*oids, *oids, tree, absent], 1_000)
    assert found == {**dict(zip(oids, contents, strict=True)), tree: None, absent: None}
    assert objects.blobs(oids, 999) == {**dict(zip(oids, contents, strict=True)), oids[-1]: None}
    assert objects.blobs(oids[:2], 0) == {oids[0]: b"", oids[1]: None}
    assert objects.blobs([], 10) == {}
    with pytest.raises(Refused):
        objects.blobs(["--batch-all-objects"], 10)
