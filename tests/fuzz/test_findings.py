"""What was found by trying anything, or by thinking of it: plain cases that must not come back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.adapters.backends.local.logs import read_lines
from service.adapters.backends.steps.commands import Unrunnable, arguments
from service.adapters.backends.steps.declared import INCLUDE
from service.adapters.backends.steps.metrics import read_metrics
from service.domain.inputs import read_input
from tests.builders import empty_shelf, repository, settle
from tests.fuzz.test_rules import Readers


@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1" + "0" * 310])
def test_a_metric_beyond_any_float_is_left_out(tmp_path: Path, number: str) -> None:
    (tmp_path / "metrics.json").write_text(f'{{"a": {number}, "b": 1}}')
    assert read_metrics(tmp_path / "metrics.json") == {"b": 1.0}


@pytest.mark.parametrize("lock", ["", "just text", "3", "[a]", "stages: x", "stages: {a: {outs: [x]}}"])
def test_a_lock_of_dvc_may_be_anything(lock: str) -> None:
    tree, blobs = repository({"dvc.lock": lock})
    found = settle(lambda shelf: read_input("a.py", tree, shelf), empty_shelf(), blobs, Readers())
    assert found.values[0][0] == "a.py"


@pytest.mark.parametrize("run", ["python 'a.py", '"', "", "  "])
def test_a_command_that_cannot_be_split_is_refused_by_name(run: str, tmp_path: Path) -> None:
    with pytest.raises(Unrunnable):
        arguments(run, Path("/python"), {}, {}, [], tmp_path)


def test_a_deep_notebook_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_text('{"cells": ' + "[" * 100_000)
    with pytest.raises(Unrunnable, match="not a notebook"):
        arguments("a.ipynb", Path("/python"), {}, {}, [], tmp_path)


@pytest.mark.timeout(30)
def test_a_requirements_file_of_empty_lines_is_searched_in_one_go() -> None:
    assert INCLUDE.findall(b"\n" * 1_000_000 + b"-r a.txt\n") == [b"a.txt"]
    assert not re.search(rb"\\s\*\(\?:-r", INCLUDE.pattern)


def test_a_line_that_a_full_disk_tore_hides_no_other(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    whole = '{{"n": {n}, "t": 1, "s": "stdout", "x": "{n}"}}\n'
    log.write_text(whole.format(n=1) + '{"n": 2, "t": 1, "s"\n' + whole.format(n=2) + whole.format(n=3))
    assert [line.text for line in read_lines(log, 0, 10)] == ["1", "2", "3"]
