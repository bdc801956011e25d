"""Owns the system's time and fresh identifiers; refuses leases, which the database's clock decides."""

from __future__ import annotations

import secrets
import threading
from datetime import UTC, datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class SystemClock:
    """Wall time, and identifiers that sort by it: 48 bits of milliseconds, then 40 random bits, in Crockford's base 32.

    Two identifiers made in one millisecond by one process still sort in order: the random part counts up.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def new_id(self) -> str:
        fresh = int(self.now().timestamp() * 1000) << 40 | secrets.randbits(40)
        with self._lock:
            self._last = max(self._last + 1, fresh)
            value = self._last
        digits = []
        for _ in range(18):
            value, digit = divmod(value, 32)
            digits.append(_ALPHABET[digit])
        return "".join(reversed(digits))
