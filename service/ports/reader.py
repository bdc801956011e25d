"""Owns the port to whatever parses a repository's untrusted content; refuses to say how it is kept harmless."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from service.domain.facts import Fact, Request
from service.domain.pipeline import Manifest


@dataclass
class Budget:
    """What reading one commit may cost, spent by the reader: what it no longer covers is not read. Every blob adds
    ``EACH_SECONDS``, so that a large commit is read as well as a small one, and a hostile one ends. Several threads may spend
    it: an update that is lost errs by one blob."""

    seconds: float = 120.0
    characters: int = 256 * 1024 * 1024
    EACH_SECONDS: ClassVar[float] = 0.05

    @property
    def is_spent(self) -> bool:
        return self.seconds <= 0.0 or self.characters <= 0


class Unreadable(Exception):
    """Content that is no document; the text says why, as the end of a sentence."""


class Reader(Protocol):
    """Turns untrusted bytes into facts under resource limits. Never raises on content: what cannot be read becomes a
    fact with a doubt."""

    def facts(
        self, blobs: Sequence[tuple[Request, bytes | None]], budget: Budget | None = None
    ) -> list[tuple[Request, Fact]]:
        """One fact for each blob, in order; ``None`` stands for an object that could not be read. Without a budget only
        each blob alone is limited."""
        ...

    def manifest(self, content: bytes, backends: Collection[str]) -> Manifest:
        """A valid manifest; raises ``InvalidManifest`` with every mistake at once. ``backends`` are the known names."""
        ...

    def document(self, content: bytes) -> object:
        """A YAML document as plain values, its keys as they are written, scalars as PyYAML reads them; raises ``Unreadable``,
        which says why it is none."""
        ...

    def globs(self, patterns: Sequence[str]) -> Callable[[str], bool]:
        """A predicate on repository paths for gitignore-style patterns, compiled once."""
        ...
