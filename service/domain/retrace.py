"""Owns a component's closure after a change that left alone where its code leads: the same files, with new values; refuses
whatever could lead elsewhere, which is to be traced anew.

Most pushes edit what functions do and not what they import. ``trace`` stays the definition: this must agree with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property

from service.domain.change import Change, FileChange
from service.domain.closure import Closure, kind_of, trace
from service.domain.facts import Evidence, Kind, PythonFacts
from service.domain.modules import also_known_as
from service.domain.names import Entry, RepoPath
from service.domain.opened import Declared
from service.domain.tree import Tree, parents

_LEADING = tuple(one.name for one in fields(PythonFacts) if one.name not in ("kept", "blanked"))


@dataclass(frozen=True, slots=True)
class Beginning:
    """All that a closure is traced from but the tree; see ``trace``."""

    command: str
    extra: tuple[RepoPath, ...]
    targets: tuple[str, ...]
    declared: Declared
    root: RepoPath | None = None


@dataclass(frozen=True, slots=True)
class Traced:
    """A closure, and where it began: two with the same beginning differ by the tree alone."""

    beginning: Beginning
    closure: Closure


def follow_code(
    beginning: Beginning, tree: Tree, evidence: Evidence, edits: Edits | None = None, before: Traced | None = None
) -> Traced:
    """The closure in ``tree``, by way of ``before`` if that can be, from whose tree ``edits`` lead to this one."""
    if edits is not None and before is not None and before.beginning == beginning:
        closure = edits.retrace(before.closure)
        if closure is not None:
            return before if closure is before.closure else Traced(beginning, closure)
    command, extra, targets, declared = beginning.command, beginning.extra, beginning.targets, beginning.declared
    return Traced(beginning, trace(command, extra, targets, tree, evidence, declared, beginning.root))


class Edits:
    """A change as seen by closures: which files have other contents, and which names and folders may lead elsewhere."""

    def __init__(self, change: Change, evidence: Evidence) -> None:
        self._evidence = evidence
        self._files = {file.path: file for file in change.files}
        self._edited = self._files.keys() - {file.path for file in change.files if not _is_edit(file)}
        self._moved = self._files.keys() - self._edited
        self._alike: dict[RepoPath, PythonFacts | None] = {}

    @cached_property
    def _names(self) -> frozenset[RepoPath]:
        """What was looked up under one of these may now be another file, or none."""
        return frozenset(self._moved).union(name for path in self._moved for name in also_known_as(path))

    @cached_property
    def _folders(self) -> frozenset[RepoPath]:
        return frozenset(folder for path in self._moved for folder in parents(path))

    @cached_property
    def _has_links(self) -> bool:
        entries = (entry for file in self._files.values() for entry in (file.old, file.new))
        return any(entry is not None and entry.is_link for entry in entries)

    def touch(self, paths: frozenset[RepoPath]) -> bool:
        """Whether one of these files is another one now, or there no more, or there at last."""
        return not paths.isdisjoint(self._files)

    def retrace(self, closure: Closure) -> Closure | None:
        """The closure as it is now; ``None`` if tracing could lead elsewhere. Provisional if a fact is missing, as always."""
        values = self.values(closure)
        return with_values(closure, values) if values is not None else None

    def values(self, closure: Closure) -> Mapping[RepoPath, str] | None:
        """The files of the closure that count as something else now, and as what; ``None`` as ``retrace``."""
        if self._has_links or not closure.looked_up.isdisjoint(self._names):
            return None
        if not closure.folders.isdisjoint(self._folders):
            return None
        if closure.prefixes and any(path.startswith(tuple(closure.prefixes)) for path in self._moved):
            return None
        edited = closure.looked_up & self._edited
        if not edited or self._misses(edited & closure.code):
            return {}
        values: dict[RepoPath, str] = {}
        for path in edited:
            value = self._value(path, closure)
            if value is None:
                return None
            values[path] = value
        return values

    def _misses(self, code: Iterable[RepoPath]) -> bool:
        """Whether some of these are yet to be read: the same question comes again when they are."""
        misses = self._evidence.misses
        for path in code:
            self._facts(path)
        return self._evidence.misses != misses

    def _value(self, path: RepoPath, closure: Closure) -> str | None:
        """What the file counts as now; ``None``: it may import something else."""
        entry = self._files[path].new
        assert entry is not None, "an edited file is there"
        if path not in closure.code:
            return f"{entry.mode} {entry.oid}"
        fact = self._led_alike(path)
        if fact is None:
            return None
        if path in closure.by_bytes:
            return f"{entry.mode} {entry.oid}"
        return f"{entry.mode} {fact.kept if closure.keeps_docstrings else fact.blanked}"

    def _led_alike(self, path: RepoPath) -> PythonFacts | None:
        """The file's facts if they lead where they led before."""
        if path not in self._alike:
            old, new = self._facts(path)
            alike = old is not None and new is not None and _leads(old) == _leads(new)
            self._alike[path] = new if alike else None
        return self._alike[path]

    def _facts(self, path: RepoPath) -> tuple[PythonFacts | None, PythonFacts | None]:
        """The file's, before and after; a script may have any name."""
        kind, file = kind_of(path) or Kind.PYTHON, self._files[path]
        return self._fact(kind, file.old), self._fact(kind, file.new)

    def _fact(self, kind: Kind, entry: Entry | None) -> PythonFacts | None:
        fact = self._evidence.fact(kind, entry.oid) if entry is not None else None
        return fact if isinstance(fact, PythonFacts) else None


def with_values(closure: Closure, values: Mapping[RepoPath, str]) -> Closure:
    """The closure whose files count as this."""
    if not values:
        return closure
    return replace(closure, files=tuple([(path, values.get(path, value)) for path, value in closure.files]))


def _leads(fact: PythonFacts) -> list[object]:
    """All of it but what the file means."""
    return [getattr(fact, name) for name in _LEADING]


def _is_edit(file: FileChange) -> bool:
    return file.old is not None and file.new is not None and file.old.mode == file.new.mode
