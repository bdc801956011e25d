"""Owns what any definition's plain values say: their strings, their text for a key, which of them say nothing of the commit;
refuses to know a vendor's keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from service.domain.names import shown


def canonical(value: Any) -> str:
    """Text for a key: a string as it is, everything else as JSON with its keys in order."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))


def strings(value: Any) -> Iterator[str]:
    """Every string in a value."""
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(one)


def differing(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Names of settings that two compiles of the same commit give differently."""
    return sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))


def told(name: str) -> str:
    """Why a step with such a setting always runs."""
    return f"{shown(name)} is different at every compile (a time or a random value?); a constant or a pipeline parameter mends it"
