"""Owns how often one client may call, and how often it may fail to sign; refuses to remember across processes or restarts.

A valid signature is never limited: GitHub sends everybody's webhooks from the same addresses, so whoever points one of
their own at this service must not be able to shut out those that count. What fails is.
"""

from __future__ import annotations

import ipaddress
import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.types import Scope

from service.web.problems import Problem
from service.web.services import Bounds

_FREE = ("/webhooks/", "/static/", "/healthz")
"""Webhooks have the other limit; a probe that is refused would restart the service."""


class Limiter:
    """Counts by client in this process: several replicas let through several times as much."""

    def __init__(self, bounds: Bounds) -> None:
        self._windows = FixedWindowRateLimiter(MemoryStorage())
        self._calls = bounds.calls_per_minute
        self._signatures = bounds.bad_signatures_per_minute

    def called(self, scope: Scope) -> None:
        """Count a call; raises 429."""
        if not scope["path"].startswith(_FREE):
            self._count("calls", self._calls, scope)

    def failed_to_sign(self, scope: Scope) -> None:
        """Count a webhook whose signature is missing or wrong; raises 429."""
        self._count("webhooks without a valid signature", self._signatures, scope)

    def _count(self, what: str, most: int, scope: Scope) -> None:
        limit, client = RateLimitItemPerMinute(most), client_of(scope)
        if most and not self._windows.hit(limit, what, client):
            reset = self._windows.get_window_stats(limit, what, client).reset_time
            wait = max(1, math.ceil(reset - time.time()))
            detail = f"One client has at most {most} {what} a minute here; try again in {wait} s."
            raise Problem(429, detail, headers={"Retry-After": str(wait)})


def client_of(scope: Scope) -> str:
    """The client's address; of IPv6 the network, since a single client has all of it."""
    host = (scope.get("client") or ("unknown", 0))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)
