"""Owns what the web room is given by bootstrap; refuses to make any of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from service.flow.receive import Inbox
from service.flow.schedule import Scheduler
from service.ports.store import Store
from service.ports.webhook import WebhookReader


@dataclass(frozen=True)
class Bounds:
    """What one client, and what all of them together, may take up here. ``0`` of anything per minute: no limit."""

    calls_per_minute: int = 3_000
    bad_signatures_per_minute: int = 60
    connections: int = 500
    receive_seconds: float = 20.0
    streams: int = 64


@dataclass(frozen=True)
class Services:
    """``ready`` maps check name → what is wrong (``""``: fine). ``open_reading``: reads need no token (loopback only).
    ``owner``: the process is this person's own and everything is allowed in their name (``""``: a token decides)."""

    store: Store
    inbox: Inbox
    read_webhook: WebhookReader
    scheduler: Scheduler
    repositories: Collection[str]
    ready: Callable[[], Mapping[str, str]]
    open_reading: bool
    version: str
    owner: str = ""
    bounds: Bounds = Bounds()
