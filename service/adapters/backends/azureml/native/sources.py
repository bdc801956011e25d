"""Owns the files of one commit that a definition leads to: documents by their path, places that a key names; refuses every path
that leaves the repository, before any SDK sees it."""

from __future__ import annotations

import posixpath
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from service.domain.errors import Refused
from service.domain.facts import Fact, Kind
from service.domain.links import follow
from service.domain.names import SUBMODULE, RepoPath, shown
from service.domain.tree import Tree
from service.ports.git_host import Repository
from service.ports.reader import Reader, Unreadable

_LARGEST = 1024 * 1024
_MOST_DOCUMENTS = 512
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]")


@dataclass(frozen=True)
class Where:
    """A key of a definition: the file as it is told, the folder that its paths start from, the key's path."""

    file: str
    folder: RepoPath
    key: str = ""

    def at(self, *keys: str) -> Where:
        """The place of a key inside this one."""
        return Where(self.file, self.folder, ".".join((*((self.key,) if self.key else ()), *keys)))

    def __str__(self) -> str:
        return f"{shown(self.file)}: {shown(self.key)}" if self.key else shown(self.file)


def refused(where: Where, what: str) -> Refused:
    """What to say of a definition that is none."""
    return Refused(f"reading {where}: {what}; mend it there, and push")


Documents = MutableMapping[str, object]
"""Documents by the OID of their blob: what was read stays read."""


def documents() -> Documents:
    """An empty memory of documents."""
    return OrderedDict()


class Sources:
    """One commit. ``known`` is kept from commit to commit."""

    def __init__(self, reader: Reader, repository: Repository, tree: Tree, known: Documents) -> None:
        self.tree = tree
        self._reader = reader
        self._repository = repository
        self._known = known
        self._links: dict[str, Fact] = {}
        self.misses = 0

    def document(self, path: RepoPath, where: Where) -> Mapping[str, Any]:
        """The mapping that a YAML file holds; ``where`` names who asks for it."""
        value = self.value(path, where)
        if not isinstance(value, Mapping):
            raise refused(where, f"{shown(path)} is no mapping")
        return value

    def value(self, path: RepoPath, where: Where) -> object:
        """What a YAML file holds, which may be anything."""
        entry = self.tree.get(path)
        if entry is None or entry.is_link:
            raise refused(where, f"{shown(path)} is no file at this commit")
        if entry.oid not in self._known:
            content = self._content(entry.oid)
            if content is None:
                raise refused(where, f"{shown(path)} is larger than {_LARGEST} bytes")
            try:
                self._known[entry.oid] = self._reader.document(content)
            except Unreadable as why:
                raise refused(where, f"{shown(path)} {why}") from why
            while len(self._known) > _MOST_DOCUMENTS:
                del self._known[next(iter(self._known))]
        return self._known[entry.oid]

    def lines(self, path: RepoPath) -> list[str]:
        """The lines of a small text file; none if it is not there."""
        entry = self.tree.get(path)
        content = self._content(entry.oid) if entry is not None and not entry.is_link else None
        return (content or b"").decode("utf-8", "replace").splitlines()

    def place(self, text: str, where: Where) -> RepoPath:
        """The file or folder that a key names, relative to its own file, with every link on the way followed. ``Refused`` if
        the way leads out of the repository, or ends where nothing is."""
        plain = text.removeprefix("file://").removeprefix("file:")
        if plain.startswith(("/", "~", "\\")) or _WINDOWS.match(plain):
            raise refused(where, f"{shown(text)!r} is an absolute path, and lies outside the repository")
        joined = posixpath.normpath(posixpath.join(where.folder, plain.replace("\\", "/")))
        if joined == ".." or joined.startswith("../"):
            raise refused(where, f"{shown(text)!r} leads out of the repository")
        at = self.resolved("" if joined == "." else joined, where)
        if at is None:
            raise refused(where, f"{shown(text)!r} lies in a submodule, whose files are not in this repository")
        if self.tree.get(at) is None and not self.tree.is_folder(at):
            raise refused(where, f"{shown(text)!r} is neither a file nor a folder at this commit")
        return at

    def resolved(self, path: RepoPath, where: Where) -> RepoPath | None:
        """A path without links; ``None`` if it lies in a submodule."""
        found = follow(path, self.tree, self)
        if found.path is not None:
            return found.path
        if found.passed and found.passed[-1][1].mode == SUBMODULE:
            return None
        why = found.doubt[1].what if found.doubt else "leads nowhere"
        raise refused(where, f"{shown(found.passed[-1][0] if found.passed else path)}: {why}")

    def contained(self, text: str, where: Where) -> RepoPath:
        """The place that a key names whose files are sent away, if no link below it leads out of the repository."""
        path = self.place(text, where)
        waiting, met = [path], {path}
        while waiting and self.tree.links:  # the SDK follows links into other folders, and those in them
            folder = waiting.pop()
            start = f"{folder}/" if folder else ""
            for link in sorted(one for one in self.tree.links if one.startswith(start)):
                target = self.resolved(link, where)
                if target is not None and target not in met:
                    met.add(target)
                    waiting.append(target)
        return path

    def below(self, folder: RepoPath) -> Iterator[RepoPath]:
        """Every file below a folder."""
        return self.tree.under(f"{folder}/" if folder else "")

    def exists(self, path: RepoPath) -> bool:
        """Whether a regular file is there."""
        entry = self.tree.get(path)
        return entry is not None and not entry.is_link

    # the evidence that links are followed by

    def fact(self, kind: Kind, oid: str) -> Fact | None:
        """A link's target, read apart from this process."""
        if kind is Kind.LINK and oid not in self._links:
            request = (kind, oid)
            self._links[oid] = self._reader.facts([(request, self._content(oid))])[0][1]
        return self._links.get(oid)

    def matcher(self, patterns: tuple[str, ...]) -> Callable[[str], bool]:
        """A predicate on paths for gitignore-style patterns."""
        return self._reader.globs(patterns)

    def _content(self, oid: str) -> bytes | None:
        return self._repository.blobs([oid], _LARGEST)[oid]
