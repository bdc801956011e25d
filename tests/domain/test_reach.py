"""An index in layers asks for the same components as one made from nothing, whatever was computed anew in between."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.reading.globs import compile_globs
from service.domain.change import Change, FileChange
from service.domain.names import REGULAR, SYMLINK, Entry
from service.domain.reach import Index, Where, roots
from tests.builders import empty_shelf

_PATHS = ["a.py", "a/b.py", "a/b/c.txt", "a/b", "b/c.ipynb", "data/x/y.csv", "c.zip"]
_PATTERNS = [
    "a/**",
    "/a",
    "*.csv",
    "a/b*",
    "data/x/",
    "!a/b.py",
    "b/c.ipynb",
    "**/c.txt",
    "data/[xz]/*",
    "c.txt",
    "y.csv/",
]
_SOME = st.frozensets(st.sampled_from([*_PATHS, "a", "data", "data/x"]), max_size=3)


@dataclass(frozen=True)
class Looked:
    semantic: frozenset[str] = frozenset()
    raw: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    widened: str = ""
    globs: tuple[str, ...] = ()


_LOOKED = st.builds(
    Looked,
    _SOME,
    _SOME,
    _SOME,
    st.lists(st.sampled_from(["", "a/", "data/", "data/x/"]), max_size=2).map(tuple),
    st.sampled_from(["", "", "python", "all"]),
    st.lists(st.sampled_from(_PATTERNS), max_size=3).map(tuple),
)
_WHERE = st.tuples(st.just("p"), st.sampled_from([f"c{n}" for n in range(12)]))
_ENTRY = st.builds(Entry, st.sampled_from([REGULAR, REGULAR, REGULAR, SYMLINK]), st.sampled_from(["1", "2"]))
_FILE = st.builds(FileChange, st.sampled_from(_PATHS), st.none() | _ENTRY, st.none() | _ENTRY)
_CHANGE = st.lists(_FILE, max_size=3, unique_by=lambda file: file.path).map(
    lambda files: Change("b", "h", tuple(files))
)


@given(
    st.dictionaries(_WHERE, _LOOKED, max_size=12),
    st.lists(st.dictionaries(_WHERE, st.none() | _LOOKED, max_size=3), max_size=6),
    _CHANGE,
)
def test_layers_answer_as_one_index_would(
    base: dict[Where, Looked], steps: list[dict[Where, Looked | None]], change: Change
) -> None:
    index, truth = Index.of(base), dict(base)
    for step in steps:
        index.candidates(change, empty_shelf())  # a layer that was asked before must not be believed for ever
        index = index.replaced(step)
        truth = {where: one for where, one in {**truth, **step}.items() if one is not None}
    assert index.candidates(change, empty_shelf()) == Index.of(truth).candidates(change, empty_shelf())


@given(_LOOKED, _CHANGE)
def test_nothing_that_was_looked_at_is_missed(looked: Looked, change: Change) -> None:
    """The rule in its plainest words, against the index's lookups by path."""
    found = Index.of({("p", "c"): looked}).candidates(change, empty_shelf())
    touched = looked.widened == "all" and bool(change.files)
    for file in change.files:
        path = file.path
        folders = {path[:at] for at, character in enumerate(path) if character == "/"}
        touched |= path in looked.semantic or path in looked.raw
        touched |= any(path.startswith(prefix) for prefix in looked.prefixes)
        touched |= looked.widened == "python" and path.endswith((".py", ".ipynb", ".zip"))
        touched |= file.kind != "modified" and compile_globs(looked.globs)(path)
        touched |= (file.old is None or file.new is None) and bool(folders & looked.folders)
        touched |= SYMLINK in {entry.mode for entry in (file.old, file.new) if entry is not None}
    assert (found == {("p", "c")}) == touched


def test_layers_stay_few_however_many_pushes_there_are() -> None:
    index = Index.of({("p", f"c{n}"): Looked(frozenset({f"f{n}"})) for n in range(256)})
    for n in range(1_000):
        index = index.replaced({("p", f"c{n % 256}"): Looked(frozenset({f"g{n}"}))})
        assert len(index.layers) <= 6
    change = Change("b", "h", (FileChange("g999", Entry(REGULAR, "1"), Entry(REGULAR, "2")),))
    assert index.candidates(change, empty_shelf()) == {("p", f"c{999 % 256}")}


@pytest.mark.parametrize("pattern", [one for one in _PATTERNS if not one.startswith("!")])
@pytest.mark.parametrize("path", _PATHS)
def test_a_glob_is_tried_on_every_path_that_it_matches(pattern: str, path: str) -> None:
    index = Index.of({("p", "c"): Looked(globs=(pattern,))})
    change = Change("b", "h", (FileChange(path, None, Entry(REGULAR, "1")),))
    matches = compile_globs([pattern])(path)
    assert bool(index.candidates(change, empty_shelf())) == matches
    assert not matches or any(path.startswith(start) for start in roots([pattern]))


def test_the_newest_layer_speaks_for_a_component() -> None:
    def looked(path: str) -> Looked:
        return Looked(frozenset({path}))

    def asked(path: str) -> bool:
        change = Change("b", "h", (FileChange(path, Entry(REGULAR, "1"), Entry(REGULAR, "2")),))
        return ("p", "c50") in index.candidates(change, empty_shelf())

    index = Index.of({("p", f"c{n}"): looked("oldest") for n in range(100)})
    index = index.replaced({("p", f"c{n}"): looked("older") for n in range(10)})
    index = index.replaced({("p", "c50"): looked("newer")})
    assert len(index.layers) == 3
    assert [asked(path) for path in ("oldest", "older", "newer")] == [False, False, True]
    index = index.replaced({("p", "c50"): None})
    assert not asked("newer")
    index = index.replaced({("p", "c99"): looked("newer")})
    assert [asked(path) for path in ("oldest", "older", "newer")] == [False, False, False]
