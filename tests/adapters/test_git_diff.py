"""Git's output → values: every record, every byte of a path, and a named error for whatever is not git's output."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.adapters.git.diff import decode, parse_raw, parse_tree
from service.domain.change import FileChange
from service.domain.names import Entry

ONE, TWO, NONE = "1" * 40, "2" * 40, "0" * 40
RAW = "\0".join(
    (
        f":100644 100755 {ONE} {TWO} M",
        "a/b.py",
        f":000000 120000 {NONE} {ONE} A",
        "new\nline",
        f":160000 000000 {ONE} {NONE} D",
        "\udcffmod",
        "",
    )
)
LISTED = "\0".join((f"100644 blob {ONE}\ta/b.py", f"160000 commit {TWO}\tmod\tule", f"120000 blob {ONE}\t\udcff\n", ""))


def bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def test_the_records_of_a_difference() -> None:
    assert parse_raw(bytes_of(RAW)) == (
        FileChange("a/b.py", Entry("100644", ONE), Entry("100755", TWO)),
        FileChange("new\nline", None, Entry("120000", ONE)),
        FileChange("\udcffmod", Entry("160000", ONE), None),
    )
    assert parse_raw(b"") == ()


def test_the_records_of_a_tree() -> None:
    assert parse_tree(bytes_of(LISTED)) == {
        "a/b.py": Entry("100644", ONE),
        "mod\tule": Entry("160000", TWO),
        "\udcff\n": Entry("120000", ONE),
    }
    assert parse_tree(b"") == {}


@pytest.mark.parametrize(
    "output",
    [
        RAW[:-1],
        RAW[:-5],
        RAW + "x",
        RAW.partition("\0")[0] + "\0",
        "\0",
        "\0\0",
        "a\0b\0",
        RAW[1:],
        f":100644 100644 {ONE} {TWO}\0a\0",
        f":100644 100644 {ONE} {TWO} M more\0a\0",
        f":100644  100644 {ONE} {TWO} M\0a\0",
        f":100644 100644 {ONE} {TWO} M\n\0a\0",
        f":100644 100644 {ONE} {TWO} é\0a\0",
        f":100644 100644 {ONE[:-1]} {TWO} M\0a\0",
        f":100644 100644 {ONE} {TWO}x M\0a\0",
        f":1006445 100644 {ONE} {TWO} M\0a\0",
        f":-00644 100644 {ONE} {TWO} M\0a\0",
        f":100644 100644 {ONE} {TWO} M\0\0",
        f":000000 000000 {NONE} {NONE} M\0a\0",
        f":100644 100644 {ONE} {TWO} R100\0a\0b\0",
    ],
)
def test_anything_else_is_no_difference(output: str) -> None:
    with pytest.raises(ValueError, match="git diff-tree"):
        parse_raw(bytes_of(output))


@pytest.mark.parametrize(
    "output",
    [
        LISTED[:-1],
        LISTED + "x",
        "\0",
        f"100644 blob {ONE}\0",
        f"100644 blob {ONE}\t\0",
        f"100644 {ONE}\ta\0",
        f"100644 blob  {ONE}\ta\0",
        f"100644 blob {ONE[:-1]}\ta\0",
        f"100644 blob {ONE} 5\ta\0",
        f"10064é blob {ONE}\ta\0",
        f"644 blob {ONE}\ta\0",
        f"100644 blob {ONE.replace('1', 'G')}\ta\0",
        f"000000 blob {ONE}\ta\0",
    ],
)
def test_anything_else_is_no_tree(output: str) -> None:
    with pytest.raises(ValueError, match="git ls-tree"):
        parse_tree(bytes_of(output))


PATH = st.binary(min_size=1, max_size=20).filter(lambda path: b"\0" not in path)
OID = st.text("0123456789abcdef", min_size=40, max_size=40) | st.text("0123456789abcdef", min_size=64, max_size=64)
ENTRY = st.builds(Entry, st.sampled_from(["100644", "100755", "120000", "160000"]), OID)


@settings(deadline=None)
@given(st.lists(st.builds(lambda path, old, new: FileChange(decode(path), old, new), PATH, st.none() | ENTRY, ENTRY)))
def test_a_difference_survives_its_writing(changes: list[FileChange]) -> None:
    text = "".join(_row(change) for change in changes)
    assert parse_raw(bytes_of(text)) == tuple(changes)


def _row(change: FileChange) -> str:
    old, new = change.old or Entry("000000", NONE), change.new or Entry("000000", NONE)
    return f":{old.mode} {new.mode} {old.oid} {new.oid} M\0{change.path}\0"


@settings(deadline=None)
@given(st.dictionaries(PATH.map(decode), ENTRY))
def test_a_tree_survives_its_writing(files: dict[str, Entry]) -> None:
    text = "".join(f"{entry.mode} blob {entry.oid}\t{path}\0" for path, entry in files.items())
    assert parse_tree(bytes_of(text)) == files


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Git's output, a few bytes of which are changed, lost or added; or anything."""
    output = bytearray(bytes_of(draw(st.sampled_from([RAW, LISTED]))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(output) - 1)))
        output[at : at + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=3) | st.sampled_from([b"\0", b" ", b"\t", b":"])
        )
    return draw(st.just(bytes(output)) | st.binary())


@settings(max_examples=2_000, deadline=None)
@given(damaged())
@example(b"\0")
def test_nothing_but_values_or_a_named_error(output: bytes) -> None:
    """Whatever is read is a difference between files: a path, and a good entry on one side at least."""
    try:
        changes = parse_raw(output)
    except ValueError as error:
        assert "git diff-tree" in str(error)  # noqa: PT017 - either answer is right
        changes = ()
    try:
        listed = parse_tree(output)
    except ValueError as error:
        assert "git ls-tree" in str(error)  # noqa: PT017
        listed = {}
    assert all(change.old or change.new for change in changes)
    for path in (*(change.path for change in changes), *listed):
        assert path
        assert "\0" not in path
    entries = [entry for change in changes for entry in (change.old, change.new) if entry]
    for entry in (*entries, *listed.values()):
        assert len(entry.mode) == 6
        assert int(entry.mode, 8) > 0
        assert len(entry.oid) in (40, 64)
        int(entry.oid, 16)
