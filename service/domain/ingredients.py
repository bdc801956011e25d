"""Owns what one component at one commit is made of: its key parts, as text and as a key; refuses to collect them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from service.domain.names import RepoPath
from service.domain.pipeline import Component
from service.domain.step_key import Part, PartKind, Parts, hash_of, text_of

_FILES = (PartKind.SOURCE, PartKind.PATH)
Flags = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Ingredients:
    """What one component at one commit is made of: every key part but the contents of upstream outputs.

    ``flags`` are the parameter flags that the runner passes; ``notes`` are doubts in words; ``unknowable`` says why no
    earlier result can be trusted whatever the key.
    """

    component: Component
    parts: Parts
    flags: Flags = ()
    notes: tuple[str, ...] = ()
    unknowable: tuple[str, ...] = ()

    @cached_property
    def text(self) -> str:
        """The parts as canonical JSON, which is hashed and stored; made once, as later commits share it."""
        return text_of(self.parts)

    @cached_property
    def static_key(self) -> str:
        """The key of everything that is known before any upstream step has run."""
        return hash_of(self.text)

    def with_files(self, values: Mapping[RepoPath, str]) -> Ingredients:
        """The same, where these files count as something else: the order of the parts stays, and so does the rest of the text."""
        parts, text = list(self.parts), self.text
        for at, part in enumerate(self.parts):
            if part.subject in values and part.kind in _FILES:
                parts[at] = Part(part.kind, part.subject, values[part.subject])
                text = text.replace(text_of([part])[1:-1], text_of([parts[at]])[1:-1])
        found = replace(self, parts=tuple(parts))
        found.__dict__["text"] = text
        return found
