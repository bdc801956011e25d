"""How facts reach an assessor: asked for at once, read by several processes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader, ReaderPool
from service.domain.facts import Fact, Kind, Request
from service.flow.assess import Assessor
from tests.flow.conftest import NAME
from tests.origins import Origin

MANIFEST = "version: 1\npipelines:\n  p:\n    components:\n      train: {run: train.py}\n"
CHAIN = {
    "refit.yaml": MANIFEST,
    "train.py": "import a\n",
    "a.py": "import b\n",
    "b.py": "import c\n",
    "c.py": "x = 1\n",
}


class Counted:
    """A fact cache in memory; what was asked of it, in turn."""

    def __init__(self) -> None:
        self.facts: dict[Request, Fact] = {}
        self.asked: list[set[Request]] = []

    def get(self, requests: Collection[Request], version: str) -> Mapping[Request, Fact]:
        self.asked.append(set(requests))
        return {one: self.facts[one] for one in requests if one in self.facts}

    def put(self, facts: Iterable[tuple[Request, Fact]], version: str) -> None:
        self.facts.update(facts)


def test_what_another_process_read_is_asked_for_at_once(
    pushed: Origin, hosts: MirrorHost, reader: IsolatedReader
) -> None:
    sha, cache = pushed.commit(CHAIN), Counted()
    repository = hosts.repository(NAME)
    repository.fetch(sha)
    first = Assessor(reader, cache, ("local",)).at(NAME, repository, sha)
    assert len(cache.asked) > 3  # nobody knew what train.py imports, nor what that does
    cache.asked.clear()
    assert Assessor(reader, cache, ("local",)).at(NAME, repository, sha).components == first.components
    assert [len(asked) for asked in cache.asked] == [4]


def test_changed_files_are_read_at_once(pushed: Origin, hosts: MirrorHost, reader: IsolatedReader) -> None:
    base, cache = pushed.commit(CHAIN), Counted()
    repository = hosts.repository(NAME)
    repository.fetch(base)
    assessor = Assessor(reader, cache, ("local",))
    assessor.at(NAME, repository, base)
    cache.asked.clear()
    changed = {path: text if path == "refit.yaml" else f"{text}y = 2\n" for path, text in CHAIN.items()}
    head = pushed.commit(changed, parents=(base,))
    repository.fetch(head)
    incremental = assessor.at(NAME, repository, head)
    assert [len(asked) for asked in cache.asked] == [4]
    assert incremental.components == Assessor(reader, Counted(), ("local",)).at(NAME, repository, head).components


def test_many_blobs_are_read_in_order(reader: IsolatedReader) -> None:
    blobs = [((Kind.PYTHON, f"{number:040}"), f"import m{number}\n".encode()) for number in range(40)]
    with ReaderPool() as pool:
        assert pool.facts(blobs) == reader.facts(blobs)
