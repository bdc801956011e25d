"""Owns the backends under contract; refuses to say what they must keep."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends import BENCHES, Bench


@pytest.fixture(scope="session", params=sorted(BENCHES))
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with BENCHES[request.param](tmp_path_factory.mktemp(request.param)) as made:
        yield made
