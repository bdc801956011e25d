"""A git that stays answers for small objects, notices what comes and goes, and is never the last word."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.adapters.git.catalogue import Catalogue
from service.adapters.git.command import Git
from tests.origins import Origin


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "own.git")


@pytest.fixture
def catalogue(origin: Origin) -> Iterator[Catalogue]:
    made = Catalogue(Git(origin.path))
    yield made
    made.close()


@pytest.mark.parametrize("content", [b"", b"\n", b"a", b"\0\n\xff", b"line\n" * 100_000], ids=len)
def test_content_arrives_byte_for_byte(origin: Origin, catalogue: Catalogue, content: bytes) -> None:
    oid, other = origin.blob(content), origin.blob(b"other")
    assert catalogue.read(oid, "blob", len(content)) == content
    assert catalogue.read(other, "blob", 5) == b"other", "nothing of one answer is left for the next"


def test_no_answer_for_what_is_too_large_of_another_kind_or_missing(origin: Origin, catalogue: Catalogue) -> None:
    oid, head = origin.blob(b"12345"), origin.commit({"a": "1"})
    assert catalogue.read(oid, "blob", 4) is None
    assert catalogue.read(head, "blob", 10_000) is None
    assert catalogue.read("0" * 40, "blob", 10_000) is None
    assert catalogue.read(oid, "blob", 5) == b"12345"
    commit = catalogue.read(head, "commit", 10_000)
    assert commit is not None
    assert commit.startswith(b"tree ")


def test_many_are_read_together(origin: Origin, catalogue: Catalogue) -> None:
    """More than a pipe holds of questions, and of answers."""
    contents = {origin.blob(content): content for content in (b"x" * n for n in range(0, 6_000, 20))}
    wanted = [oid for n, oid in enumerate(contents) for oid in (oid, f"{n:040x}")]
    small = {oid: content for oid, content in contents.items() if len(content) <= 5_000}
    assert catalogue.read_all(wanted, "blob", 5_000) == small
    assert catalogue.lacks(wanted) == [oid for oid in wanted if oid not in contents]


def test_what_arrives_later_is_seen_through_repacking_too(origin: Origin, catalogue: Catalogue) -> None:
    for n in range(4):
        content = f"number {n}".encode()
        assert catalogue.read(Origin(origin.path.with_name("apart.git")).blob(content), "blob", 99) is None
        head = origin.commit({"a": content})
        origin.git("repack", "-a", "-d", "-q")
        oid = origin.git("rev-parse", f"{head}:a").decode()
        assert catalogue.read(oid, "blob", 99) == content


def test_one_that_was_killed_is_started_again(origin: Origin, catalogue: Catalogue) -> None:
    oid = origin.blob(b"still there")
    for asked in (catalogue._looking, catalogue._reading):
        assert catalogue.read(oid, "blob", 99) == b"still there"
        process = asked._process
        assert process is not None
        process.kill()
        process.wait()
        assert catalogue.read(oid, "blob", 99) == b"still there"
    catalogue.close()
    assert catalogue.read(oid, "blob", 99) == b"still there"


def test_one_that_dies_with_half_an_answer_leaves_none(origin: Origin, catalogue: Catalogue) -> None:
    first, second = origin.blob(b"first"), origin.blob(b"second")
    assert catalogue.read(first, "blob", 99) == b"first"
    for left in (b"half a li", f"{second} blob 6\n".encode()):
        catalogue._looking._said += left
        assert catalogue.read(first, "blob", 99) is None, "not an answer to this question"
        assert catalogue.read(second, "blob", 99) == b"second"


def test_threads_get_their_own_answers(origin: Origin, catalogue: Catalogue) -> None:
    oids = [origin.blob(str(n).encode() * 1_000) for n in range(20)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: catalogue.read(oids[n % 20], "blob", 9_999), range(200)))
    assert found == [str(n % 20).encode() * 1_000 for n in range(200)]
