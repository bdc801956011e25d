"""Owns what Refit remembers of a blob instead of its text, and how the pure core asks for it; refuses to read blobs.

A fact depends on the blob's bytes, its kind and ``VERSION`` alone, so it is computed once in the life of a blob.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

ALGORITHM = "2"
VERSION = f"{ALGORITHM}/py{sys.version_info.major}.{sys.version_info.minor}"
"""Part of every step key and of every stored fact: ``ast`` differs between Python versions, our rules between ours."""


FROM_FILE = "__file__/"
"""Starts a path in code that leads on from the file itself: ``__file__/../a.txt`` lies beside it."""


INSTANTIATES = "instantiates what a configuration names"
"""The doubt that declared parameters with a ``_target_`` answer."""


class Kind(StrEnum):
    """How a blob is to be read."""

    PYTHON = "python"
    NOTEBOOK = "notebook"
    YAML = "yaml"
    JSON = "json"
    TOML = "toml"
    REQUIREMENTS = "requirements"
    LINK = "link"
    DVC = "dvc"

    __hash__ = str.__hash__  # an enumeration's own is written in Python


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a static reading may be incomplete. ``widen`` says what must count instead: ``""`` nothing more,
    ``python`` every Python file of the repository, ``all`` every file that is not ignored."""

    what: str
    line: int = 0
    widen: str = ""


@dataclass(frozen=True, slots=True)
class Import:
    """One import as written: ``from module import names`` with its dots (``level``); ``names`` empty for a plain import."""

    module: str
    names: tuple[str, ...] = ()
    level: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """A file that code opens by a literal path, as ``scripts`` write it; with ``folder`` all files below a folder, or those
    that a glob matches. ``package``: the path starts there. ``flag``: only if this option of its command line is not given.
    """

    path: str
    package: str = ""
    flag: str = ""
    folder: bool = False


@dataclass(frozen=True, slots=True)
class PythonFacts:
    """A Python file or notebook: two semantic hashes (docstrings kept, docstrings blanked) and what it may import.

    ``reads_docstrings``: something in it can observe a docstring; ``reads_source``: source text. ``exports``: ``__all__`` as
    far as it is literal, with ``*`` if it is computed. ``scripts``: literal paths of Python files that it runs or executes;
    one that starts with ``__file__`` leads on from the file itself. ``reads``: see :class:`Read`. ``doubts``: see
    :class:`Doubt`.
    """

    kept: str
    blanked: str
    imports: tuple[Import, ...] = ()
    exports: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    reads_docstrings: bool = False
    doubts: tuple[Doubt, ...] = ()
    reads_source: bool = False
    reads: tuple[Read, ...] = ()


@dataclass(frozen=True, slots=True)
class Leaf:
    """One scalar (or empty container) of a parameter file: key path, text as written, canonical reading.

    ``reading`` differs whenever YAML 1.1 or YAML 1.2 would read the value differently, and never otherwise.
    """

    path: tuple[str, ...]
    text: str
    reading: str


@dataclass(frozen=True, slots=True)
class ValuesFacts:
    """A YAML, JSON or TOML parameter file, flattened; ``doubts`` is non-empty when only its bytes can be trusted.

    ``targets`` are the dotted names under ``_target_``, ``defaults`` Hydra's list of files relative to this one.
    """

    leaves: tuple[Leaf, ...] = ()
    targets: tuple[tuple[tuple[str, ...], str], ...] = ()
    defaults: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True, slots=True)
class TextFacts:
    """A requirements file (``value``: hash without comments; ``includes``: ``-r``/``-c``/``-e`` paths), a symbolic link
    (``value``: its target), or a DVC pointer (``value``: its digest)."""

    value: str
    includes: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()


Fact = PythonFacts | ValuesFacts | TextFacts
Request = tuple[Kind, str]
"""A kind and a blob OID."""


class Evidence(Protocol):
    """What the pure core may ask while it assesses a tree."""

    misses: int
    """How often a fact was asked for that is not on hand: an answer during which it grew is provisional."""

    def fact(self, kind: Kind, oid: str) -> Fact | None:
        """The fact, or ``None`` if it is not on hand yet: then the answer so far is provisional."""

    def matcher(self, patterns: tuple[str, ...]) -> Callable[[str], bool]:
        """A predicate on paths for gitignore-style ``patterns``."""


class Shelf:
    """The facts on hand, and the requests met in vain: load ``wanted``, ``put`` them, and ask the same question again."""

    def __init__(
        self, known: Mapping[Request, Fact], compile_globs: Callable[[Sequence[str]], Callable[[str], bool]]
    ) -> None:
        self._known = known
        self._fresh: dict[Request, Fact] = {}
        self._compile = compile_globs
        self._matchers: dict[tuple[str, ...], Callable[[str], bool]] = {}
        self.wanted: set[Request] = set()
        self.misses = 0

    def fact(self, kind: Kind, oid: str) -> Fact | None:
        found = self._fresh.get((kind, oid)) or self._known.get((kind, oid))
        if found is None:
            self.wanted.add((kind, oid))
            self.misses += 1
        return found

    def put(self, facts: Iterable[tuple[Request, Fact]]) -> None:
        for request, fact in facts:
            self._fresh[request] = fact
            self.wanted.discard(request)

    def matcher(self, patterns: tuple[str, ...]) -> Callable[[str], bool]:
        if patterns not in self._matchers:
            self._matchers[patterns] = self._compile(patterns)
        return self._matchers[patterns]
