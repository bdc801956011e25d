"""Owns the port to what acts were answered under an Idempotency-Key; refuses to know what an act is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call was answered. ``request`` is a digest of all that it said; ``status`` is ``None`` while it is in work,
    and for good if its process died in it."""

    request: str
    begun_at: datetime
    status: int | None
    headers: Mapping[str, str]
    body: str


class Answers(Protocol):
    def claim(self, key: str, request: str, seconds: float) -> Answer | None:
        """``None``: the call is to be carried out, and no other with this key for so many seconds. Else what is known of
        the one that came first."""
        ...

    def keep(self, key: str, status: int, headers: Mapping[str, str], body: str) -> None:
        """The answer of a claimed call, for whoever asks again."""
        ...

    def free(self, key: str) -> None:
        """The call did nothing: it may be made again."""
        ...
