"""Owns the system's time and fresh identifiers; refuses leases, which the database's clock decides."""

from __future__ import annotations

import secrets
import threading
from datetime import UTC, datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class SystemClock:
    """Wall time, and identifiers that sort by it: 48 bits of milliseconds, then 40 random bits, in Crockford's base 32.

    Two identifiers made in one millisecond by one process still sort in order: the random part counts up. So do those
    made after the clock was set back, in this process, or in a later one that says what is there already.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def new_id(self, after: str = "") -> str:
        fresh = int(self.now().timestamp() * 1000) << 40 | secrets.randbits(40)
        known = _value(after)
        with self._lock:
            self._last = max(self._last + 1, known + 1, fresh)
            value = self._last
        digits = []
        for _ in range(18):
            value, digit = divmod(value, 32)
            digits.append(_ALPHABET[digit])
        return "".join(reversed(digits))


def _value(id: str) -> int:
    """The number behind an identifier; 0 for what is none of ours."""
    value = 0
    for digit in id if len(id) == 18 else "":
        at = _ALPHABET.find(digit)
        if at < 0:
            return 0
        value = value * 32 + at
    return value
