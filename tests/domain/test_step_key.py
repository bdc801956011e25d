"""The content key: what makes two keys equal, and how their difference is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.step_key import Part, PartKind, Reason, abbreviated, difference, key_of

_TEXT = st.text(st.sampled_from(["a", "b", "\0", ",", '"', "\\", "\udcff", "é"]), max_size=4)
_PART = st.builds(Part, st.sampled_from(PartKind), _TEXT, _TEXT)
_PARTS = st.lists(_PART, max_size=6)
_BY_SUBJECT = st.dictionaries(st.tuples(st.sampled_from(PartKind), _TEXT.filter(bool)), _TEXT, max_size=6).map(
    lambda found: [Part(kind, subject, value) for (kind, subject), value in found.items()]
)

OID = "0a" * 20
OTHER = "0b" * 20
HASH = "c" * 64


def source(value: str, subject: str = "train.py") -> Part:
    return Part(PartKind.SOURCE, subject, value)


# equality -------------------------------------------------------------------------------------------------------------


@given(_PARTS, st.randoms())
def test_neither_order_nor_repetition_matters(parts: list[Part], random: object) -> None:
    shuffled = [*parts, *parts]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert key_of(shuffled) == key_of(parts)


@given(_PARTS, _PARTS)
def test_keys_are_equal_if_and_only_if_the_parts_are(one: list[Part], two: list[Part]) -> None:
    assert (key_of(one) == key_of(two)) == (set(one) == set(two))


def test_a_boundary_between_subject_and_value_cannot_move() -> None:
    assert key_of([source("c", "ab")]) != key_of([source("bc", "a")])
    assert key_of([source("x"), source("y", "b")]) != key_of([source('x","source","b","y')])


def test_a_key_is_the_same_in_every_process_for_ever() -> None:
    parts = [source("100644 abc", "src/\udcff.py"), Part(PartKind.PARAMETER, "lr", "0.1")]
    assert key_of(parts) == "3352f9d9bdd705559e9f1b6c393999c288e3ee97c9d2fd5269f3c46664ebe9f0"


def test_the_words_that_are_stored_never_change() -> None:
    words = "algorithm declaration source parameter environment path input upstream uncertain"
    assert [kind.value for kind in PartKind] == words.split()


# difference -----------------------------------------------------------------------------------------------------------


@given(_BY_SUBJECT, _BY_SUBJECT)
def test_a_difference_is_empty_if_and_only_if_the_keys_are_equal(one: list[Part], two: list[Part]) -> None:
    assert (difference(one, two) == ()) == (key_of(one) == key_of(two))


@given(_BY_SUBJECT, _BY_SUBJECT)
def test_every_difference_carries_its_evidence(one: list[Part], two: list[Part]) -> None:
    was = {(part.kind.value, part.value) for part in one} | {(kind.value, None) for kind in PartKind}
    now = {(part.kind.value, part.value) for part in two} | {(kind.value, None) for kind in PartKind}
    for reason in difference(one, two):
        assert (reason.kind, reason.old) in was
        assert (reason.kind, reason.new) in now
        assert reason.old != reason.new
        assert reason.detail


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (source(f"100644 {HASH}"), source(f"100644 {OID}"), "source train.py changed"),
        (None, source(f"100644 {HASH}"), "source train.py is new"),
        (source(f"100644 {HASH}"), None, "source train.py is gone"),
        (Part(PartKind.PARAMETER, "lr", "0.1"), Part(PartKind.PARAMETER, "lr", "0.2"), "parameter lr: 0.1 → 0.2"),
        (None, Part(PartKind.PARAMETER, "lr", "0.1"), "parameter lr is new: 0.1"),
        (Part(PartKind.INPUT, "raw", f"100644 {OID}"), Part(PartKind.INPUT, "raw", f"100644 {OTHER}"), "input raw changed"),
        (Part(PartKind.INPUT, "raw", f"100644 {OID}"), Part(PartKind.INPUT, "raw", "absent"), "input raw changed"),
        (None, Part(PartKind.PATH, "a.bin", f"100755 {OID}"), "file a.bin is new"),
        (source(f"100644 {HASH}"), source(f"100755 {HASH}"), "source train.py changed its mode: 100644 → 100755"),
        (source(f"100644 {HASH}"), source(f"100755 {OID}"), "source train.py changed"),
        (source(HASH), source(f"100755 {HASH}"), "source train.py changed"),
        (source("0.1"), source(HASH), "source train.py changed"),
        (Part(PartKind.ALGORITHM, "", "1/py3.11"), Part(PartKind.ALGORITHM, "", "2/py3.11"),
         "the step key algorithm: 1/py3.11 → 2/py3.11"),
        (Part(PartKind.UPSTREAM, "prep.train", f"sha256:{HASH}"), Part(PartKind.UPSTREAM, "prep.train", f"sha256:{OID}"),
         "upstream output prep.train changed"),
        (None, Part(PartKind.UNCERTAIN, "a.py runs another program", HASH), "a.py runs another program"),
        (Part(PartKind.UNCERTAIN, "a.py runs another program", HASH), None, "no longer: a.py runs another program"),
        (Part(PartKind.UNCERTAIN, "a.py runs another program", HASH),
         Part(PartKind.UNCERTAIN, "a.py runs another program", OID),
         "a.py runs another program; something it may load changed"),
    ],
)  # fmt: skip
def test_the_sentence_of_a_difference(old: Part | None, new: Part | None, sentence: str) -> None:
    (reason,) = difference([old] if old else [], [new] if new else [])
    assert reason.detail == sentence


def test_differences_come_in_a_stable_order_and_leave_out_what_is_equal() -> None:
    old = [source("1", "b.py"), source("1", "a.py"), Part(PartKind.DECLARATION, "run", "x"), source("1", "same.py")]
    new = [source("1", "same.py"), source("2", "a.py"), source("2", "b.py"), Part(PartKind.DECLARATION, "run", "y")]
    assert [(r.kind, r.subject) for r in difference(old, new)] == [
        ("declaration", "run"),
        ("source", "a.py"),
        ("source", "b.py"),
    ]
    assert difference(old, new) == difference(old[::-1], new[::-1])


def test_hostile_subjects_and_values_are_made_safe_to_show() -> None:
    (reason,) = difference([source("1", "a\u202e\x1b[31m\udcff.py")], [source("2\n", "a\u202e\x1b[31m\udcff.py")])
    assert reason.subject == "a\\x202e\\x1b[31m\\xdcff.py"
    assert reason.detail == "source a\\x202e\\x1b[31m\\xdcff.py: 1 → 2\\x0a"
    assert (reason.old, reason.new) == ("1", "2\n"), "the evidence itself is not touched"


def test_a_reason_without_a_difference_has_no_evidence() -> None:
    assert (Reason("first", "train", "new").old, Reason("first", "train", "new").new) == (None, None)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (f"100644 {OID}", OID[:10]),
        (HASH, HASH[:10]),
        ("x" * 39, "x" * 39),
        ("x" * 40, "x" * 10),
        ("two words" * 6, "two words" * 6),
        ("two words" * 7, "two wordst"),
        (f"10064 {OID}", f"10064 {OID}"),
        (f"string {OID}", f"string {OID}"),
        ("0.1", "0.1"),
        (None, "–"),
        ("100644 x", "100644 x"),
        ("a\x1b", "a\\x1b"),
    ],
)
def test_values_are_abbreviated_for_tables(value: str | None, shown: str) -> None:
    assert abbreviated(value) == shown
