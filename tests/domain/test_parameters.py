"""Which parameter values a component reads, and the flags that pass them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from service.adapters.reading import IsolatedReader
from service.domain.parameters import ABSENT, Selected, select
from tests.builders import Commit, Content, Link, blob_oid, empty_shelf, repository, settle

Chosen = Callable[..., Selected]

PARAMS = """
preprocess:
  columns: [carat, depth]
  split: {test: 0.2, seed: 7}
train:
  learning_rate: 1e-3
  note: null
"""


@pytest.fixture
def chosen(reader: IsolatedReader) -> Chosen:
    def of(files: Mapping[str, Content], *params: str) -> Selected:
        tree, blobs = repository(files)
        return settle(lambda shelf: select(params, tree, shelf), empty_shelf(), blobs, reader)

    return of


def what(selected: Selected) -> list[str]:
    return [doubt.what for _, doubt in selected.doubts]


def test_one_key_is_one_value_and_one_flag(chosen: Chosen) -> None:
    selected = chosen({"params.yaml": PARAMS}, "train.learning_rate")
    assert selected.values == (("train.learning_rate", '"1e-3" | 0.001'),)
    assert selected.flags == (("learning_rate", ("1e-3",)),)
    assert selected.looked_up == {"params.yaml"}
    assert not selected.doubts


def test_a_subtree_is_each_leaf_below_it(chosen: Chosen) -> None:
    selected = chosen({"params.yaml": PARAMS}, "preprocess")
    assert selected.flags == (
        ("columns", ("carat", "depth")),
        ("split_test", ("0.2",)),
        ("split_seed", ("7",)),
    )
    assert [subject for subject, _ in selected.values] == [
        "preprocess.columns.0",
        "preprocess.columns.1",
        "preprocess.split.seed",
        "preprocess.split.test",
    ]


def test_a_list_may_be_named_itself_or_by_its_element(chosen: Chosen) -> None:
    assert chosen({"params.yaml": PARAMS}, "preprocess.columns").flags == (("columns", ("carat", "depth")),)
    assert chosen({"params.yaml": PARAMS}, "preprocess.columns.1").flags == (("columns", ("depth",)),)


def test_what_is_not_selected_does_not_count(chosen: Chosen) -> None:
    one = chosen({"params.yaml": PARAMS}, "train.learning_rate")
    two = chosen({"params.yaml": PARAMS.replace("seed: 7", "seed: 8") + "# comment\n"}, "train.learning_rate")
    assert one.values == two.values


def test_overlapping_entries_pass_a_value_once(chosen: Chosen) -> None:
    selected = chosen({"params.yaml": PARAMS}, "train", "train.learning_rate")
    assert dict(selected.flags)["learning_rate"] == ("1e-3",)


def test_two_parameters_of_one_name_get_two_flags(chosen: Chosen) -> None:
    selected = chosen({"params.yaml": "train: {seed: 1}\neval: {seed: 2}\n"}, "train.seed", "eval.seed")
    assert selected.flags == (("seed", ("1",)), ("eval_seed", ("2",)))
    assert what(selected) == ["two parameters are called seed: one is passed as --eval_seed"]


# trap 15 --------------------------------------------------------------------------------------------------------------


def test_a_missing_key_is_not_null(chosen: Chosen) -> None:
    null, missing = chosen({"params.yaml": PARAMS}, "train.note"), chosen({"params.yaml": PARAMS}, "train.nothing")
    literal = chosen({"params.yaml": "train: {note: absent}"}, "train.note")
    assert [s.values[0][1] for s in (null, missing, literal)] == ["null", ABSENT, '"absent"']
    assert what(missing) == ["it has no parameter train.nothing"]
    assert missing.flags == ()


def test_a_missing_file_is_looked_up_and_doubted(chosen: Chosen) -> None:
    selected = chosen({}, "train.lr", "conf/x.yaml:")
    assert selected.values == (("conf/x.yaml:", ABSENT), ("train.lr", ABSENT))
    assert selected.looked_up == {"params.yaml", "conf/x.yaml"}
    assert len(selected.doubts) == 2


# trap 14 --------------------------------------------------------------------------------------------------------------


def test_merge_keys_and_anchors_are_followed(chosen: Chosen) -> None:
    text = "base: &base {lr: 0.1, depth: 3}\ntrain:\n  <<: *base\n  depth: %s\n"
    one, two = (chosen({"params.yaml": text % depth}, "train") for depth in (4, 5))
    assert dict(one.values) == {"train.lr": "0.1", "train.depth": "4"}
    assert one.values != two.values
    changed = chosen({"params.yaml": (text % 4).replace("lr: 0.1", "lr: 0.2")}, "train.lr")
    assert dict(changed.values) == {"train.lr": "0.2"}


def test_duplicate_keys_make_every_byte_count(chosen: Chosen) -> None:
    text = "train: {lr: 1, lr: 2}\n"
    selected = chosen({"params.yaml": text}, "train.lr")
    assert dict(selected.values)["params.yaml"] == f"bytes {blob_oid(text.encode())}"
    assert "repeats the key 'lr'" in what(selected)[0]


def test_an_interpolated_value_counts(chosen: Chosen) -> None:
    text = "base: {lr: 0.1}\ntrain: {lr: '${base.lr}', depth: '${.extra}', extra: 3, up: '${..base.lr}'}\n"
    selected = chosen({"params.yaml": text}, "train.lr", "train.depth", "train.up")
    assert dict(selected.values)["base.lr"] == "0.1"
    assert dict(selected.values)["train.extra"] == "3"
    assert dict(selected.flags) == {"lr": ("0.1",), "depth": ("3",), "up": ("0.1",)}
    assert not selected.doubts


def test_a_key_below_an_interpolated_subtree_counts(chosen: Chosen) -> None:
    selected = chosen({"params.yaml": "base: {lr: 0.1}\ntrain: ${base}\n"}, "train.lr")
    assert dict(selected.values) == {"base.lr": "0.1", "train": '"${base}"', "train.lr": ABSENT}


def test_interpolations_that_refer_to_each_other_end(chosen: Chosen) -> None:
    selected = chosen({"params.yaml": "a: ${b}\nb: ${a}\n"}, "a")
    assert set(dict(selected.values)) == {"a", "b"}


def test_a_resolver_is_doubted_and_one_that_reads_keys_widens_to_the_file(chosen: Chosen) -> None:
    outside = chosen({"params.yaml": "lr: ${oc.env:LR}\n"}, "lr")
    assert what(outside) == ["${oc.env:LR} is resolved at run time"]
    assert "params.yaml" not in dict(outside.values)
    inside = chosen({"params.yaml": "lr: ${oc.select:x,1}\nx: 2\n"}, "lr")
    assert "params.yaml" in dict(inside.values)
    nested = chosen({"params.yaml": "lr: ${rates.${name}}\nname: a\nrates: {a: 1}\n"}, "lr")
    assert "params.yaml" in dict(nested.values)


@pytest.mark.parametrize(
    ("path", "text"), [("c/p.json", '{"train": {"lr": 0.1}}'), ("c/p.toml", "[train]\nlr = 0.1"), ("c/p.yml", PARAMS)]
)
def test_other_files_and_formats(chosen: Chosen, path: str, text: str) -> None:
    key = "train.learning_rate" if path.endswith("yml") else "train.lr"
    selected = chosen({path: text}, f"{path}:{key}")
    assert [subject for subject, _ in selected.values] == [f"{path}:{key}"]


def test_a_whole_file(chosen: Chosen) -> None:
    assert [s for s, _ in chosen({"x.yaml": PARAMS}, "x.yaml:").values][:1] == ["x.yaml:preprocess.columns.0"]
    assert chosen({"x.yaml": ""}, "x.yaml:").values == (("x.yaml:", "{}"),)


def test_a_file_of_unknown_kind_counts_by_its_bytes(chosen: Chosen) -> None:
    text = "[a\nb = : :\n"
    selected = chosen({"x.ini": text}, "x.ini:")
    assert dict(selected.values)["x.ini"] == f"bytes {blob_oid(text.encode())}"


# Hydra ----------------------------------------------------------------------------------------------------------------

HYDRA: dict[str, Content] = {
    "conf/config.yaml": "defaults:\n  - model: net\n  - optional data: [a, b]\n  - _self_\n  - /shared/seed\nlr: 0.1\n",
    "conf/model/net.yaml": "defaults: [base]\n_target_: models.net.Net\nwidth: 8\n",
    "conf/model/base.yaml": "depth: 2\n",
    "conf/data/a.yaml": "x: 1\n",
    "conf/data/b.yaml": "y: 1\n",
    "conf/shared/seed.yaml": "seed: 1\n",
}


def test_hydras_defaults_and_targets_are_followed(chosen: Chosen) -> None:
    selected = chosen(HYDRA, "conf/config.yaml:lr")
    assert set(HYDRA) <= selected.looked_up
    assert selected.targets == ("models.net.Net",)
    for path, old, new in [("conf/model/base.yaml", "2", "3"), ("conf/data/b.yaml", "1", "2")]:
        changed = chosen({**HYDRA, path: str(HYDRA[path]).replace(old, new)}, "conf/config.yaml:lr")
        assert changed.values != selected.values


def test_a_key_that_a_default_defines_is_not_missing(chosen: Chosen) -> None:
    selected = chosen(HYDRA, "conf/config.yaml:model.width")
    assert selected.flags == (("width", ("8",)),)
    assert not selected.doubts


def test_a_missing_default_was_looked_up(chosen: Chosen) -> None:
    selected = chosen({"c.yaml": "defaults: [gone]\nx: 1\n"}, "c.yaml:x")
    assert "gone.yaml" in selected.looked_up
    assert dict(selected.values)["gone.yaml:"] == ABSENT


def test_a_file_selected_by_itself_counts_in_full_as_a_default(chosen: Chosen) -> None:
    files = {"a.yaml": "x: 1\ny: 1\n", "c.yaml": "defaults: [a]\nz: 1\n"}
    assert "a.yaml:y" in dict(chosen(files, "a.yaml:x", "c.yaml:z").values)


def test_targets_outside_the_selected_subtree_do_not_count(chosen: Chosen) -> None:
    text = "a: {_target_: x.A}\nb: {_target_: x.B}\n"
    assert chosen({"params.yaml": text}, "a").targets == ("x.A",)


# trap 11 --------------------------------------------------------------------------------------------------------------


def test_a_linked_parameter_file_is_read_at_its_target(chosen: Chosen) -> None:
    selected = chosen({"params.yaml": Link("conf/p.yaml"), "conf/p.yaml": "lr: 1"}, "lr")
    assert selected.values == (("lr", "1"),)
    assert selected.looked_up == {"params.yaml", "conf/p.yaml"}


def test_a_parameter_file_in_a_submodule_counts_by_its_commit(chosen: Chosen) -> None:
    selected = chosen({"sub": Commit("b" * 40)}, "sub/p.yaml:lr")
    assert selected.values == (("sub/p.yaml:lr", "b" * 40),)
    assert "sub" in selected.looked_up
