"""Owns the failures that are not bugs, named by what happens next; anything else raised is a bug and surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class Retry(Exception):
    """The act may succeed later: try again after ``after`` seconds (``None``: the queue's own backoff)."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after


class Refused(Exception):
    """The act will not be done; ``reason`` is a sentence for the user that names the act and the next step."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a manifest: where (``pipelines.diamonds.components.train.run``) and what, with the nearest valid name."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class InvalidManifest(Refused):
    """``refit.yaml`` cannot be used; ``mistakes`` holds every mistake at once."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("refit.yaml: " + "; ".join(str(mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)
