"""Owns path → components, inverted from what each assessment looked up, misses included; refuses to assess.

The index of a commit is its neighbour's with a thin layer on top for the components that were computed anew: a push
costs what it touches, and layers are merged as they grow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

from service.domain.change import Change, FileChange
from service.domain.facts import Evidence, Kind
from service.domain.modules import also_known_as
from service.domain.names import RepoPath
from service.domain.tree import parents

Where = tuple[str, str]
"""Pipeline name and component name."""

_Owners = Mapping[str, frozenset[Where]]
_Subject = TypeVar("_Subject", bound=Hashable)
_NONE: frozenset[Where] = frozenset()
IMPORTABLE = (".py", ".ipynb", ".so", ".pyc", ".pyx", ".zip", ".egg", ".whl")
"""What an import that cannot be followed may load."""
_MERGE_AT = 4
"""A layer that is a quarter of the one below it is merged into it."""


class Looked(Protocol):
    """What one component's assessment depended on; see :class:`service.domain.assessment.Assessed`."""

    @property
    def semantic(self) -> frozenset[RepoPath]: ...
    @property
    def raw(self) -> frozenset[RepoPath]: ...
    @property
    def folders(self) -> frozenset[RepoPath]: ...
    @property
    def prefixes(self) -> tuple[str, ...]: ...
    @property
    def widened(self) -> str: ...
    @property
    def globs(self) -> tuple[str, ...]: ...


_looked = attrgetter("semantic", "raw", "folders", "prefixes", "widened", "globs")


def looks_alike(one: Looked, other: Looked | None) -> bool:
    """Whether both depended on the same places: whatever files mean there, the same changes touch both."""
    return other is not None and bool(_looked(one) == _looked(other))


@dataclass(frozen=True)
class Index:
    """What to ask when files change. Layers go from the oldest to the newest; a component counts in its newest."""

    layers: tuple[_Layer, ...]

    @classmethod
    def of(cls, components: Mapping[Where, Looked]) -> Index:
        return cls((_Layer(components),))

    def inverted(self) -> None:
        """Do now what the first question would wait for."""
        for layer in self.layers:
            _ = layer.rows

    def replaced(self, components: Mapping[Where, Looked | None]) -> Index:
        """The index after these components came to depend on other places (``None``: they are gone)."""
        if not components:
            return self
        *below, top = (*self.layers, _Layer(components))
        while below and len(top.components) * _MERGE_AT > len(below[-1].components):
            under = below.pop()
            merged = {**under.components, **top.components}
            top = _Layer(merged if below else {where: one for where, one in merged.items() if one is not None})
        return Index((*below, top))

    def candidates(self, change: Change, evidence: Evidence) -> frozenset[Where]:
        """Every component whose parts the change may alter: a superset, never missing one."""
        if not change.files:
            return _NONE
        if any(_is_link(file) for file in change.files):  # lookups through a link are not recorded path by path
            return self._visible(_Layer.all)
        same: dict[RepoPath, bool] = {}

        def means_the_same(file: FileChange) -> bool:
            if file.path not in same:
                same[file.path] = _means_the_same(file, evidence)
            return same[file.path]

        return self._visible(lambda layer: layer.touched(change.files, means_the_same, evidence))

    def _visible(self, ask: Callable[[_Layer], set[Where]]) -> frozenset[Where]:
        """What the layers answer, each but of the components that a newer one speaks for."""
        found: set[Where] = set()
        for at, layer in enumerate(self.layers):
            answer = ask(layer)
            for newer in self.layers[at + 1 :]:
                answer.difference_update(newer.components.keys() & answer)
            found |= answer
        return frozenset(found)


