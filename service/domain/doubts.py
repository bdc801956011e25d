"""Owns what a doubt about a component widens its key by, and how it is told; refuses to find doubts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

from service.domain.facts import Doubt, Evidence
from service.domain.names import SUBMODULE, SYMLINK, Entry, RepoPath, shown
from service.domain.pipeline import Component, Pipeline
from service.domain.reach import IMPORTABLE
from service.domain.step_key import Part, PartKind
from service.domain.tree import Tree


def widest(doubts: Iterable[tuple[RepoPath, Doubt]], *, declared: bool) -> str:
    """How much more must count; nothing when the component's ``paths`` declare what cannot be seen."""
    kinds = {doubt.widen for _, doubt in doubts}
    return "" if declared else "all" if "all" in kinds else "python" if "python" in kinds else ""


def uncertain(
    doubts: Iterable[tuple[RepoPath, Doubt]],
    widened: str,
    pipeline: Pipeline,
    component: Component,
    tree: Tree,
    evidence: Evidence,
) -> Iterator[Part]:
    """One part for each doubt that widens the key: a digest of all that counts because of it."""
    if not widened:
        return
    counts = _counts(widened, pipeline, evidence)
    digest = hashlib.sha256()
    for path in tree.under("") if component.native is None else component.native.ships:
        entry = tree.get(path)
        if entry is not None and counts(path, entry):
            digest.update(f"{entry.mode} {entry.oid} {path}\0".encode("utf-8", "surrogateescape"))
    for path, doubt in doubts:
        if doubt.widen:  # no line number here: a comment above must not change the key
            yield Part(PartKind.UNCERTAIN, f"{path} {doubt.what}", digest.hexdigest())


def _counts(widened: str, pipeline: Pipeline, evidence: Evidence) -> Callable[[RepoPath, Entry], bool]:
    if widened == "python":  # a link or a submodule may hold what is imported
        return lambda path, entry: path.endswith(IMPORTABLE) or entry.mode in (SYMLINK, SUBMODULE)
    ignored = evidence.matcher(pipeline.ignore)
    return lambda path, entry: path != "refit.yaml" and not (pipeline.ignore and ignored(path))


def _note(path: RepoPath, doubt: Doubt, declared: bool, *, shipped: bool) -> str:
    place = f"{shown(path)}:{doubt.line}" if doubt.line else shown(path)
    scope = {"python": "every Python file counts", "all": "every file that is not ignored counts"}.get(doubt.widen, "")
    scope = scope.replace("file", "file that its container gets", 1) if shipped else scope
    if not scope:
        return f"{place}: {doubt.what}"
    return f"{place}: {doubt.what}; " + ("`paths` declares it" if declared else f"{scope} until `paths` declares it")


def notes(component: Component, doubts: Iterable[tuple[RepoPath, Doubt]], declared: bool) -> Iterator[str]:
    """Every doubt as a sentence; what a native definition is doubtful of comes first."""
    if component.native:
        yield from component.native.notes
    for path, doubt in doubts:
        yield _note(path, doubt, declared, shipped=component.native is not None)
