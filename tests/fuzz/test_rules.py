"""Anything at all for the rules that read text: run commands, gates, parameters, imports, and a step's own files."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from service.adapters.backends.steps.commands import Unrunnable, arguments
from service.adapters.backends.steps.metrics import UnreadableMetrics, read_metrics
from service.adapters.reading.process import READERS
from service.domain.closure import trace
from service.domain.command import parse_command
from service.domain.facts import Fact, Request
from service.domain.gates import Baseline, Gate, judge, parse_gate
from service.domain.inputs import read_environment, read_input
from service.domain.parameters import select
from tests.builders import Commit, Content, Link, Program, empty_shelf, repository, settle
from tests.fuzz import mutations
from tests.fuzz.conftest import cases

TEXTS = st.one_of(st.text(max_size=60), st.from_regex(r"[ -~]{0,60}"))
WORDS = st.sampled_from(
    [
        "python",
        "python3.12",
        "-m",
        "-c",
        "-u",
        "-I",
        "-X",
        "a.py",
        "./src/a.py",
        "../a.py",
        "a.b",
        "a.ipynb",
        "&&",
        "|",
        ";",
        "'",
        '"',
        "$(ls)",
        "`ls`",
        "${{ inputs.a }}",
        "${{params.b}}",
        "${{ metrics }}",
        "--x=y",
        "--config=c.yaml",
        "-",
        "--",
        "",
        "\\",
        "é",
    ]
)
COMMANDS = st.one_of(TEXTS, st.lists(WORDS, max_size=8).map(" ".join))


class Readers:
    """The readers in this process: what they may do to it is another test's."""

    def facts(self, blobs: Sequence[tuple[Request, bytes | None]]) -> list[tuple[Request, Fact]]:
        return [((kind, oid), READERS[kind](content or b"")) for (kind, oid), content in blobs]


@given(COMMANDS)
@cases(2_000)
def test_a_command_starts_something_or_is_doubted(text: str) -> None:
    command = parse_command(text)
    assert not command.opaque or command.doubts


@given(COMMANDS, mutations.mutated(mutations.NOTEBOOK))
@cases(500)
def test_a_commands_arguments_or_why_there_are_none(text: str, notebook: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.ipynb").write_bytes(notebook)
        try:
            words = arguments(text, Path("/python"), {"a": "in/a"}, {"metrics": "out/m"}, [("b", ["1"])], Path(folder))
        except Unrunnable:
            return
        assert words and all(isinstance(word, str) for word in words)


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
GATES = st.one_of(
    TEXTS,
    st.builds(
        "{} {} {}".format,
        st.sampled_from(["rmse", "a.b", "9", ""]),
        st.sampled_from(["<", "<=", ">", ">=", "==", "=<"]),
        st.one_of(
            NUMBERS.map(str),
            st.builds("baseline * {}".format, NUMBERS),
            st.sampled_from(["baseline", "9" * 190, "." * 50, "1e400"]),
        ),
    ),
)


@given(st.lists(GATES, max_size=3), st.dictionaries(st.sampled_from(["rmse", "a.b"]), NUMBERS), NUMBERS)
@cases(2_000)
def test_a_gate_is_judged_or_explained(texts: list[str], metrics: dict[str, float], known: float) -> None:
    for text in texts:
        assert isinstance(parse_gate(text), Gate | str)
    verdicts = judge(texts, metrics, Baseline("e", "c", {"rmse": known}))
    assert [verdict.gate for verdict in verdicts] == texts
    assert all(verdict.detail for verdict in verdicts)
    assert not any(v.passed for v in verdicts if v.value is not None and math.isnan(v.value) and v.bound is not None)


@given(
    st.one_of(
        st.binary(max_size=100),
        mutations.mutated(mutations.JSON),
        st.recursive(
            st.one_of(
                NUMBERS, st.integers(), st.booleans(), st.text(max_size=3), st.sampled_from([10**400, -(10**309)])
            ),
            lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
            max_leaves=8,
        ).map(lambda v: repr(v).replace("'", '"').encode("utf-8", "replace")),
    )
)
@cases(1_500)
def test_metrics_are_finite_numbers_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.json"
        path.write_bytes(content)
        try:
            found = read_metrics(path)
        except UnreadableMetrics:
            return
        assert all(math.isfinite(value) for value in found.values())


# whole repositories ---------------------------------------------------------------------------------------------------

PATHS = st.sampled_from(
    [
        "a.py",
        "b.py",
        "src/a.py",
        "src/b/__init__.py",
        "src/b/c.py",
        "lib",
        "lib/a.py",
        "src",
        "params.yaml",
        "conf/a.yaml",
        "conf",
        "data",
        "data.dvc",
        "r.txt",
        "dvc.lock",
        "x�.py",
        "a b.py",
        "-a.py",
        "a.ipynb",
        "b.so",
        "src/b.pyx",
        "sitecustomize.py",
    ]
)
TARGETS = st.sampled_from(
    ["a.py", "..", ".", "/etc/passwd", "src", "../src/b", "lib", "", "./././a.py", "x" * 300, "a\0b"]
)
SOURCES = st.lists(
    st.sampled_from(
        [
            "import a",
            "import b.c",
            "from . import a",
            "from .. import b",
            "from b import *",
            "from ... import x",
            "__import__('b')",
            "import_module('.c', 'b')",
            "exec(open('b.py').read())",
            "__all__ = ['c', x]",
            "(",
            "",
        ]
    ),
    max_size=4,
).map("\n".join)
CONTENTS: st.SearchStrategy[Content] = st.one_of(
    SOURCES,
    TARGETS.map(Link),
    st.just(Commit("c" * 40)),
    SOURCES.map(Program),
    mutations.mutated(mutations.YAML),
    mutations.mutated(mutations.REQUIREMENTS),
    mutations.mutated(mutations.DVC),
)
REPOSITORIES = st.dictionaries(PATHS, CONTENTS, max_size=10)
PARAMS = st.sampled_from(
    ["a", "a.b", "conf/a.yaml:", "conf/a.yaml:a.b", ":", "x:y:z", "../p.yaml:a", "params.yaml:", "", "conf:a"]
)


@given(
    REPOSITORIES,
    COMMANDS,
    st.lists(PATHS, max_size=2),
    st.lists(st.sampled_from(["a", "b.c", "", "..", "a" * 300]), max_size=2),
)
@cases(600)
def test_an_import_closure_has_an_end(
    files: dict[str, Content], command: str, extra: list[str], targets: list[str]
) -> None:
    tree, blobs = repository(files)
    found = settle(lambda shelf: trace(command, extra, targets, tree, shelf), empty_shelf(), blobs, Readers())
    assert {path for path, _ in found.files} <= set(files)


@given(REPOSITORIES, st.lists(PARAMS, max_size=3), st.lists(PATHS, max_size=3))
@cases(600)
def test_parameters_inputs_and_environments_have_a_value(
    files: dict[str, Content], params: list[str], paths: list[str]
) -> None:
    tree, blobs = repository(files)
    shelf, readers = empty_shelf(), Readers()
    chosen = settle(lambda evidence: select(params, tree, evidence), shelf, blobs, readers)
    assert all(isinstance(value, str) for _, value in chosen.values)
    for path in paths:
        assert settle(lambda evidence, path=path: read_input(path, tree, evidence), shelf, blobs, readers).values
        assert settle(lambda evidence, path=path: read_environment(path, tree, evidence), shelf, blobs, readers).values
