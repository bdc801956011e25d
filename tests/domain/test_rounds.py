"""A question that lacks facts is asked again: the second time it costs what was missing, and never more than it must."""

from __future__ import annotations

from collections.abc import Callable

from service.adapters.reading import IsolatedReader
from service.domain.assessment import Assessed, assess, reassess
from service.domain.facts import Fact, Kind, Shelf
from service.domain.pipeline import Component, Pipeline
from service.domain.reach import Where
from tests.builders import Blobs, empty_shelf, repository, settle
from tests.planning import assessed, difference_of, manifest

COUNT = 20
FILES = {
    "core.py": "VALUE = 1\n",
    **{f"job{n}.py": "import core\n" for n in range(COUNT)},
    **{f"late{n}.py": f"import core\nX = {n}\n" for n in range(2)},
}
DECLARED = manifest(
    Pipeline("early", "local", tuple(Component(f"c{n}", f"job{n}.py") for n in range(COUNT))),
    Pipeline("late", "local", (Component("c0", "late0.py"), Component("c1", "late1.py"))),
)


class Watched:
    """A shelf that remembers which components asked, by the script that each of them asks for first."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.asked: list[str] = []

    @property
    def misses(self) -> int:
        return self.shelf.misses

    def fact(self, kind: Kind, oid: str) -> Fact | None:
        self.asked.append(oid)
        return self.shelf.fact(kind, oid)

    def matcher(self, patterns: tuple[str, ...]) -> Callable[[str], bool]:
        return self.shelf.matcher(patterns)


def load(shelf: Shelf, blobs: Blobs, reader: IsolatedReader) -> None:
    shelf.put(reader.facts([(request, blobs[request[1]]) for request in sorted(shelf.wanted)]))


def test_a_component_that_lacked_nothing_is_not_computed_twice(reader: IsolatedReader) -> None:
    tree, blobs = repository(FILES)
    shelf, known = empty_shelf(), dict[Where, Assessed]()
    early = manifest(DECLARED.pipelines[0])
    settle(lambda one: assess(early, tree, one), shelf, blobs, reader)
    first = Watched(shelf)
    assess(DECLARED, tree, first, known)
    assert set(known) == {("early", f"c{n}") for n in range(COUNT)}
    load(shelf, blobs, reader)
    second = Watched(shelf)
    whole = assess(DECLARED, tree, second, known)
    assert not shelf.wanted
    assert len(second.asked) < len(first.asked) / 2
    assert whole.components == assessed(DECLARED, FILES, reader).components


def test_a_change_whose_meaning_is_not_known_yet_recomputes_nobody(reader: IsolatedReader) -> None:
    tree, blobs = repository(FILES)
    shelf = empty_shelf()
    before = settle(lambda one: assess(DECLARED, tree, one), shelf, blobs, reader)
    commented = {**FILES, "core.py": "VALUE = 1  # the value\n"}
    after, fresh = repository(commented)
    change = difference_of(tree, after)
    watched = Watched(shelf)
    assert reassess(before, change, DECLARED, after, watched) is before
    assert len(watched.asked) == 2, "the file then and now; no component"
    load(shelf, fresh, reader)
    watched = Watched(shelf)
    assert reassess(before, change, DECLARED, after, watched).components == before.components
    assert len(watched.asked) == 2
    assert not shelf.wanted
