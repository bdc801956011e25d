"""A tree derived from its neighbour answers as one made from nothing would."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import tree as module
from service.domain.names import EXECUTABLE, REGULAR, SUBMODULE, SYMLINK, Entry
from service.domain.tree import Tree, parents

_NAMES = ["a", "b", "a.b", "ab", "a-b", "\udcff"]
_PATH = st.lists(st.sampled_from(_NAMES), min_size=1, max_size=3).map("/".join)
_ENTRY = st.builds(Entry, st.sampled_from([REGULAR, EXECUTABLE, SYMLINK, SUBMODULE]), st.sampled_from(["1", "2"]))
_FILES = st.dictionaries(_PATH, _ENTRY, max_size=8)
_EDITS = st.dictionaries(_PATH, st.none() | _ENTRY, max_size=5)


def files(count: int, start: int = 0) -> dict[str, Entry]:
    return {f"folder{n % 7}/file{n}": Entry(REGULAR, str(n)) for n in range(start, start + count)}


def edited(base: Mapping[str, Entry], edits: Mapping[str, Entry | None]) -> dict[str, Entry]:
    return {path: entry for path, entry in {**base, **edits}.items() if entry is not None}


def check(tree: Tree, truth: Mapping[str, Entry], asked: set[str]) -> None:
    """Every question that the domain asks of a tree, answered from a plain mapping."""
    for path in asked:
        assert tree.get(path) == truth.get(path)
        assert tree.is_folder(path) == any(other.startswith(path + "/") for other in truth)
        for prefix in (path, path + "/"):
            assert list(tree.under(prefix)) == sorted(other for other in truth if other.startswith(prefix))
    assert list(tree.under("")) == sorted(truth)
    assert tree.is_folder("")
    assert tree.links == {path for path, entry in truth.items() if entry.mode in (SYMLINK, SUBMODULE)}


@given(_FILES, st.lists(_EDITS, max_size=4))
def test_a_derived_tree_answers_as_one_made_from_nothing(base: dict, edits: list[dict]) -> None:
    truths, trees = [base], [Tree(base)]
    for change in edits:
        truths.append(edited(truths[-1], change))
        trees.append(trees[-1].apply(change.items()))
    asked = {path for change in (base, *edits) for path in (*change, *(up for one in change for up in parents(one)))}
    for tree, truth in zip(trees, truths, strict=True):  # the earlier ones too: nothing was changed under them
        check(tree, truth, asked)


@pytest.mark.parametrize("count", [module._FLATTEN_AT - 1, module._FLATTEN_AT, module._FLATTEN_AT + 1])
def test_a_tree_that_has_changed_much_is_written_out_anew(count: int) -> None:
    base = files(50)
    change: dict[str, Entry | None] = {**files(count - 10, 100), **dict.fromkeys(list(base)[:10])}
    derived = Tree(base).apply(change.items())
    check(derived, edited(base, change), {"folder0/file0", "folder1/file1", "folder3/file101", "folder6"})
    again = derived.apply([("folder0/file0", Entry(REGULAR, "back"))])
    check(again, edited(edited(base, change), {"folder0/file0": Entry(REGULAR, "back")}), {"folder0/file0"})


def test_a_file_that_becomes_a_folder() -> None:
    tree = Tree({"a": Entry(REGULAR, "1")}).apply([("a", None), ("a/b", Entry(REGULAR, "2"))])
    assert tree.get("a") is None
    assert tree.is_folder("a")
    assert list(tree.under("a")) == ["a/b"]


def test_a_folder_whose_last_file_goes_is_none_any_more() -> None:
    tree = Tree({"a/b/c": Entry(REGULAR, "1"), "a/d": Entry(REGULAR, "1")}).apply([("a/b/c", None)])
    assert not tree.is_folder("a/b")
    assert tree.is_folder("a")


def test_a_prefix_of_a_name_is_no_folder() -> None:
    tree = Tree({"ab/c": Entry(REGULAR, "1"), "a.b": Entry(REGULAR, "1")})
    assert not tree.is_folder("a")
    assert list(tree.under("a/")) == []


def test_parents_are_nearest_first_and_leave_out_the_root() -> None:
    assert list(parents("a/b/c.py")) == ["a/b", "a"]
    assert list(parents("c.py")) == []
