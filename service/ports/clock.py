"""Owns the port to time and identity; refuses ambient ``now()`` in rules."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time that rules may ask for. Leases do not use it: the database's clock decides those."""

    def now(self) -> datetime:
        """The time, aware, UTC."""
        ...

    def new_id(self, after: str = "") -> str:
        """A fresh identifier that sorts by time of creation, and behind ``after`` whatever the clock says."""
        ...
