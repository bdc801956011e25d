"""Owns what a declared input or environment file contributes to a step key; refuses to open data outside git."""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass, field

from service.domain.facts import Doubt, Evidence, Kind, TextFacts
from service.domain.links import Destination, follow
from service.domain.names import SUBMODULE, SYMLINK, RepoPath
from service.domain.tree import Tree, parents

_REQUIREMENTS = (".txt", ".in", ".lock")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found: (path, value) pairs, the paths looked up (misses included), whole prefixes, doubts."""

    values: tuple[tuple[RepoPath, str], ...]
    looked_up: frozenset[RepoPath]
    prefixes: tuple[str, ...] = ()
    doubts: tuple[tuple[RepoPath, Doubt], ...] = ()


def read_input(path: RepoPath, tree: Tree, evidence: Evidence) -> Reading:
    """A file (mode and blob OID), a folder (hash of its entries), a symbolic link with what it leads to, a submodule's
    commit, or what a DVC pointer beside the path says. A missing input has the value ``absent``, not no value."""
    path = posixpath.normpath(path)
    reading = _Input(tree, evidence)
    value = " ".join([reading.value(path), *reading.contents()])
    prefixes = tuple(folder + "/" if folder else "" for folder in reading.folders)
    return Reading(((path, value),), frozenset(reading.looked_up), prefixes, tuple(reading.doubts))


def read_environment(path: RepoPath, tree: Tree, evidence: Evidence) -> Reading:
    """An environment file and the files it includes (``-r``, ``-c``), requirements without their comments."""
    values: dict[RepoPath, str] = {}
    looked_up: set[RepoPath] = set()
    doubts: list[tuple[RepoPath, Doubt]] = []
    waiting = [posixpath.normpath(path)]
    while waiting:
        at = waiting.pop()
        if at in values:
            continue
        place = follow(at, tree, evidence)
        looked_up.update(_passed(at, place))
        entry = None if place.path is None else tree.get(place.path)
        if place.path is None or entry is None:
            values[at] = " ".join([*_trail(place), "absent"])
            if not _is_in_submodule(place):
                doubts.append((at, Doubt("the environment file is not in the repository")))
            continue
        content = f"{entry.mode} {entry.oid}"
        fact = evidence.fact(Kind.REQUIREMENTS, entry.oid) if place.path.endswith(_REQUIREMENTS) else None
        if isinstance(fact, TextFacts):
            content = fact.value
            doubts += [(at, doubt) for doubt in fact.doubts]
            waiting += [posixpath.normpath(posixpath.join(posixpath.dirname(at), name)) for name in fact.includes]
        values[at] = " ".join([*_trail(place), content])
    return Reading(tuple(sorted(values.items())), frozenset(looked_up), doubts=tuple(doubts))


@dataclass
class _Input:
    """The reading of one declared input under construction. ``folders`` are those whose every entry counts, each once,
    however many links lead there."""

    tree: Tree
    evidence: Evidence
    looked_up: set[RepoPath] = field(default_factory=set)
    folders: list[RepoPath] = field(default_factory=list)
    doubts: list[tuple[RepoPath, Doubt]] = field(default_factory=list)
    _met: set[RepoPath] = field(default_factory=set)

    def value(self, path: RepoPath) -> str:
        place = follow(path, self.tree, self.evidence)
        self.looked_up.update(_passed(path, place))
        trail = _trail(place)
        if place.path is None:
            if not _is_in_submodule(place) and place.doubt is not None:
                self.doubts.append(place.doubt)
            return " ".join([*trail, "outside"])
        entry = self.tree.get(place.path)
        if entry is not None:
            return " ".join([*trail, f"{entry.mode} {entry.oid}"])
        if not self.tree.is_folder(place.path):
            return " ".join([*trail, self._pointed(place.path)])
        if place.path not in self._met:
            self._met.add(place.path)
            self.folders.append(place.path)
        return " ".join([*trail, "folder"])

    def contents(self) -> list[str]:
        """A hash of each folder; links inside are read at their targets, which may be further folders."""
        found = []
        for folder in self.folders:  # grows
            digest = hashlib.sha256()
            for below in self.tree.under(folder + "/" if folder else ""):
                entry = self.tree.get(below)
                if entry is not None:
                    value = self.value(below) if entry.mode == SYMLINK else f"{entry.mode} {entry.oid}"
                    digest.update(f"{value} {below}\0".encode("utf-8", "surrogateescape"))
            found.append(digest.hexdigest())
        return found

    def _pointed(self, path: RepoPath) -> str:
        """DVC keeps data out of git and a pointer in it: beside the path, or beside a folder above it."""
        for tracked in (path, *parents(path)):
            pointer = tracked + ".dvc"
            self.looked_up.add(pointer)
            entry = self.tree.get(pointer)
            if entry is not None:
                fact = self.evidence.fact(Kind.DVC, entry.oid) if entry.mode not in (SYMLINK, SUBMODULE) else None
                if isinstance(fact, TextFacts):
                    self.doubts += [(pointer, doubt) for doubt in fact.doubts]
                    return f"dvc {fact.value}"
                return f"{entry.mode} {entry.oid}"
        self.doubts.append((path, Doubt("the input is not in the repository, and no .dvc pointer stands for it")))
        return "absent"


def _passed(path: RepoPath, place: Destination) -> list[RepoPath]:
    """Every path whose change may lead elsewhere, or to something else."""
    end = [] if place.path is None else [place.path]
    return [path, *(link for link, _ in place.passed), *end]


def _trail(place: Destination) -> list[str]:
    return [f"{entry.mode} {entry.oid}" for _, entry in place.passed]


def _is_in_submodule(place: Destination) -> bool:
    """Then its commit, which is in the trail, stands for everything below."""
    return bool(place.passed) and place.passed[-1][1].mode == SUBMODULE
