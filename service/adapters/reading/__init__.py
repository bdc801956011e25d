"""Reads a repository's untrusted content in processes of their own; refuses to run any of it.

What reads comes on first use: the process that parses is part of this package too, and must not wait for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.adapters.reading.isolation import IsolatedReader
    from service.adapters.reading.pool import ReaderPool

__all__ = ["IsolatedReader", "ReaderPool"]
_HOMES = {"IsolatedReader": "isolation", "ReaderPool": "pool"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"{__name__} has no {name}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
