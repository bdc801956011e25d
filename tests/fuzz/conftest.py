"""Owns how many cases are tried, and real texts to start from; refuses to call anything that is not named a failure."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, settings

from tests.conftest import LONG

ROOT = Path(__file__).resolve().parents[2]
TIMES = 100 if LONG else 1


def cases(count: int) -> settings:
    return settings(max_examples=count * TIMES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
