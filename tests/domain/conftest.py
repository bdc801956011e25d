"""Owns the parsing process that tests of the pure core share; refuses to fake it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.adapters.reading import IsolatedReader


@pytest.fixture(scope="session")
def reader() -> Iterator[IsolatedReader]:
    with IsolatedReader() as made:
        yield made
