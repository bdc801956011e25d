"""Owns which files of the repository an uploaded object is, by content: git's own names of the bytes; refuses to look at paths
that a compile claims."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from service.adapters.backends.sagemaker.native.compiler import Upload
from service.domain.names import RepoPath
from service.domain.tree import Tree


@dataclass(frozen=True)
class Origin:
    """Where an upload's content comes from: files of the repository, and what is left: contents (``name sha256``) that the
    SDK or ``pipeline.py`` made. ``folder`` is where an archive's files lie, if one folder has them under the names that they
    have in the archive; ``elsewhere`` are those of the ``files`` that do not lie there so."""

    files: tuple[RepoPath, ...]
    made: tuple[str, ...] = ()
    folder: RepoPath | None = None
    elsewhere: tuple[RepoPath, ...] = ()
    is_ambiguous: bool = False


class Origins:
    """The uploads of one compile, mapped to one tree. Of several files with the same content the compile means one that it
    ``read``; if it read several, all of them count."""

    def __init__(self, uploads: Iterable[Upload], tree: Tree, read: Collection[RepoPath]) -> None:
        self.uploads = {upload.uri: upload for upload in uploads}
        self._tree = tree
        self._read = frozenset(read)
        self._found: dict[str, Origin] = {}

    def at(self, uri: str) -> tuple[str, ...]:
        """The uploads that a URI names: one object, or all below a prefix."""
        if uri in self.uploads:
            return (uri,)
        start = uri.rstrip("/") + "/"
        return tuple(sorted(one for one in self.uploads if one.startswith(start)))

    def of(self, uri: str) -> Origin:
        """The origin of one upload."""
        if uri not in self._found:
            upload = self.uploads[uri]
            self._found[uri] = self._file(upload) if upload.members is None else self._archive(upload.members)
        return self._found[uri]

    @cached_property
    def _paths(self) -> Mapping[str, Sequence[RepoPath]]:
        found: dict[str, list[RepoPath]] = defaultdict(list)
        wanted = {oid for upload in self.uploads.values() for oid in upload.oids}
        wanted |= {oid for upload in self.uploads.values() for oids in (upload.members or {}).values() for oid in oids}
        for path in self._tree.under(""):
            entry = self._tree.get(path)
            if entry is not None and entry.oid in wanted:
                found[entry.oid].append(path)
        return found

    def _candidates(self, oids: Iterable[str]) -> list[RepoPath]:
        found = [path for oid in oids for path in self._paths.get(oid, ())]
        return [path for path in found if path in self._read] or found

    def _file(self, upload: Upload) -> Origin:
        found = self._candidates(upload.oids)
        name = posixpath.basename(upload.uri)
        found = [path for path in found if posixpath.basename(path) == name] or found
        made = () if found else (f"{name} {upload.sha256}",)
        return Origin(tuple(found), made, is_ambiguous=len(found) > 1)

    def _archive(self, members: Mapping[str, Sequence[str]]) -> Origin:
        """The folder that has most of its files under their own names; what is left, by content alone."""
        votes: dict[RepoPath, int] = defaultdict(int)
        for name, oids in members.items():
            for path in self._candidates(oids):
                if path == name or path.endswith(f"/{name}"):
                    votes[path[: len(path) - len(name)].rstrip("/")] += 1
        most = max(votes.values(), default=0)
        best = sorted(folder for folder, count in votes.items() if count == most)
        files: list[RepoPath] = []
        elsewhere: list[RepoPath] = []
        made: list[str] = []
        for name, oids in sorted(members.items()):
            own = [posixpath.join(folder, name) for folder in best]
            found = [path for path in own if self._has(path, oids)]
            if not found:
                found = self._candidates(oids)
                elsewhere += found
            files += found
            made += [] if found else [f"{name} {oids[-1]}"]
        return Origin(
            tuple(dict.fromkeys(files)),
            tuple(made),
            best[0] if best else None,
            tuple(dict.fromkeys(elsewhere)),
            is_ambiguous=len(best) > 1,
        )

    def _has(self, path: RepoPath, oids: Sequence[str]) -> bool:
        entry = self._tree.get(path)
        return entry is not None and entry.oid in oids
