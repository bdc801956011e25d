"""Owns the sites of the web tests; refuses to share one that a test changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.site import Site, opened


@pytest.fixture(scope="session")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A seeded site that tests only read."""
    with opened(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(scope="session")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The same, where reading needs a token; only read too."""
    with opened(tmp_path_factory.mktemp("closed"), open_reading=False) as made:
        yield made


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A seeded site of the test's own."""
    with opened(tmp_path) as made:
        yield made
