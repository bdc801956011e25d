"""Owns where a path leads inside a tree, through symbolic links and up to submodules; refuses to read what is there."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from service.domain.facts import Doubt, Evidence, Kind, TextFacts
from service.domain.names import SUBMODULE, Entry, RepoPath
from service.domain.tree import Tree, parents

_LINKS_FOLLOWED = 40  # as Linux's ELOOP


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a path leads. ``path`` has no link in it, and need not exist; it is ``None`` if the way ends before: out of
    the repository, in a cycle, in a submodule, or at a link whose target is not known yet. ``passed`` are the links and
    the submodule on the way: they decide the answer, so they count."""

    path: RepoPath | None
    passed: tuple[tuple[RepoPath, Entry], ...] = ()
    doubt: tuple[RepoPath, Doubt] | None = None


def follow(path: RepoPath, tree: Tree, evidence: Evidence) -> Destination:
    """Resolve every symbolic link in ``path``, the last segment included, as the kernel would."""
    links = tree.links
    plain = posixpath.normpath(path)
    if plain.startswith(("../", "/")) or plain == "..":
        return Destination(None, doubt=(path, Doubt("is outside the repository")))
    if plain not in links and links.isdisjoint(parents(plain)):
        return Destination("" if plain == "." else plain)
    return _walk(path, tree, evidence)


def _walk(path: RepoPath, tree: Tree, evidence: Evidence) -> Destination:
    at = ""
    ahead = path.split("/")[::-1]
    passed: list[tuple[RepoPath, Entry]] = []
    while ahead:
        segment = ahead.pop()
        if segment == ".." and not at:
            return Destination(None, tuple(passed), (path, Doubt("links out of the repository")))
        if segment in ("", ".", ".."):
            at = posixpath.dirname(at) if segment == ".." else at
            continue
        at = posixpath.join(at, segment)
        entry = tree.get(at) if at in tree.links else None
        if entry is None:
            continue
        passed.append((at, entry))
        if entry.mode == SUBMODULE:
            note = Doubt("is a submodule: its commit counts, and what it imports from here is not followed")
            return Destination(None, tuple(passed), (at, note))
        fact = evidence.fact(Kind.LINK, entry.oid)
        if not isinstance(fact, TextFacts) or fact.doubts:
            known = (at, fact.doubts[0]) if isinstance(fact, TextFacts) else None
            return Destination(None, tuple(passed), known)
        if fact.value.startswith("/"):
            return Destination(None, tuple(passed), (at, Doubt("links out of the repository")))
        if len(passed) > _LINKS_FOLLOWED:
            return Destination(None, tuple(passed), (at, Doubt("a cycle of symbolic links")))
        at = posixpath.dirname(at)
        ahead += fact.value.split("/")[::-1]
    return Destination(at, tuple(passed))
