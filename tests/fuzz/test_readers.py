"""Anything nearly right, and anything at all: every reader answers with a fact of its kind and raises nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from service.adapters.reading import IsolatedReader
from service.adapters.reading.documents import read_document
from service.adapters.reading.manifest import read_manifest
from service.adapters.reading.process import READERS
from service.domain.errors import InvalidManifest
from service.domain.fact_codec import from_json, to_json
from service.domain.facts import Kind, PythonFacts, TextFacts, ValuesFacts
from service.domain.pipeline import Manifest
from tests.fuzz import mutations
from tests.fuzz.conftest import cases

SEEDS = {
    Kind.PYTHON: mutations.PYTHON,
    Kind.NOTEBOOK: mutations.NOTEBOOK,
    Kind.YAML: mutations.YAML,
    Kind.JSON: mutations.JSON,
    Kind.TOML: mutations.TOML,
    Kind.REQUIREMENTS: mutations.REQUIREMENTS,
    Kind.DVC: mutations.DVC,
}
FACTS = {
    Kind.PYTHON: PythonFacts,
    Kind.NOTEBOOK: PythonFacts,
    Kind.YAML: ValuesFacts,
    Kind.JSON: ValuesFacts,
    Kind.TOML: ValuesFacts,
    Kind.REQUIREMENTS: TextFacts,
    Kind.DVC: TextFacts,
}
HOW_MANY = {Kind.PYTHON: 200, Kind.NOTEBOOK: 500}


@pytest.mark.parametrize("kind", SEEDS)
def test_a_reader_answers_whatever_it_is_given(kind: Kind) -> None:
    @given(st.one_of(mutations.mutated(SEEDS[kind]), st.binary(max_size=200)))
    @cases(HOW_MANY.get(kind, 1_000))
    def check(content: bytes) -> None:
        fact = READERS[kind](content)
        assert isinstance(fact, FACTS[kind])
        assert from_json(to_json(fact)) == fact
        assert READERS[kind](content) == fact, "a fact depends on the bytes alone"

    check()


@pytest.fixture(scope="module")
def isolated() -> Iterator[IsolatedReader]:
    with IsolatedReader() as made:
        yield made


@pytest.mark.parametrize("kind", SEEDS)
def test_no_case_goes_over_the_limits_of_the_process(kind: Kind, isolated: IsolatedReader) -> None:
    """As shipped: the process outlives every case, however often a part of it is repeated."""

    @given(mutations.mutated(SEEDS[kind]), st.integers(0, 10_000), st.integers(1, 40), st.sampled_from([1, 100, 5_000]))
    @settings(cases(25), phases=[Phase.explicit, Phase.reuse, Phase.generate])  # each smaller one would hang too
    def check(content: bytes, at: int, length: int, times: int) -> None:
        at %= len(content) + 1
        part = content[at : at + length]
        large = (content[:at] + part * times + content[at:])[: 1024 * 1024]
        [(_, fact)] = isolated.facts([((kind, "1" * 40), large)])
        assert isinstance(fact, FACTS[kind])
        assert not any("within the limits" in doubt.what for doubt in fact.doubts), "it exceeded its limits"

    check()


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (Kind.REQUIREMENTS, b"a" + b" " * 1_000_000 + b"b"),
        (Kind.REQUIREMENTS, b"--" * 500_000),
        (Kind.REQUIREMENTS, b"# coding: punycode\n-" + b"a" * 1_000_000),
        (Kind.PYTHON, b"# /// script\n" * 70_000),
        (Kind.TOML, b"[" + b"a." * 100_000 + b"a]"),
    ],
    ids=["blanks", "one word", "a slow codec", "script blocks without end", "one key"],
)
def test_reading_costs_no_more_than_the_length(kind: Kind, content: bytes, isolated: IsolatedReader) -> None:
    [(_, fact)] = isolated.facts([((kind, "1" * 40), content)])
    assert isinstance(fact, FACTS[kind])
    assert not any("within the limits" in doubt.what for doubt in fact.doubts)


@given(mutations.mutated(mutations.YAML))
@cases(1_500)
def test_a_manifest_is_valid_or_every_mistake_is_named(content: bytes) -> None:
    found = read_document(content)
    if "error" in found:
        assert isinstance(found["error"], str)
        return
    judged(found["value"], found["odd"])


def judged(value: object, odd: list[str]) -> None:
    mistakes: Sequence[object] = ()
    try:
        manifest = read_manifest(value, odd, ["local", "cloud"])
    except InvalidManifest as invalid:
        manifest, mistakes = None, invalid.mistakes
    assert isinstance(manifest, Manifest) or mistakes


NAMES = st.sampled_from(
    ["train", "a", "with", "on", "", "1", "a.b", "é", "x" * 300, "train.model", "../x", "s3://b/c", "${{ inputs.a }}"]
)
KEYS = st.sampled_from(
    [
        "version",
        "triggers",
        "push",
        "pull_request",
        "ignore",
        "environment",
        "pipelines",
        "components",
        "backend",
        "gates",
        "register",
        "model",
        "as",
        "run",
        "params",
        "paths",
        "inputs",
        "outputs",
        "metrics",
        "with",
        "timeout",
        "retries",
    ]
)
VALUES = st.recursive(
    st.one_of(NAMES, st.none(), st.booleans(), st.integers(), st.floats(), st.just(1), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.one_of(KEYS, NAMES), inner, max_size=6)),
    max_leaves=30,
)
COMPONENTS = st.dictionaries(
    NAMES,
    st.fixed_dictionaries(
        {"run": NAMES},
        optional={str(key): VALUES for key in ("params", "paths", "inputs", "outputs", "metrics", "with")},
    ),
    max_size=4,
)
DOCUMENTS = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "pipelines": st.dictionaries(
            NAMES,
            st.one_of(
                VALUES,
                st.fixed_dictionaries(
                    {"components": COMPONENTS}, optional={"gates": VALUES, "register": VALUES, "backend": NAMES}
                ),
            ),
            max_size=3,
        ),
    },
    optional={"triggers": VALUES, "ignore": VALUES, "environment": VALUES},
)


@given(st.one_of(DOCUMENTS, VALUES))
@cases(700)
def test_any_values_are_a_manifest_or_mistakes(value: object) -> None:
    judged(value, [])
