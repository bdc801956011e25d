"""Owns one commit's files, path → entry, cheap to derive from its neighbour's; refuses to read contents."""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from service.domain.modules import STANDARD, untagged
from service.domain.names import Entry, RepoPath

_FLATTEN_AT = 2_000


class Tree:
    """The files of one tree. Immutable; ``apply`` shares the unchanged part, so that a push costs what it changed.

    A lookup never follows symbolic links: ``links`` names them (and submodules) for whoever resolves paths.
    """

    def __init__(self, files: Mapping[RepoPath, Entry]) -> None:
        self._files = files
        self._paths: list[RepoPath] | None = None
        self._changed: Mapping[RepoPath, Entry | None] = {}
        self._new_folders: frozenset[RepoPath] = frozenset()
        self._links: frozenset[RepoPath] | None = None
        self._standard: dict[RepoPath, tuple[tuple[str, RepoPath], ...]] = {}
        self._tagged_paths: frozenset[RepoPath] | None = None

    def get(self, path: RepoPath) -> Entry | None:
        """The entry of a file, or ``None``: a folder has none."""
        if path in self._changed:
            return self._changed[path]
        return self._files.get(path)

    def is_folder(self, path: RepoPath) -> bool:
        """Whether at least one file lies below ``path``; the root (``""``) always is one."""
        return not path or path in self._new_folders or next(self._base_under(path + "/"), None) is not None

    def under(self, prefix: str) -> Iterator[RepoPath]:
        """Every file path that starts with ``prefix`` (end it with ``/`` for a folder), sorted."""
        added = [path for path, entry in self._changed.items() if entry is not None and path.startswith(prefix)]
        if not added:
            return self._base_under(prefix)
        return iter(sorted({*self._base_under(prefix), *added}))

    @property
    def links(self) -> frozenset[RepoPath]:
        """Paths of symbolic links and submodules."""
        if self._links is None:
            self._links = frozenset(path for path, entry in self._files.items() if entry.is_link)
        return self._links

    @cached_property
    def tagged(self) -> Mapping[RepoPath, tuple[RepoPath, ...]]:
        """Extension modules with an interpreter's tag in their name, by the name without it."""
        found: dict[RepoPath, tuple[RepoPath, ...]] = {}
        for path in sorted(self._tagged()):
            plain = untagged(path) or path
            found[plain] = (*found.get(plain, ()), path)
        return found

    def standard(self, folder: RepoPath) -> tuple[tuple[str, RepoPath], ...]:
        """Modules in a folder that have a name of the standard library's: the name, and the file."""
        if folder not in self._standard:
            stems = ((name, posixpath.join(folder, name)) for name in sorted(STANDARD))
            files = ((name, f"{stem}{end}") for name, stem in stems for end in ("/__init__.py", ".py"))
            self._standard[folder] = tuple((name, path) for name, path in files if self.get(path))
        return self._standard[folder]

    def _tagged(self) -> frozenset[RepoPath]:
        if self._tagged_paths is None:
            self._tagged_paths = frozenset(path for path in self._files if path.endswith(".so") and untagged(path))
        return self._tagged_paths

    def apply(self, changes: Iterable[tuple[RepoPath, Entry | None]]) -> Tree:
        """The tree after ``changes`` (``None``: the file is gone)."""
        fresh = dict(changes)
        merged = {**self._changed, **fresh}
        if len(merged) <= _FLATTEN_AT:
            derived = Tree(self._files)
            derived._paths = self._sorted()
            derived._changed = merged
            derived._new_folders = self._folders_with(fresh, merged)
        else:
            files = dict(self._files)
            for path, entry in merged.items():
                if entry is None:
                    files.pop(path, None)
                else:
                    files[path] = entry
            derived = Tree(files)
        derived._links = (self.links - fresh.keys()) | {
            path for path, entry in fresh.items() if entry and entry.is_link
        }
        derived._tagged_paths = (self._tagged() - fresh.keys()) | {
            path for path, entry in fresh.items() if entry and path.endswith(".so") and untagged(path)
        }
        return derived

    def _folders_with(
        self, fresh: Mapping[RepoPath, Entry | None], merged: Mapping[RepoPath, Entry | None]
    ) -> frozenset[RepoPath]:
        """Folders above what was added or rewritten since the files were written out; only a file that goes may make one
        of them untrue."""
        if any(entry is None and self._changed.get(path) is not None for path, entry in fresh.items()):
            return frozenset(folder for path, entry in merged.items() if entry is not None for folder in parents(path))
        return self._new_folders.union(
            folder for path, entry in fresh.items() if entry is not None for folder in parents(path)
        )

    def _sorted(self) -> list[RepoPath]:
        if self._paths is None:
            self._paths = sorted(self._files)
        return self._paths

    def _base_under(self, prefix: str) -> Iterator[RepoPath]:
        paths = self._sorted()
        for at in range(bisect_left(paths, prefix), len(paths)):
            path = paths[at]
            if not path.startswith(prefix):
                return
            if self._changed.get(path, path) is not None:
                yield path


def parents(path: RepoPath) -> Iterator[RepoPath]:
    """Every folder above ``path``, nearest first, without the root."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
