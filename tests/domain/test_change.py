"""What differs between two trees: every path for itself, renames on both sides."""

from __future__ import annotations

import pytest

from service.adapters.reading import IsolatedReader
from service.domain.change import Change, FileChange
from service.domain.impact import Touch, impact
from service.domain.names import EXECUTABLE, REGULAR, SYMLINK, Entry
from service.domain.pipeline import Component, Pipeline, RepositoryInput
from tests.builders import Content, repository
from tests.planning import assessed, difference_of, manifest

ONE, TWO = Entry(REGULAR, "1" * 40), Entry(REGULAR, "2" * 40)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (None, ONE, "added"),
        (ONE, None, "deleted"),
        (ONE, TWO, "modified"),
        (ONE, Entry(EXECUTABLE, ONE.oid), "mode"),
        (ONE, Entry(SYMLINK, ONE.oid), "mode"),
        (ONE, Entry(EXECUTABLE, TWO.oid), "modified"),
    ],
)
def test_the_kind_of_a_change(old: Entry | None, new: Entry | None, kind: str) -> None:
    assert FileChange("a.py", old, new).kind == kind


def test_a_byte_identical_move_is_a_rename_and_both_paths_stay_changes() -> None:
    change = Change("b", "h", (FileChange("new.py", None, ONE), FileChange("old.py", ONE, None)))
    assert change.renames == (("old.py", "new.py"),)
    assert [file.kind for file in change.files] == ["added", "deleted"]


def test_a_copy_or_an_edited_move_is_no_rename() -> None:
    assert Change("b", "h", (FileChange("new.py", None, ONE),)).renames == ()
    assert Change("b", "h", (FileChange("new.py", None, TWO), FileChange("old.py", ONE, None))).renames == ()


def test_a_file_that_stays_is_no_side_of_a_rename() -> None:
    copied_then_edited = (FileChange("copy.py", None, ONE), FileChange("edited.py", ONE, TWO))
    assert Change("b", "h", copied_then_edited).renames == ()
    moved_over = (FileChange("here.py", TWO, ONE), FileChange("old.py", ONE, None))
    assert Change("b", "h", moved_over).renames == ()


def test_each_file_that_went_is_the_source_of_one_rename_at_most() -> None:
    files = (FileChange("a", None, ONE), FileChange("b", None, ONE), FileChange("old", ONE, None))
    assert Change("b", "h", files).renames == (("old", "a"),)


# trap 18 --------------------------------------------------------------------------------------------------------------

READS_OLD = Component("reads-old", "old_user.py", inputs=(("data", RepositoryInput("data/old.csv")),))
READS_NEW = Component("reads-new", "new_user.py", inputs=(("data", RepositoryInput("data/new.csv")),))
BYSTANDER = Component("bystander", "other.py")
BASE: dict[str, Content] = {"old_user.py": "import old", "new_user.py": "import new", "other.py": "", "data/x": ""}


@pytest.mark.parametrize(
    ("before", "after"),
    [("old.py", "new.py"), ("old/__init__.py", "new/__init__.py"), ("data/old.csv", "data/new.csv")],
)
def test_a_rename_counts_at_its_old_path_and_at_its_new_one(reader: IsolatedReader, before: str, after: str) -> None:
    declared = manifest(Pipeline("p", "local", (READS_OLD, READS_NEW, BYSTANDER)))
    one, two = {**BASE, before: "x = 1"}, {**BASE, after: "x = 1"}
    change = difference_of(repository(one)[0], repository(two)[0])
    assert change.renames == ((before, after),)
    found = impact(change, assessed(declared, one, reader), assessed(declared, two, reader))
    touched = {component: effect.touch for (_, component), effect in found.effects}
    assert touched == {"reads-old": Touch.DIRECT, "reads-new": Touch.DIRECT, "bystander": Touch.UNTOUCHED}
