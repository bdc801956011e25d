"""Parameter files → leaves, under every reading that a program may have of them (trap 14)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.reading.values import read_json, read_toml, read_yaml
from service.domain.facts import ValuesFacts


def leaves(facts: ValuesFacts) -> dict[str, str]:
    return {".".join(leaf.path): leaf.reading for leaf in facts.leaves}


def reading(text: str) -> str:
    return leaves(read_yaml(f"a: {text}\n".encode()))["a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3", '"1e-3" | 0.001'),
        ("010", "8 | 10"),
        ("yes", 'true | "yes"'),
        ("NO", 'false | "NO"'),
        ("12:30", '750 | "12:30"'),
        ("0o17", '"0o17" | 15'),
        ("1_000", '1000 | "1_000"'),
        ("0x1F", "31"),
        ("2024-01-31", 'date 2024-01-31 | "2024-01-31"'),
        ("1.0", "1.0"),
        ("1", "1"),
        ("'1'", '"1"'),
        ("true", "true"),
        ("null", "null"),
        ("~", "null"),
        ("", "null"),
        (".inf", "Infinity"),
        ("-.INF", "-Infinity"),
        (".nan", "NaN"),
        ("text", '"text"'),
        ("|\n  text", r'"text\n"'),
    ],
)
def test_both_readings_of_a_scalar(text: str, expected: str) -> None:
    assert reading(text) == expected


@pytest.mark.parametrize(
    ("one", "two"), [("0.1", "0.10"), ("true", "True"), ("'x'", '"x"'), ("null", "~"), ("16", "0x10")]
)
def test_spellings_that_every_reader_takes_alike_are_one_reading(one: str, two: str) -> None:
    assert reading(one) == reading(two)


@pytest.mark.parametrize(
    ("one", "two"), [("1e-3", "0.001"), ("1", "1.0"), ("1", "'1'"), ("1", "true"), ("null", "'null'")]
)
def test_spellings_that_some_reader_takes_apart_are_two_readings(one: str, two: str) -> None:
    assert reading(one) != reading(two)


def test_the_text_is_as_written() -> None:
    assert [leaf.text for leaf in read_yaml(b"a: 1e-3\nb: 'yes'\nc: [010]\n").leaves] == ["1e-3", "yes", "010"]


def test_order_and_comments_do_not_count_within_a_mapping() -> None:
    assert leaves(read_yaml(b"a: 1 # x\nb: 2\n")) == leaves(read_yaml(b"b: 2\na: 1\n"))


def test_empty_containers_are_leaves() -> None:
    assert leaves(read_yaml(b"a: {}\nb: []\nc: null\n")) == {"a": "{}", "b": "[]", "c": "null"}


def test_merge_keys() -> None:
    text = b"one: &1 {x: 1, y: 1}\ntwo: &2 {y: 2, z: 2}\nm: {<<: [*1, *2], x: 3}\n"
    found = leaves(read_yaml(text))
    assert (found["m.x"], found["m.y"], found["m.z"]) == ("3", "1", "2")


@pytest.mark.parametrize("text", [b"a: 1\na: 2\n", b"a: {1: x, '1': y}\n", b"a: &a {x: 1}\nb: {<<: *a, <<: {x: 2}}\n"])
def test_repeated_keys_are_doubted(text: bytes) -> None:
    assert "repeats the key" in read_yaml(text).doubts[0].what


_LAUGHS = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(ord("b"), ord("j"))
)
_MERGES = b"a: &a {x: 1}\n" + b"".join(
    b"%c: &%c {<<: [%s]}\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 9)) for n in range(ord("b"), ord("j"))
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(_LAUGHS, id="billion laughs"),
        pytest.param(_MERGES, id="merge-key bomb"),
        pytest.param(b"[" * 200_000, id="deep flow"),
        pytest.param(b"- " * 5_000 + b"x", id="deep block"),
        pytest.param(b"&a [*a]", id="recursive"),
        pytest.param(b"&a {<<: *a}", id="recursive merge"),
        pytest.param(b"a: &a\n  <<: *a\n", id="recursive merge in block"),
        pytest.param(b"[" + b"1," * 100_000 + b"1]", id="long"),
        pytest.param(b"a: *gone", id="unknown alias"),
        pytest.param(b"a: 1\n---\nb: 2\n", id="two documents"),
        pytest.param(b"? [a]\n: 1\n", id="key that is a sequence"),
        pytest.param(b"<<: 1\n", id="merge of a scalar"),
        pytest.param(b"a: [", id="syntax"),
        pytest.param(b"\xff\xfe\xff", id="encoding"),
        pytest.param(b"\x00", id="null byte"),
    ],
)
def test_hostile_or_broken_yaml_is_doubted(text: bytes) -> None:
    doubts = read_yaml(text).doubts
    assert doubts
    assert doubts[0].what.endswith("all of its bytes count")


@pytest.mark.parametrize(
    "value", ["!!int ''", "!!bool x", "!!float x", "!!timestamp x", "!!python/object:os.system x", "!custom x",
              "!!binary x", "9" * 5_000, "1:" * 2_000 + "1", "2024-13-45", "1e999", "="],
)  # fmt: skip
def test_strange_scalars_have_a_stable_reading(value: str) -> None:
    assert reading(value) == reading(value)
    assert not read_yaml(f"a: {value}\n".encode()).doubts


@given(st.binary(max_size=100))
def test_any_bytes_become_facts(content: bytes) -> None:
    for read in (read_yaml, read_json, read_toml):
        assert read(content) == read(content)


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("abc 01.-'\"é", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(_PLAIN)
def test_json_is_yaml_and_both_readers_find_the_same_leaves(value: object) -> None:
    text = json.dumps({"top": value}).encode()
    one, two = read_json(text), read_yaml(text)
    assert [leaf.path for leaf in one.leaves] == [leaf.path for leaf in two.leaves]


def test_json_and_toml() -> None:
    assert leaves(read_json(b'{"a": {"b": [1, "x"]}, "c": null}')) == {"a.b.0": "1", "a.b.1": '"x"', "c": "null"}
    assert leaves(read_toml(b"[a]\nb = [1, 'x']\nd = 2024-01-31\n"))["a.b.1"] == '"x"'


@pytest.mark.parametrize("content", [b"{", b'{"a": 1, "a": 2}', b"[" * 100_000, b"9" * 10_000, b"\xff"])
def test_broken_json_is_doubted(content: bytes) -> None:
    assert read_json(content).doubts


@pytest.mark.parametrize("content", [b"a", b"a = 1\na = 2", b"\xff", b"a = " + b"[" * 5_000])
def test_broken_toml_is_doubted(content: bytes) -> None:
    assert read_toml(content).doubts


def test_hydras_defaults_and_targets() -> None:
    text = b"""
defaults:
  - db: mysql
  - optional server@srv: apache
  - override /hydra/launcher: joblib
  - group: [a, b]
  - off: null
  - other
  - _self_
net: {_target_: models.Net, inner: {_target_: models.Inner}}
"""
    facts = read_yaml(text)
    assert facts.defaults == ("db/mysql", "server/apache", "/hydra/launcher/joblib", "group/a", "group/b", "other")
    assert facts.targets == ((("net",), "models.Net"), (("net", "inner"), "models.Inner"))
