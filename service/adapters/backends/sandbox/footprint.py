"""Owns what of a tree a compile depended on, misses and listings included, so that another tree can be known to compile the same;
refuses to guess: in doubt the whole tree counts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.names import RepoPath
from service.domain.tree import Tree

Footprint = Mapping[str, str]
"""``read PATH``, ``list FOLDER``, ``ask PATH`` or ``tree`` → what it was."""


@dataclass(frozen=True)
class Seen:
    """What the compile asked of its checkout: files opened, folders listed, paths whose existence was asked. ``escaped``
    says by what it may have read unseen; then only an equal tree compiles the same."""

    read: tuple[str, ...]
    listed: tuple[str, ...]
    asked: tuple[str, ...]
    escaped: tuple[str, ...]


def seen_of(answer: Mapping[str, Any]) -> Seen:
    """What the watch inside noted; paths travel as their bytes. ``KeyError`` and the like if it noted nothing."""
    read, listed, asked = (
        tuple(path.encode("latin-1").decode("utf-8", "surrogateescape") for path in answer[name])
        for name in ("read", "listed", "asked")
    )
    return Seen(read, listed, asked, tuple(answer["escaped"]))


def footprint(seen: Seen, tree: Tree) -> Footprint:
    """What the compile of this tree saw. A link may lead a path elsewhere, and another process reads unseen: then
    everything counts."""
    if seen.escaped or tree.links:
        return {"tree": _whole(tree)}
    found = {f"read {path}": _thing(path, tree) for path in seen.read}
    found |= {f"list {path}": _names(path, tree) for path in seen.listed}
    return found | {f"ask {path}": _thing(path, tree) for path in seen.asked}


def agrees(known: Footprint, tree: Tree) -> bool:
    """Whether a compile of ``tree`` would see the same."""
    if not known:
        return False
    for what, was in known.items():
        kind, _, path = what.partition(" ")
        if kind == "tree":
            now = _whole(tree)
        elif tree.links:
            return False
        else:
            now = _names(path, tree) if kind == "list" else _thing(path, tree)
        if now != was:
            return False
    return True


def _thing(path: RepoPath, tree: Tree) -> str:
    """Mode and content of a file; that something is a folder, or not there."""
    at = "" if path == "." else path
    entry = tree.get(at)
    if entry is not None:
        return f"{entry.mode} {entry.oid}"
    return "folder" if tree.is_folder(at) else "absent"


def _names(path: RepoPath, tree: Tree) -> str:
    """The names in a folder, and which of them are folders."""
    start = "" if path == "." else f"{path}/"
    names = dict.fromkeys(
        name + slash for name, slash, _ in (below[len(start) :].partition("/") for below in tree.under(start))
    )
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def _whole(tree: Tree) -> str:
    digest = hashlib.sha256()
    for path in tree.under(""):
        entry = tree.get(path)
        if entry is not None:
            digest.update(f"{entry.mode} {entry.oid} {path}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
