"""`refit serve`, asked to end: it puts the work away first, and says with its exit code that all is well."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.web.served import served


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_server_that_is_asked_to_end_ends_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    # A run of the tests put into the background by a shell has SIGINT ignored, and what it starts would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with served(tmp_path / "home") as made:
        assert made.get("/healthz").status == 200
        code = made.end(number)
        assert code == (0 if number is signal.SIGTERM else 130), made.log()
        assert not (made.home / "serve.json").exists()
        assert "Traceback" not in made.log()
