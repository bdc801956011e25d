"""Owns a repository that is pushed to, its mirror, and the parsing process of the flow's tests; refuses fakes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from tests.origins import Origin

NAME = "acme/diamonds"


@pytest.fixture(scope="session")
def reader() -> Iterator[IsolatedReader]:
    with IsolatedReader() as made:
        yield made


@pytest.fixture
def pushed(tmp_path: Path) -> Origin:
    """What a user's commits are pushed to."""
    return Origin(tmp_path / "pushed.git")


@pytest.fixture
def hosts(tmp_path: Path, pushed: Origin) -> Iterator[MirrorHost]:
    made = MirrorHost(tmp_path / "mirrors", {NAME: str(pushed.path)}, protocols=("file",))
    yield made
    made.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """A store of one kind, where what is tested does not touch the database."""
    made = Database(f"sqlite:///{tmp_path / 'refit.db'}")
    made.migrate()
    yield made
    made.close()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiles of native definitions are kept from test to test, as from process to process."""
    return tmp_path_factory.mktemp("native")
