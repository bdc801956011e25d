"""Owns what every test may ask for: databases of both kinds, and which points of a series are left to long runs; refuses to skip
silently."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from service.adapters.database.unit_of_work import Database
from tests.postgres import Databases, binaries, cluster, private_folder

REQUIRED = set(os.environ.get("REFIT_TEST_REQUIRE", "").split(","))


LONG = bool(os.environ.get("REFIT_TEST_LONG"))
"""Set it for every point at which something is killed, fifty kills in a storm, a hundred times as many random cases."""


def series(points: Sequence[str], *always: str) -> Sequence[str]:
    """Of a series of points, all in a long run; else those of which each shows what no other one does."""
    assert set(always) <= set(points)
    return points if LONG else always


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
