"""Owns the port to whatever parses a repository's untrusted content; refuses to say how it is kept harmless."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from service.domain.facts import Fact, Request
from service.domain.pipeline import Manifest


class Reader(Protocol):
    """Turns untrusted bytes into facts under resource limits. Never raises on content: what cannot be read becomes a
    fact with a doubt."""

    def facts(self, blobs: Sequence[tuple[Request, bytes | None]]) -> list[tuple[Request, Fact]]:
        """One fact for each blob, in order; ``None`` stands for an object that could not be read."""
        ...

    def manifest(self, content: bytes, backends: Collection[str]) -> Manifest:
        """A valid manifest; raises ``InvalidManifest`` with every mistake at once. ``backends`` are the known names."""
        ...

    def globs(self, patterns: Sequence[str]) -> Callable[[str], bool]:
        """A predicate on repository paths for gitignore-style patterns, compiled once."""
        ...
