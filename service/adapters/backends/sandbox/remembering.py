"""Owns which compiles are known already, in memory and on disk, by what each of them saw; refuses to compile."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from service.adapters.backends.sandbox.footprint import Footprint, Seen, agrees, footprint
from service.domain.tree import Tree

_KEPT = 16
"""Compiles remembered for each use: branches that differ in what a compile sees."""


class Compile(Protocol):
    """One compile: what it saw, and the text that it can be made from again."""

    @property
    def seen(self) -> Seen: ...

    @property
    def text(self) -> str: ...


C = TypeVar("C", bound=Compile)


@dataclass(frozen=True)
class _Known(Generic[C]):
    """One compile, and what it saw."""

    seen: Footprint
    compiled: C


class Remembered(Generic[C]):
    """Compiles of many uses, kept below ``folder``. ``parse`` makes one from its text (``ValueError``, ``KeyError``,
    ``TypeError``: it is none); ``is_whole`` says whether all that it needs is still there. Not thread-safe."""

    def __init__(self, folder: Path, parse: Callable[[str], C], is_whole: Callable[[C], bool] = lambda _: True) -> None:
        self._folder = folder
        self._parse = parse
        self._is_whole = is_whole
        self._known: dict[str, list[_Known[C]]] = defaultdict(list)
        self.compiles = 0

    def compiled(self, use: str, tree: Tree, compile: Callable[[], C]) -> C:
        """What ``compile`` gives for this use of ``tree``, unless it is known. Equal uses of trees that look alike to a compile
        give equal results."""
        known = self._known[use]
        for _ in range(2):
            for one in known:
                if agrees(one.seen, tree) and self._is_whole(one.compiled):
                    return one.compiled
            known = self._loaded(use)  # by another process, or by who plans in this one
        self.compiles += 1
        compiled = compile()
        fresh = _Known(footprint(compiled.seen, tree), compiled)
        self._known[use] = [fresh, *known][:_KEPT]
        self._keep(use, fresh)
        return compiled

    def _shelf(self, use: str) -> Path:
        return self._folder / hashlib.sha256(use.encode()).hexdigest()[:32]

    def _keep(self, use: str, one: _Known[C]) -> None:
        """For the process after this one; what cannot be kept is compiled again."""
        shelf = self._shelf(use)
        text = json.dumps({"seen": dict(one.seen), "answer": one.compiled.text})
        to = shelf / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
        shelf.mkdir(parents=True, exist_ok=True)
        unfinished = to.with_suffix(f".{os.getpid()}")
        unfinished.write_text(text, encoding="ascii")
        os.replace(unfinished, to)
        for old in sorted(shelf.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT:]:
            old.unlink(missing_ok=True)

    def _loaded(self, use: str) -> list[_Known[C]]:
        found = []
        for path in sorted(self._shelf(use).glob("*.json")):
            try:
                value = json.loads(path.read_bytes())
                found.append(_Known(dict(value["seen"]), self._parse(value["answer"])))
            except (OSError, ValueError, KeyError, TypeError):
                path.unlink(missing_ok=True)  # written by another version, or not to its end
        self._known[use] = found
        return found
