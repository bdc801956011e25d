"""Owns a repository that is pushed to, its mirror, and the parsing process of the flow's tests; refuses fakes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
