"""The parsing process: limits, restarts, no secrets, nothing left behind."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from service.adapters.reading import IsolatedReader, isolation
from service.domain.fact_codec import from_json, to_json
from service.domain.facts import Doubt, Fact, Import, Kind, Leaf, PythonFacts, Request, TextFacts, ValuesFacts


def python(reader: IsolatedReader, content: bytes | None, oid: str = "1" * 40) -> PythonFacts:
    [(request, fact)] = reader.facts([((Kind.PYTHON, oid), content)])
    assert request == (Kind.PYTHON, oid)
    assert isinstance(fact, PythonFacts)
    return fact


def process_of(reader: IsolatedReader) -> int:
    assert reader._process is not None
    return reader._process.pid


def test_every_kind_has_its_reader(reader: IsolatedReader) -> None:
    asked = [((kind, "0" * 40), b"{}") for kind in Kind]
    facts = reader.facts(asked)
    assert [request for request, _ in facts] == [request for request, _ in asked]
    kinds = {Kind.PYTHON: PythonFacts, Kind.NOTEBOOK: PythonFacts, Kind.REQUIREMENTS: TextFacts, Kind.LINK: TextFacts,
             Kind.DVC: TextFacts}  # fmt: skip
    assert all(isinstance(fact, kinds.get(kind, ValuesFacts)) for (kind, _), fact in facts)


def test_several_that_exceed_a_limit_together_are_read_each_alone(
    reader: IsolatedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Request, bytes | None]] = [((Kind.PYTHON, f"{n:040}"), f"import m{n}".encode()) for n in range(9)]
    alone = [fact for one in asked for fact in reader.facts([one])]
    assert reader.facts(asked) == alone
    # The real bound is 16 MiB, which small files cannot reach: lowered, so that the real process really exceeds it.
    longest = max(len(json.dumps(to_json(fact))) for _, fact in alone)
    monkeypatch.setattr(isolation, "LONGEST_ANSWER", longest)
    assert reader.facts(asked) == alone
    monkeypatch.setattr(isolation, "LONGEST_ANSWER", longest - 1)
    assert reader.facts(asked) != alone, "the limit is in force"


def test_what_cannot_be_read_or_is_too_large_counts_by_its_oid(reader: IsolatedReader) -> None:
    for content in (None, b"#" * (isolation.BLOB_LIMIT + 1)):
        fact = python(reader, content, "a" * 40)
        assert fact.kept == fact.blanked == f"bytes {'a' * 40}"
        assert fact.doubts == (Doubt("cannot be read, or is larger than 1048576 bytes", 0, "python"),)


def test_a_killed_process_is_replaced_and_the_blob_read_again() -> None:
    with IsolatedReader() as reader:
        python(reader, b"import a")
        first = process_of(reader)
        os.kill(first, 9)
        assert python(reader, b"import b").imports == (Import("b"),)
        assert process_of(reader) != first


def test_a_process_that_hangs_is_replaced_and_the_blob_read_again() -> None:
    with IsolatedReader(wall_seconds=10.0) as reader:
        python(reader, b"")
        stopped = process_of(reader)
        os.kill(stopped, 19)  # SIGSTOP: as good as an endless loop
        fact = python(reader, b"import a" + b"#" * 500_000)
        assert fact.imports == (Import("a"),)
        assert not Path(f"/proc/{stopped}").exists()


def test_memory_is_limited(reader: IsolatedReader) -> None:
    fact = python(reader, b"x = [" + b"[]," * 340_000 + b"]")
    assert fact.kept  # parsed, or given up within the limits: never an exception
    assert python(reader, b"import a").imports == (Import("a"),)


def test_the_process_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFIT_WEBHOOK_SECRET", "hunter2")
    with IsolatedReader() as reader:
        python(reader, b"")
        assert b"hunter2" not in Path(f"/proc/{process_of(reader)}/environ").read_bytes()
        limits = Path(f"/proc/{process_of(reader)}/limits").read_text()
        assert f"Max address space         {1_500 * 1024 * 1024}" in limits


def test_nothing_is_left_behind() -> None:
    with IsolatedReader() as reader:
        python(reader, b"")
        pid = process_of(reader)
    assert not Path(f"/proc/{pid}").exists()
    reader.close()


def test_it_starts_only_when_asked() -> None:
    with IsolatedReader() as reader:
        reader.globs(["*.py"])
        assert reader._process is None


def test_threads_share_one_process() -> None:
    wrong: list[object] = []

    def ask(name: str) -> None:
        for _ in range(20):
            if python(reader, f"import {name}".encode()).imports != (Import(name),):
                wrong.append(name)

    with IsolatedReader() as reader:
        threads = [threading.Thread(target=ask, args=(f"m{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


@pytest.mark.parametrize(
    "fact",
    [
        PythonFacts("k", "b", (Import("a", ("b",), 1),), ("x", "*"), ("s.py",), True, (Doubt("w", 1, "all"),)),
        ValuesFacts((Leaf(("a", "0"), "t", "r"),), ((("a",), "x.Y"),), ("d",), (Doubt("w"),)),
        TextFacts("\udcff", ("i",), (Doubt("w"),)),
    ],
)
def test_facts_survive_json(fact: Fact) -> None:
    assert from_json(to_json(fact)) == fact
