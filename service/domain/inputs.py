"""Owns what a declared input or environment file contributes to a step key; refuses to open data outside git."""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass

from service.domain.facts import Doubt, Evidence, Kind, TextFacts
from service.domain.names import SUBMODULE, SYMLINK, Entry, RepoPath
from service.domain.tree import Tree, parents

_REQUIREMENTS = (".txt", ".in", ".lock")
_LINKS_FOLLOWED = 20


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found: (path, value) pairs, the paths looked up (misses included), whole prefixes, doubts."""

    values: tuple[tuple[RepoPath, str], ...]
    looked_up: frozenset[RepoPath]
    prefixes: tuple[str, ...] = ()
    doubts: tuple[tuple[RepoPath, Doubt], ...] = ()


def read_input(path: RepoPath, tree: Tree, evidence: Evidence, _depth: int = 0) -> Reading:
    """A file (mode and blob OID), a folder (hash of its entries), a symbolic link with its target, a submodule's commit,
    or what a DVC pointer beside the path says. A missing input has the value ``absent``, not no value."""
    path = posixpath.normpath(path)
    asked = [path]
    trail: list[str] = []
    entry = tree.get(path)
    for _ in range(_LINKS_FOLLOWED):
        if entry is None or entry.mode != SYMLINK:
            break
        trail.append(f"{entry.mode} {entry.oid}")
        path = _target(path, entry, evidence)
        asked.append(path)
        entry = tree.get(path)
    if path.startswith(("../", "/")):
        return _reading(asked, [*trail, "outside"], doubts=((asked[0], Doubt("links out of the repository")),))
    if entry is not None:
        return _reading(asked, [*trail, f"{entry.mode} {entry.oid}"])
    if tree.is_folder(path):
        return _reading([*asked, path], [*trail, _folder(path, tree)], prefixes=("" if path == "." else path + "/",))
    for above in parents(path):
        if above in tree.links:
            return _below_a_link(asked, trail, above, path, tree, evidence, _depth)
    return _pointed(asked, trail, path, tree, evidence)


def read_environment(path: RepoPath, tree: Tree, evidence: Evidence) -> Reading:
    """An environment file and the files it includes (``-r``, ``-c``), requirements without their comments."""
    values: dict[RepoPath, str] = {}
    doubts: list[tuple[RepoPath, Doubt]] = []
    waiting = [posixpath.normpath(path)]
    while waiting:
        at = waiting.pop()
        if at in values:
            continue
        entry = tree.get(at)
        if entry is None:
            values[at] = "absent"
            doubts.append((at, Doubt("the environment file is not in the repository")))
            continue
        values[at] = f"{entry.mode} {entry.oid}"
        if at.endswith(_REQUIREMENTS) and entry.mode not in (SYMLINK, SUBMODULE):
            fact = evidence.fact(Kind.REQUIREMENTS, entry.oid)
            if isinstance(fact, TextFacts):
                values[at] = fact.value
                doubts += [(at, doubt) for doubt in fact.doubts]
                waiting += [posixpath.normpath(posixpath.join(posixpath.dirname(at), name)) for name in fact.includes]
    return Reading(tuple(sorted(values.items())), frozenset(values), doubts=tuple(doubts))


def _reading(
    asked: list[RepoPath],
    values: list[str],
    prefixes: tuple[str, ...] = (),
    doubts: tuple[tuple[RepoPath, Doubt], ...] = (),
) -> Reading:
    return Reading(((asked[0], " ".join(values)),), frozenset(asked), prefixes, doubts)


def _target(path: RepoPath, entry: Entry, evidence: Evidence) -> RepoPath:
    fact = evidence.fact(Kind.LINK, entry.oid)
    target = fact.value if isinstance(fact, TextFacts) else ""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))


def _folder(path: RepoPath, tree: Tree) -> str:
    digest = hashlib.sha256()
    for below in tree.under("" if path == "." else path + "/"):
        entry = tree.get(below)
        if entry is not None:
            digest.update(f"{entry.mode} {entry.oid} {below}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _below_a_link(
    asked: list[RepoPath],
    trail: list[str],
    above: RepoPath,
    path: RepoPath,
    tree: Tree,
    evidence: Evidence,
    depth: int,
) -> Reading:
    """``above`` is a linked folder (follow it) or a submodule (its commit stands for everything below)."""
    entry = tree.get(above)
    assert entry is not None, "tree.links names only what the tree has"
    if entry.mode == SUBMODULE or depth >= _LINKS_FOLLOWED:
        return _reading([*asked, above], [*trail, f"{entry.mode} {entry.oid}"])
    moved = posixpath.join(_target(above, entry, evidence), posixpath.relpath(path, above))
    inner = read_input(moved, tree, evidence, depth + 1)
    values = [*trail, f"{entry.mode} {entry.oid}", inner.values[0][1]]
    return _reading([*asked, above, *inner.looked_up], values, inner.prefixes, inner.doubts)


def _pointed(asked: list[RepoPath], trail: list[str], path: RepoPath, tree: Tree, evidence: Evidence) -> Reading:
    """DVC keeps data out of git and a pointer in it: beside the path, or beside a folder above it."""
    for tracked in (path, *parents(path)):
        pointer = tracked + ".dvc"
        asked.append(pointer)
        entry = tree.get(pointer)
        if entry is not None:
            fact = evidence.fact(Kind.DVC, entry.oid)
            if isinstance(fact, TextFacts):
                return _reading(asked, [*trail, f"dvc {fact.value}"], doubts=tuple((pointer, d) for d in fact.doubts))
            return _reading(asked, [*trail, f"{entry.mode} {entry.oid}"])
    missing = Doubt("the input is not in the repository, and no .dvc pointer stands for it")
    return _reading(asked, [*trail, "absent"], doubts=((path, missing),))
