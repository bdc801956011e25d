"""Owns what the platform itself does to steps on demand: images that do not build, nodes that never come; refuses to touch
requests, which are the door's."""

from __future__ import annotations

import threading
from typing import Any


class Troubles:
    """What the platform does to the next steps of a name: it fails to build their image, finds no node, or is slow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._troubles: list[dict[str, Any]] = []

    def add(self, trouble: dict[str, Any]) -> None:
        with self._lock:
            self._troubles.append({"times": 1, "seconds": 0, **trouble})

    def clear(self) -> None:
        with self._lock:
            self._troubles.clear()

    def take(self, node: str) -> dict[str, Any] | None:
        with self._lock:
            for one in self._troubles:
                if one["times"] > 0 and one["node"] in (node, "*"):
                    one["times"] -= 1
                    return one
        return None
