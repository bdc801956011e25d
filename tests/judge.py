"""Owns the question whether a step that ran on one tree runs again on the next, from nothing and from the neighbour, which
must agree; refuses git and a store."""

from __future__ import annotations

from collections.abc import Mapping

from service.domain.pipeline import Manifest
from service.ports.reader import Reader
from tests.builders import Content
from tests.planning import assessed, reassessed, single

SCRIPT = "src/train.py"
Files = Mapping[str, Content]


class Judge:
    """Whether a step that had run on one tree runs again on the next."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def runs(self, before: Files, after: Files, declared: Manifest | None = None, then: Manifest | None = None) -> bool:
        """``after`` holds what differs from ``before``."""
        old = declared or single(SCRIPT)
        new, head = then or old, {**before, **after}
        was, now = assessed(old, before, self._reader), assessed(new, head, self._reader)
        assert reassessed(was, before, new, head, self._reader).components == now.components
        assert reassessed(now, head, old, before, self._reader).components == was.components
        return (
            was.components["p", "train"].ingredients.static_key != now.components["p", "train"].ingredients.static_key
        )

    def notes(self, files: Files, declared: Manifest | None = None) -> tuple[str, ...]:
        return assessed(declared or single(SCRIPT), files, self._reader).components["p", "train"].ingredients.notes
