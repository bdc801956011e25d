"""Owns which files of a tree a literal path in code means, and which of them are declared already; refuses to read them."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from service.domain.facts import FROM_FILE, Evidence
from service.domain.names import RepoPath
from service.domain.tree import Tree

_SPECIAL = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Declared:
    """Files of which the declaration says how they count, so that opening them in code adds nothing, and options that the
    command line is given."""

    paths: frozenset[RepoPath] = frozenset()
    options: frozenset[str] = frozenset()


def places(source: RepoPath, path: str) -> tuple[RepoPath, ...]:
    """Where a path in a file's code may lead: on from the file itself, or from the root and from beside the file."""
    if path.startswith(FROM_FILE):
        return (posixpath.join(source, path.removeprefix(FROM_FILE)),)
    return (path, posixpath.join(posixpath.dirname(source), path))


def folder_of(path: RepoPath) -> RepoPath:
    """The folder that a glob searches, or the path itself if it is none."""
    literal = _SPECIAL.split(path, maxsplit=1)[0]
    return path if literal == path else posixpath.dirname(literal)


def below(
    path: RepoPath, place: RepoPath, tree: Tree, evidence: Evidence, declared: Declared
) -> tuple[str, list[RepoPath]]:
    """What of ``place``, where the folder of ``path`` really is, the path means: its beginning, and every file there. A
    folder in which something is declared is read as declared; the whole repository is meant by nobody."""
    start = f"{place}/" if place else ""
    folder = folder_of(path)
    if folder != path:
        matches = evidence.matcher((f"/{path}",))
        return start, [one for one in tree.under(start) if matches(posixpath.join(folder, one.removeprefix(start)))]
    if place in ("", ".") or any(one.startswith(start) for one in declared.paths):
        return start, []
    return start, list(tree.under(start))
