"""Owns what every test may ask for: databases of both kinds, and which points of a series are left to long runs; refuses to skip
silently."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import pytest

from service.adapters.database.unit_of_work import Database
from tests.postgres import Databases, binaries, cluster, private_folder

REQUIRED = set(os.environ.get("REFIT_TEST_REQUIRE", "").split(","))


_LONG_SECONDS = 600.0
LONG = bool(os.environ.get("REFIT_TEST_LONG"))
"""Set it for every point at which something is killed, fifty kills in a storm, a hundred times as many random cases."""


def series(points: Sequence[str], *always: str) -> Sequence[str]:
    """Of a series of points, all in a long run; else those of which each shows what no other one does."""
    assert set(always) <= set(points)
    return points if LONG else always


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Beside others, what may take long begins first, folder by folder: else all wait at the end for one that began last. Each
    worker gets an equal share of the list, in order."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    folders: dict[Path, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if _seconds(item) >= _LONG_SECONDS:
            folders[item.path.parent].append(item)
    shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for folder in sorted(folders.values(), key=lambda folder: -sum(map(_seconds, folder))):
        min(shares, key=lambda share: sum(map(_seconds, share))).extend(folder)
    rest = iter([item for item in items if _seconds(item) < _LONG_SECONDS])
    for number, share in enumerate(shares, 1):
        size = len(items) * number // workers - len(items) * (number - 1) // workers
        share += islice(rest, max(0, size - len(share)))
    items[:] = [*(item for share in shares for item in share), *rest]


def _seconds(item: pytest.Item) -> float:
    """How long a test that says so may take."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker is not None else 0.0


def absent(what: str, how: str) -> None:
    """Skip visibly where a real part is missing; CI requires it and fails."""
    if what in REQUIRED:
        pytest.fail(f"{what} is required here but missing: {how}")
    pytest.skip(f"{what} is missing: {how}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Databases]:
    if binaries() is None:
        absent("postgres", "apt-get install postgresql")
    with private_folder() as folder, cluster(folder) as where:
        yield Databases(where)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'refit.db'}"
    databases: Databases = request.getfixturevalue("postgres")
    return databases.create()


@pytest.fixture
def store(database_url: str) -> Iterator[Database]:
    """A migrated store, once of each kind."""
    made = Database(database_url)
    made.migrate()
    yield made
    made.close()
