"""Log lines of a process whose stderr is replaced and closed again while it runs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stderr

import pytest
import structlog

from service.cli.logs import log_to_stderr


@pytest.fixture(autouse=True)
def _configuration() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_a_line_goes_to_the_stderr_of_the_moment() -> None:
    first, second = io.StringIO(), io.StringIO()
    with redirect_stderr(first):
        log_to_stderr(quiet=False)
        log = structlog.get_logger("refit.test")
        log.info("one")
    first.close()
    with redirect_stderr(second):
        log.info("two")
    assert '"event": "two"' in second.getvalue()
