"""`refit token` as an operator calls it: made, listed, dated, revoked; the secret is on stdout alone, and only once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ROOT


class Operator:
    """Somebody with a shell on the server."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def token(self, *words: str) -> subprocess.CompletedProcess[str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("REFIT_")}
        variables = {**ours, "REFIT_HOME": str(self._home), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "service", "token", *words]
        return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)

    def listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.token("list", "--json").stdout)
        return found


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


def test_made_listed_and_revoked(operator: Operator) -> None:
    made = operator.token("create", "ci", "--scope", "run")
    secret = made.stdout.strip()
    assert secret.startswith("rft_")
    assert secret not in made.stderr
    (one,) = operator.listed()
    assert (one["name"], one["scopes"], one["expires_at"], one["last_used_at"]) == ("ci", ["run"], None, None)
    text = operator.token("list").stdout
    assert "expires never, never used" in text
    assert secret not in text
    assert operator.token("revoke", one["id"]).returncode == 0
    assert operator.listed()[0]["revoked_at"] is not None
    again = operator.token("revoke", one["id"])
    assert (again.returncode, "no such token" in again.stderr) == (1, True)


def test_it_ends_on_a_day(operator: Operator) -> None:
    assert operator.token("create", "dated", "--until", "2199-12-31").returncode == 0
    assert operator.token("create", "counted", "--days", "3").returncode == 0
    ends = {one["name"]: datetime.fromisoformat(one["expires_at"]) for one in operator.listed()}
    assert ends["dated"] == datetime(2199, 12, 31, tzinfo=UTC)
    assert timedelta(days=2, hours=23) < ends["counted"] - datetime.now(UTC) <= timedelta(days=3)


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--until", "2020-01-01"), "passed already"), (("--until", "2199-01-01", "--days", "3"), "not both"),
     (("--scope", "root"), "no scope 'root'")],
)  # fmt: skip
def test_what_makes_no_sense_makes_no_token(operator: Operator, words: tuple[str, ...], said: str) -> None:
    refused = operator.token("create", "odd", *words)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert said in refused.stderr.replace("\n", " ")
    assert operator.listed() == []
