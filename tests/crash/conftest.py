"""Owns the stand that crash tests hurt, on each kind of database; refuses to share it between tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.stand import NAME, Clone, Stand
from tests.crash.sums import FILES


@pytest.fixture
def stand(database_url: str, tmp_path: Path) -> Iterator[Stand]:
    with Stand(tmp_path / "stand", database_url) as made:
        yield made


@pytest.fixture
def clone(stand: Stand) -> Clone:
    """The repository ``acme/sums`` with nothing committed yet."""
    return Clone(stand.folder / "clone", stand.git_server.url(NAME), FILES)
