"""Owns the files that differ between two commits; refuses to judge what a difference means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from service.domain.names import Entry, RepoPath


@dataclass(frozen=True, slots=True)
class FileChange:
    """One path whose entry differs; ``None`` on a side means that the file is not there."""

    path: RepoPath
    old: Entry | None
    new: Entry | None

    @property
    def kind(self) -> str:
        if self.old is None:
            return "added"
        if self.new is None:
            return "deleted"
        return "mode" if self.old.oid == self.new.oid else "modified"


@dataclass(frozen=True, slots=True)
class Change:
    """A tree-to-tree difference (never a walk over commits: merges and forced pushes make those lie).

    ``base`` is ``None`` when there is nothing to compare with: then every file of the head counts as added.
    """

    base: str | None
    head: str
    files: tuple[FileChange, ...]

    @property
    def renames(self) -> tuple[tuple[RepoPath, RepoPath], ...]:
        """Pairs (old path, new path) of byte-identical moves; both paths stay changes of their own."""
        return tuple(_renames(self.files))


def _renames(files: Iterable[FileChange]) -> Iterable[tuple[RepoPath, RepoPath]]:
    gone = {change.old.oid: change.path for change in files if change.new is None and change.old is not None}
    for change in files:
        if change.old is None and change.new is not None and change.new.oid in gone:
            yield gone.pop(change.new.oid), change.path
