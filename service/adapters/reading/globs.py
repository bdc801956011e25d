"""Owns gitignore-style patterns → a predicate on repository paths; refuses the file system."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pathspec import GitIgnoreSpec


def compile_globs(patterns: Sequence[str]) -> Callable[[str], bool]:
    """As ``git check-ignore`` reads them, negation included."""
    spec = GitIgnoreSpec.from_lines(patterns)
    return lambda path: bool(spec.match_file(path))
