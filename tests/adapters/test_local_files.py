"""A run's log and metrics as files: paged while written, whole on a full disk, numbers that are numbers."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.adapters.backends.local.files import read_json, write_json
from service.adapters.backends.local.logs import LARGEST_LOG, LogWriter, read_lines
from service.adapters.backends.steps.metrics import UnreadableMetrics, read_metrics
from tests.disks import little_space

# logs ------------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=80)
@given(st.lists(st.text(max_size=40) | st.just("x" * 5_000), max_size=30), st.integers(-2, 35), st.integers(0, 35))
def test_a_page_is_what_it_would_be_if_all_were_read(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], after: int, limit: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    log = LogWriter(path)
    for at, text in enumerate(texts):
        log.write(("stdout", "stderr")[at % 2], text)
    log.close()
    everything = read_lines(path, 0, 1_000)
    assert [(line.number, line.stream, line.text) for line in everything] == [
        (at + 1, ("stdout", "stderr")[at % 2], text) for at, text in enumerate(texts)
    ]
    assert read_lines(path, after, limit) == [line for line in everything if line.number > after][:limit]


def test_half_a_line_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogWriter(path)
    log.write("stdout", "whole")
    whole = path.read_bytes()
    log.write("stdout", "half")
    after = path.read_bytes()
    for cut in range(len(whole), len(after)):
        path.write_bytes(after[:cut])
        assert [line.text for line in read_lines(path, 0, 10)] == ["whole"]
    log.close()


def test_streams_are_numbered_together(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "log")
    pipes = [os.pipe() for _ in range(4)]
    readers = [
        threading.Thread(target=log.copy, args=(f"s{at}", os.fdopen(read, "rb"))) for at, (read, _) in enumerate(pipes)
    ]
    for reader in readers:
        reader.start()
    for at, (_, write) in enumerate(pipes):
        with os.fdopen(write, "w") as file:
            file.writelines(f"{at} {n}\n" for n in range(200))
    for reader in readers:
        reader.join()
    lines = read_lines(tmp_path / "log", 0, 10_000)
    assert [line.number for line in lines] == list(range(1, 801))
    for at in range(4):
        assert [line.text for line in lines if line.stream == f"s{at}"] == [f"{at} {n}" for n in range(200)]
    assert log.tails["s3"][-1] == "3 199"
    assert len(log.tails["s3"]) <= 60


def test_a_log_ends_at_its_cap_and_says_so(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "log")
    text = "x" * 1_000_000
    for _ in range(70):
        log.write("stdout", text)
    log.write("stderr", "the traceback")
    log.close()
    assert (tmp_path / "log").stat().st_size < LARGEST_LOG + 2 * len(text)
    (last,) = read_lines(tmp_path / "log", len(read_lines(tmp_path / "log", 0, 1_000)) - 1, 10)
    assert (last.stream, last.text) == ("refit", "the log is full; what follows is not kept")
    assert log.tails["stderr"] == ["the traceback"], "what failed is still known"


def test_a_full_disk_loses_lines_and_says_how_many(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = LogWriter(path)
    log.write("stdout", "before")
    with little_space(path.stat().st_size + 30):
        for n in range(5):
            log.write("stdout", f"lost {n}")
    log.write("stdout", "after")
    log.close()
    lines = read_lines(path, 0, 100)
    assert [line.text for line in lines] == ["before", "the disk was full: 5 lines were not kept", "after"]
    assert [line.number for line in lines] == [1, 2, 3]
    assert read_lines(path, 2, 1) == lines[2:]
    assert log.tails["stdout"][1:6] == [f"lost {n}" for n in range(5)]


def test_a_value_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_json(tmp_path / "x", {"old": "\udcff"})
    with little_space(1_000), pytest.raises(OSError, match="too large"):
        write_json(tmp_path / "x", {"new": "x" * 5_000})
    assert read_json(tmp_path / "x") == {"old": "\udcff"}
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert read_json(tmp_path / "absent") is None


# metrics ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"rmse": 1.5, "rows": 3}, {"rmse": 1.5, "rows": 3.0}),
        ({"regression_metrics": {"rmse": {"value": 2, "standard_deviation": "NaN"}}}, {"rmse": 2.0}),
        ({"rmse": 1, "regression_metrics": {"rmse": {"value": 2}}}, {"rmse": 1.0}),
        ({"regression_metrics": {"rmse": {"value": 2}}, "rmse": 1}, {"rmse": 1.0}),
        ({"a": {"x": 1}, "b": {"x": 2, "y": 3}}, {"x": 1.0, "y": 3.0}),
        ({"text": "1.5", "none": None, "yes": True, "list": [1], "deep": {"a": {"b": {"value": 1}}}}, {}),
        ({"huge": 10**400, "negative": -(10**400), "large": 1e308}, {"large": 1e308}),
        ({"group": {"a": {"value": True}, "b": {"value": None}, "c": {"values": 1}}}, {}),
        ({}, {}),
    ],
)
def test_flat_and_nested_metrics(tmp_path: Path, value: object, expected: dict[str, float]) -> None:
    (tmp_path / "m.json").write_text(json.dumps(value))
    assert read_metrics(tmp_path / "m.json") == expected


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_metric_is_a_finite_number(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(f'{{"a": {text}, "g": {{"b": {{"value": {text}}}}}, "c": 1}}')
    assert read_metrics(tmp_path / "m.json") == {"c": 1.0}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"1", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "not JSON"),
        (b" " * 1_048_577, "larger than"),
    ],
)
def test_other_files_are_no_metrics(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "m.json").write_bytes(content)
    with pytest.raises(UnreadableMetrics, match=words):
        read_metrics(tmp_path / "m.json")