@dataclass(frozen=True)
class _Layer:
    """Some components, inverted when first asked."""

    components: Mapping[Where, Looked | None]

    def all(self) -> set[Where]:
        return {where for where, one in self.components.items() if one is not None}

    def touched(
        self, files: Iterable[FileChange], means_the_same: Callable[[FileChange], bool], evidence: Evidence
    ) -> set[Where]:
        rows = self.rows
        found: set[Where] = {*rows.everything, *rows.prefixes.get("", _NONE)}
        for file in files:
            path = file.path
            found |= rows.raw.get(path, _NONE)
            if path.endswith(IMPORTABLE):
                found |= rows.python
            if path in rows.semantic and not means_the_same(file):
                found |= rows.semantic[path]
            for name in also_known_as(path):
                found |= rows.semantic.get(name, _NONE)
            if file.kind != "modified":
                found |= self._matching(path, evidence)
            for folder in parents(path):
                found |= rows.prefixes.get(folder + "/", _NONE)
                if file.old is None or file.new is None:
                    found |= rows.folders.get(folder, _NONE)
        return found

    def _matching(self, path: RepoPath, evidence: Evidence) -> set[Where]:
        """Whoever has a glob that matches; a glob is tried only on paths below its literal beginning."""
        found: set[Where] = set()
        for start in ("", path, *(up for folder in parents(path) for up in (folder, folder + "/"))):
            for patterns, owners in self.rows.globs.get(start, ()):
                if not owners <= found and evidence.matcher(patterns)(path):
                    found |= owners
        return found

    @cached_property
    def rows(self) -> _Rows:
        semantic, raw, folders, prefixes, widened = (_Sets[str]() for _ in range(5))
        globs = _Sets[tuple[str, ...]]()
        for where, one in self.components.items():
            if one is not None:
                semantic.add(one.semantic, where)
                raw.add(one.raw, where)
                folders.add(one.folders, where)
                prefixes.add(one.prefixes, where)
                widened.add((one.widened,), where)
                globs.add((one.globs,), where)
        started: dict[str, list[tuple[tuple[str, ...], frozenset[Where]]]] = defaultdict(list)
        for patterns, owners in globs.frozen().items():
            for start in roots(patterns):
                started[start].append((patterns, owners))
        wide = widened.frozen()
        return _Rows(
            semantic.frozen(), raw.frozen(), folders.frozen(), prefixes.frozen(), started,
            wide.get("python", _NONE), wide.get("all", _NONE),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Rows:
    """One layer, inverted. ``globs`` are found by their literal beginning."""

    semantic: _Owners
    raw: _Owners
    folders: _Owners
    prefixes: _Owners
    globs: Mapping[str, list[tuple[tuple[str, ...], frozenset[Where]]]]
    python: frozenset[Where]
    everything: frozenset[Where]


class _Sets(Generic[_Subject]):
    """A multimap under construction."""

    def __init__(self) -> None:
        self._rows: dict[_Subject, set[Where]] = defaultdict(set)

    def add(self, subjects: Iterable[_Subject], where: Where) -> None:
        for subject in subjects:
            self._rows[subject].add(where)

    def frozen(self) -> dict[_Subject, frozenset[Where]]:
        return {subject: frozenset(found) for subject, found in self._rows.items()}


def roots(patterns: Iterable[str]) -> tuple[str, ...]:
    """Literal beginnings of every path that gitignore-style patterns can match; ``""`` if one is not anchored."""
    found = set()
    for pattern in patterns:
        if pattern.startswith("!"):
            continue
        bare = pattern.rstrip().lstrip("/")
        literal = bare
        for special in "*?[\\":
            literal = literal.partition(special)[0]
        if "/" not in bare.rstrip("/") and not pattern.startswith("/"):
            return ("",)  # a pattern without a slash matches at every depth
        found.add(literal if literal == bare else literal[: literal.rfind("/") + 1])
    return tuple(found)


def _means_the_same(file: FileChange, evidence: Evidence) -> bool:
    """File-level early cutoff: a comment in a core library stops here."""
    if file.kind != "modified" or file.old is None or file.new is None or file.old.mode != file.new.mode:
        return False
    kind = Kind.PYTHON if file.path.endswith(".py") else Kind.NOTEBOOK if file.path.endswith(".ipynb") else None
    if kind is None:
        return False
    was, now = evidence.fact(kind, file.old.oid), evidence.fact(kind, file.new.oid)
    return was is not None and was == now


def _is_link(file: FileChange) -> bool:
    return any(entry is not None and entry.is_link for entry in (file.old, file.new))
