"""Owns gitignore-style patterns → a predicate on repository paths; refuses the file system."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from pathspec import GitIgnoreSpec

from service.adapters.reading.linear import linear

_SPECIAL = "*?[\\"


def compile_globs(patterns: Sequence[str]) -> Callable[[str], bool]:
    """As ``git check-ignore`` reads them, negation included. Raises ``ValueError`` on a pattern that git would refuse."""
    return _compiled(tuple(patterns))


@lru_cache(maxsize=4096)
def _compiled(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    spec = GitIgnoreSpec.from_lines(patterns)
    for pattern in spec.patterns:
        pattern.regex = _tamed(pattern.regex)
    prefixes = _prefixes(patterns)
    if "" in prefixes:
        return lambda path: bool(spec.match_file(path))
    return lambda path: path.startswith(prefixes) and bool(spec.match_file(path))  # the prefix decides nearly always


def _tamed(regex: re.Pattern[str] | None) -> re.Pattern[str] | None:
    """Thirteen ``*`` in one segment would keep the whole service busy with one long file name."""
    if regex is None:
        return None
    safe = linear(regex.pattern)
    return regex if safe is None or safe == regex.pattern else re.compile(safe)


def _prefixes(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """What a path must start with to match any pattern; ``""`` if one of them matches at every depth."""
    found = set()
    for pattern in patterns:
        bare = pattern.rstrip()
        if not bare or bare.startswith(("#", "!")):
            continue
        literal = bare.lstrip("/")
        for special in _SPECIAL:
            literal = literal.partition(special)[0]
        anchored = "/" in bare.rstrip("/")
        found.add(literal.rstrip("/") if anchored else "")
    return tuple(found)
