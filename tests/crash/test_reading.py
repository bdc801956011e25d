"""What no commit can do to the reader: keep others waiting, outlast its budget, answer without end, blame a blob for a kill."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from service.adapters.reading import IsolatedReader, ReaderPool
from service.adapters.reading.globs import compile_globs
from service.adapters.reading.linear import linear
from service.domain.facts import Import, Kind, PythonFacts, ValuesFacts
from service.ports.reader import Budget

SLOW = b"x = [" + b"{0: 1}, " * 8_000 + b"]\nimport slow\n"
"""A module that takes a while to parse, within every limit."""


def python(oid: int, content: bytes) -> tuple[tuple[Kind, str], bytes]:
    return (Kind.PYTHON, f"{oid:040x}"), content


def test_a_small_commit_is_read_in_between_a_large_one() -> None:
    with ReaderPool(processes=1) as pool:
        pool.facts([python(0, b"")])
        read: list[int] = []

        def many() -> None:
            for number in range(1, 9):
                pool.facts([python(number, SLOW)])
                read.append(number)

        large = threading.Thread(target=many)
        large.start()
        while not read:
            time.sleep(0.01)
        seen_before = len(read)
        for number in range(100, 103):
            pool.facts([python(number, b"import small")])
        seen_after = len(read)
        large.join()
    assert seen_after - seen_before <= 4, "each small blob waits for one large blob at most"


def test_what_the_budget_no_longer_covers_is_not_read_and_says_so() -> None:
    with ReaderPool() as pool:
        budget = Budget(seconds=0.0)
        budget.seconds = -1.0
        [(_, fact)] = pool.facts([python(1, b"import a")], budget)
        assert isinstance(fact, PythonFacts)
        assert (fact.imports, fact.doubts[0].widen) == ((), "python")
        assert "too much that is slow to read" in fact.doubts[0].what
        budget = Budget(characters=10)
        facts = [fact for _, fact in pool.facts([python(1, b"import a"), python(2, b"import b")], budget)]
        assert [fact.imports for fact in facts if isinstance(fact, PythonFacts)] == [(Import("a"),), ()]


def test_reading_spends_the_budget_by_what_it_takes() -> None:
    with IsolatedReader() as reader:
        reader.facts([python(0, b"")])
        budget = Budget(seconds=50.0)
        reader.facts([python(1, SLOW)], budget)
        slow = 50.0 + Budget.EACH_SECONDS - budget.seconds
        assert slow > 0.0
        before = budget.characters
        reader.facts([python(2, b"import a")], budget)
        assert 0 < before - budget.characters < 1_000


def test_an_answer_without_end_is_not_waited_for() -> None:
    key = b"k" * 5_000
    nested = b"{" + key + b": " + b"".join(b"{" + key + b": " for _ in range(80))
    leaves = b", ".join(b"a%d: 1" % n for n in range(40_000))
    content = nested + b"{" + leaves + b"}" + b"}" * 81
    with IsolatedReader() as reader:
        [(_, fact)] = reader.facts([((Kind.YAML, "1" * 40), content)])
    assert isinstance(fact, ValuesFacts)
    assert (fact.leaves, len(fact.doubts)) == ((), 1)


def test_a_blob_is_not_blamed_for_a_kill_from_outside() -> None:
    with IsolatedReader() as reader:
        done = threading.Event()

        def strike() -> None:
            for _ in range(2):  # the process of the first and of the second try
                pid = reader._process.pid if reader._process else 0
                while not pid or pid in struck:
                    time.sleep(0.005)
                    pid = reader._process.pid if reader._process else 0
                struck.append(pid)
                os.kill(pid, signal.SIGKILL)
            done.set()

        struck: list[int] = []
        thread = threading.Thread(target=strike)
        thread.start()
        [(_, fact)] = reader.facts([python(1, SLOW)])
        thread.join()
    assert done.is_set()
    assert isinstance(fact, PythonFacts)
    assert (fact.imports, fact.doubts) == ((Import("slow"),), ())


# patterns -------------------------------------------------------------------------------------------------------------

HOSTILE = [
    ("*a" * 14 + "b", "a" * 4_000),
    ("[ab]*" * 20 + "c", "ab" * 2_000),
    ("x/**/a/**/a/**/a/**/a/**/b", "x/" + "/".join("a" * 199)),
    ("**/a*b/**/a*b/**/a*b/**/c", "/".join(["ab"] * 199)),
    ("?" * 100 + "*?" * 30 + "z", "y" * 4_000),
]


@pytest.mark.parametrize(("pattern", "path"), HOSTILE)
@pytest.mark.timeout(30)
def test_no_pattern_keeps_the_service_busy(pattern: str, path: str) -> None:
    assert not compile_globs([pattern])(path)


PIECES = st.sampled_from(["a", "b", "*", "*", "**", "/", "?", "[ab]", "[!a]", "**/", "/**/", "\\*"])
PATHS = st.lists(st.text("ab*", min_size=1, max_size=4), min_size=1, max_size=6).map("/".join)


@given(st.lists(PIECES, min_size=1, max_size=9).map("".join), PATHS)
@settings(max_examples=1_500, deadline=None)
def test_a_tamed_pattern_matches_what_it_matched(pattern: str, path: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            (one,) = GitIgnoreSpec.from_lines([pattern]).patterns
        except ValueError:
            return
        if one.regex is None:
            return
        tamed = linear(one.regex.pattern)
        if tamed is None:
            assert one.regex.pattern in (".", "/", "(?P<ps_d>/)"), "nothing else has a form that is not known"
            return
        # The one intended difference: a class never is a slash.
        plain = re.compile(re.sub(r"\[(?!\^/\])(\^?\]?(?:\\.|[^\]\\])*)\]", r"(?!/)[\1]", one.regex.pattern))
        before, after = plain.match(path), re.match(tamed, path)
    assert (before and before.groupdict()) == (after and after.groupdict())
