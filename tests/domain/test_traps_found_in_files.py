"""Owns what an adversary found in parameters, environments, inputs and globs: changes that were skipped and cosmetic ones
that were run; refuses git."""

from __future__ import annotations

import pytest

from service.adapters.reading import IsolatedReader
from tests.judge import SCRIPT, Judge
from tests.planning import single


@pytest.fixture
def judge(reader: IsolatedReader) -> Judge:
    return Judge(reader)


# parameters -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("{a: [64]}", "{a: {0: 64}}"),
        ("{a: {1: x}}", "{a: {'1': x}}"),
        ("{a: {null: x}}", "{a: {'null': x}}"),
        ("{a: {true: x}}", "{a: {'true': x}}"),
        ("{a: {1: {}}}", "{a: {'1': {}}}"),
        ("{a.b: 1}", "{a: {b: 1}}"),
        ("{a.b: 1, a: {b: 2}}", "{a.b: 3, a: {b: 2}}"),
        ("{a: !A {x: 1}}", "{a: !B {x: 1}}"),
        ("{a: {x: 1}}", "{a: !B {x: 1}}"),
        ("{a: !A [1]}", "{a: !B [1]}"),
        ("{a: {x: null}}", "{a: !!set {x: null}}"),
    ],
)
def test_values_that_look_alike_when_flattened_are_told_apart(judge: Judge, one: str, two: str) -> None:
    declared = single(SCRIPT, params=("train",))
    files = {SCRIPT: "", "params.yaml": f"train: {one}"}
    assert judge.runs(files, {"params.yaml": f"train: {two}"}, declared)


def test_a_tag_on_the_root_counts(judge: Judge) -> None:
    declared = single(SCRIPT, params=("train",))
    assert judge.runs({SCRIPT: "", "params.yaml": "!A\ntrain: 1"}, {"params.yaml": "!B\ntrain: 1"}, declared)


@pytest.mark.parametrize(
    ("path", "one", "two"),
    [
        ("p.json", '{"a": [5]}', '{"a": {"0": 5}}'),
        ("p.json", '{"a.b": 5}', '{"a": {"b": 5}}'),
        ("p.toml", '"a.b" = 1', "a.b = 1"),
    ],
)
def test_other_formats_tell_them_apart_too(judge: Judge, path: str, one: str, two: str) -> None:
    assert judge.runs({SCRIPT: "", path: one}, {path: two}, single(SCRIPT, params=(f"{path}:",)))


def test_a_flat_key_with_dots_can_be_named(judge: Judge) -> None:
    declared = single(SCRIPT, params=("train.lr",))
    files = {SCRIPT: "", "params.yaml": "train.lr: 0.1\nother: 1"}
    assert judge.runs(files, {"params.yaml": "train.lr: 0.2\nother: 1"}, declared)
    assert not judge.runs(files, {"params.yaml": "train.lr: 0.1\nother: 2"}, declared)
    assert judge.notes(files, declared) == ()


HYDRA = "conf/config.yaml"


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ("defaults:\n- db: mysql\n- x: ${db}_y\n", "conf/x/mysql_y.yaml"),
        ("defaults:\n- db: ${oc.env:DB}\n", "conf/db/any.yaml"),
        ("defaults:\n- db: mysql\nhydra:\n  searchpath: ['file://extra']\n", "extra/db/mysql.yaml"),
        ("defaults:\n- db: mysql\nhydra:\n  searchpath: ['pkg://lib.conf']\n", "src/lib/conf/db/mysql.yaml"),
        ("n: lib.Net\nm:\n  _target_: ${n}\n", "src/lib.py"),
        ("m:\n  _target_: ${oc.env:NET}\n", "src/lib.py"),
        ("m:\n  _target_: hydra.utils.get_method\n  path: lib.f\n", "src/lib.py"),
    ],
)
def test_what_hydra_composes_and_imports_by_reference(judge: Judge, config: str, path: str) -> None:
    files = {SCRIPT: "", HYDRA: config, path: "x = 1", "other.md": "1"}
    assert judge.runs(files, {path: "x = 2"}, single(SCRIPT, params=(f"{HYDRA}:",)))


def test_hydras_search_path_comes_after_the_folder(judge: Judge) -> None:
    config = "defaults:\n- db: mysql\nhydra:\n  searchpath: ['file://extra']\n"
    files = {SCRIPT: "", HYDRA: config, "extra/db/mysql.yaml": "x: 1"}
    declared = single(SCRIPT, params=(f"{HYDRA}:",))
    assert judge.runs(files, {"conf/db/mysql.yaml": "x: 1"}, declared)
    both = {**files, "conf/db/mysql.yaml": "x: 1"}
    assert not judge.runs(both, {"extra/db/mysql.yaml": "x: 2"}, declared)
