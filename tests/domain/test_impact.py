"""What a change means for each component, told against both sides' definitions."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from service.adapters.reading import IsolatedReader
from service.domain.change import Change
from service.domain.impact import Effect, Touch, impact
from service.domain.pipeline import Component, Pipeline, RepositoryInput
from tests.builders import Content, repository
from tests.planning import DIAMONDS, EVALUATE, PREPROCESS, TRAIN, assessed, commit, difference_of, manifest, single

NOTHING = Change("b" * 40, "a" * 40, ())
FILES: dict[str, Content] = {
    "refit.yaml": "version: 1",
    "train.py": "import lib",
    "lib.py": "x = 1",
    "params.yaml": "lr: 0.1\nk: 1\n",
    "requirements.txt": "numpy\n",
    "data/a": "1",
    "README.md": "",
}


def effects(old: object, new: object) -> dict[str, Effect]:
    found = impact(NOTHING, old, new)  # type: ignore[arg-type]
    return {component: effect for (_, component), effect in found.effects}


def test_what_nobody_changed_is_untouched_and_has_no_reason() -> None:
    assert effects(commit(), commit()) == dict.fromkeys(("preprocess", "train", "evaluate"), Effect(Touch.UNTOUCHED))


def test_a_change_spreads_downstream_and_not_up() -> None:
    found = effects(commit(), commit(train="2"))
    assert {name: effect.touch for name, effect in found.items()} == {
        "preprocess": Touch.UNTOUCHED,
        "train": Touch.DIRECT,
        "evaluate": Touch.DOWNSTREAM,
    }
    (reason,) = found["train"].reasons
    assert (reason.kind, reason.subject, reason.old, reason.new) == ("source", "train.py", "1", "2")
    assert [(r.kind, r.subject, r.detail) for r in found["evaluate"].reasons] == [
        ("upstream", "train", "train may produce other output")
    ]


def test_every_upstream_that_may_differ_is_named() -> None:
    found = effects(commit(), commit(preprocess="2"))
    assert found["train"].touch is found["evaluate"].touch is Touch.DOWNSTREAM
    assert [reason.subject for reason in found["evaluate"].reasons] == ["train", "preprocess"]


def test_a_component_that_is_touched_itself_tells_its_own_reason() -> None:
    found = effects(commit(), commit(preprocess="2", train="2"))
    assert [reason.kind for reason in found["train"].reasons] == ["source"]
    assert found["train"].touch is Touch.DIRECT


def test_without_a_definition_before_everything_is_new() -> None:
    found = effects(None, commit())
    assert {effect.touch for effect in found.values()} == {Touch.DIRECT}
    assert found["train"].reasons[0].kind == "first"
    assert found["train"].reasons[0].detail == "component train is new"


def test_a_component_that_is_no_longer_declared_is_removed() -> None:
    shorter = Pipeline("diamonds", "local", (PREPROCESS, TRAIN))
    found = effects(commit(), commit(shorter))
    assert found["evaluate"].touch is Touch.REMOVED
    assert [reason.detail for reason in found["evaluate"].reasons] == [
        "component evaluate of diamonds is no longer declared"
    ]


def test_the_same_name_in_another_pipeline_is_another_component() -> None:
    renamed = Pipeline("gems", "local", DIAMONDS.components)
    found = impact(NOTHING, commit(), commit(renamed)).effects
    assert {where for where, effect in found if effect.touch is Touch.REMOVED} == {
        ("diamonds", one.name) for one in (PREPROCESS, TRAIN, EVALUATE)
    }
    assert {where for where, effect in found if effect.touch is Touch.DIRECT} == {
        ("gems", one.name) for one in (PREPROCESS, TRAIN, EVALUATE)
    }


# files without effect -------------------------------------------------------------------------------------------------


def without_effect(reader: IsolatedReader, edits: Mapping[str, Content], **declared: object) -> set[str]:
    component: dict[str, object] = {
        "params": ("lr",), "inputs": (("raw", RepositoryInput("data")),), "environment": ("requirements.txt",), **declared
    }  # fmt: skip
    new = {**FILES, **edits}
    change = difference_of(repository(FILES)[0], repository(new)[0])
    assert len(change.files) == len(edits)
    one, two = (assessed(single("train.py", **component), files, reader) for files in (FILES, new))
    return set(impact(change, one, two).without_effect)


@pytest.mark.parametrize(
    "path", ["train.py", "lib.py", "params.yaml", "requirements.txt", "data/a", "data/new/b", "refit.yaml"]
)
def test_a_file_that_some_component_looks_at_has_an_effect(reader: IsolatedReader, path: str) -> None:
    assert without_effect(reader, {path: "# other", "README.md": "# r"}) == {"README.md"}


def test_a_file_that_only_the_old_side_looked_at_has_an_effect(reader: IsolatedReader) -> None:
    assert without_effect(reader, {"train.py": "", "lib.py": "x = 2"}) == set()


def test_where_anything_may_be_read_no_file_is_said_to_be_without_effect(reader: IsolatedReader) -> None:
    assert without_effect(reader, {"train.py": "import os\nos.system('make')", "README.md": "# r"}) == set()


def test_a_file_of_another_component_has_an_effect(reader: IsolatedReader) -> None:
    declared = manifest(Pipeline("p", "local", (Component("train", "train.py"), Component("other", "other.py"))))
    new: dict[str, Content] = {**FILES, "other.py": "", "notes.txt": ""}
    change = difference_of(repository(FILES)[0], repository(new)[0])
    found = impact(change, None, assessed(declared, new, reader))
    assert found.without_effect == ("notes.txt",)
