"""Owns what a declared input or environment file contributes to a step key; refuses to open data outside git."""

from __future__ import annotations

import hashlib
import json
import posixpath
from dataclasses import dataclass, field

from service.domain.facts import Doubt, Evidence, Kind, TextFacts, ValuesFacts
from service.domain.links import Destination, follow
from service.domain.names import SUBMODULE, SYMLINK, Entry, RepoPath
from service.domain.tree import Tree, parents

_REQUIREMENTS = (".txt", ".in", ".lock")
_DVC_LOCK, _DIGESTS = "dvc.lock", ("md5", "etag", "checksum", "version_id")
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")
_TOOLS = frozenset(
    {"autopep8", "bandit", "basedpyright", "black", "bumpversion", "codespell", "commitizen", "coverage", "deptry"}
    | {"docformatter", "flake8", "importlinter", "interrogate", "isort", "mypy", "pydocstyle", "pylint", "pyright"}
    | {"pytest", "ruff", "towncrier", "vulture", "yapf"}
)
"""Tables of ``pyproject.toml`` that no installation reads."""
_DESCRIPTION = frozenset(
    {"authors", "classifiers", "description", "keywords", "license", "license-files", "maintainers", "readme", "urls"}
)


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
    prefixes = tuple(folder + "/" if folder else "" for folder in (*reading.folders, *reading.absent))
    return Reading(((path, value),), frozenset(reading.looked_up), prefixes, tuple(reading.doubts))


def read_environment(path: RepoPath, tree: Tree, evidence: Evidence) -> Reading:
    """An environment file and the files it includes (``-r``, ``-c``), requirements without their comments."""
    reading = _Environment(tree, evidence)
    start = posixpath.normpath(path)
    reading.add(start, is_requirements=start.endswith(_REQUIREMENTS))
    prefixes = tuple(reading.prefixes)
    return Reading(tuple(sorted(reading.values.items())), frozenset(reading.looked_up), prefixes, tuple(reading.doubts))


@dataclass
class _Environment:
    """An environment under construction."""

    tree: Tree
    evidence: Evidence
    values: dict[RepoPath, str] = field(default_factory=dict)
    looked_up: set[RepoPath] = field(default_factory=set)
    prefixes: list[str] = field(default_factory=list)
    doubts: list[tuple[RepoPath, Doubt]] = field(default_factory=list)

    def add(self, start: RepoPath, *, is_requirements: bool) -> None:
        waiting = [(start, is_requirements)]
        while waiting:
            at, included = waiting.pop()
            if at in self.values:
                continue
            place = follow(at, self.tree, self.evidence)
            self.looked_up.update(_passed(at, place))
            entry = None if place.path is None else self.tree.get(place.path)
            if place.path is not None and entry is not None:
                waiting += self._file(at, place, place.path, entry, included)
            elif place.path is not None and self.tree.is_folder(place.path):
                self._folder(at)
            else:
                self.values[at] = " ".join([*_trail(place), "absent"])
                if not _is_in_submodule(place):
                    self.doubts.append((at, Doubt("the environment file is not in the repository")))

    def _file(
        self, at: RepoPath, place: Destination, path: RepoPath, entry: Entry, included: bool
    ) -> list[tuple[RepoPath, bool]]:
        """Take in a file; what it includes."""
        content, found = f"{entry.mode} {entry.oid}", []
        if included and not path.endswith(_ARCHIVES):
            fact = self.evidence.fact(Kind.REQUIREMENTS, entry.oid)
            if isinstance(fact, TextFacts):
                content = fact.value
                self.doubts += [(at, doubt) for doubt in fact.doubts]
                found = [(self._included(at, name), True) for name in fact.includes]
        elif posixpath.basename(path) == "pyproject.toml":
            content = _project(self.evidence.fact(Kind.TOML, entry.oid)) or content
        self.values[at] = " ".join([*_trail(place), content])
        return found

    def _included(self, at: RepoPath, name: str) -> RepoPath:
        """Beside the file that includes it; a slash in front stands for the root, where pip looks next."""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(at), name)).lstrip("/")
        self.looked_up.add(path)
        rooted = posixpath.normpath(name.lstrip("/"))
        exists = self.tree.get(path) is not None or self.tree.is_folder(path)
        is_folder = not exists and path != rooted and self.tree.is_folder(rooted)
        return rooted if is_folder else path

    def _folder(self, at: RepoPath) -> None:
        """A folder of packages (``--find-links``): everything in it."""
        found = read_input(at, self.tree, self.evidence)
        self.values[at] = found.values[0][1]
        self.looked_up |= found.looked_up
        self.prefixes += found.prefixes
        self.doubts += found.doubts


def _project(fact: object) -> str | None:
    """``pyproject.toml`` without what only describes the project or configures tools that no step runs; ``None`` if its
    bytes must count."""
    if not isinstance(fact, ValuesFacts) or fact.doubts:
        return None
    rows = [(leaf.path, leaf.reading) for leaf in fact.leaves if not _is_about_the_project(leaf.path)]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=True).encode()).hexdigest()


def _is_about_the_project(path: tuple[str, ...]) -> bool:
    table, entry = (*path, "", "")[:2]
    return (table == "tool" and entry in _TOOLS) or (table == "project" and entry in _DESCRIPTION)


@dataclass
class _Input:
    """The reading of one declared input under construction. ``folders`` are those whose every entry counts, each once,
    however many links lead there; ``absent`` is what is neither file nor folder and may become one."""

    tree: Tree
    evidence: Evidence
    looked_up: set[RepoPath] = field(default_factory=set)
    folders: list[RepoPath] = field(default_factory=list)
    absent: list[RepoPath] = field(default_factory=list)
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
            self.absent.append(place.path)
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
        """DVC keeps data out of git and a pointer in it: beside the path or a folder above it, or in a pipeline's lock."""
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
        for folder in (*parents(path), ""):
            found = self._locked(posixpath.join(folder, _DVC_LOCK), path)
            if found is not None:
                return found
        self.doubts.append((path, Doubt("the input is not in the repository, and no .dvc pointer stands for it")))
        return "absent"

    def _locked(self, lock: RepoPath, path: RepoPath) -> str | None:
        """What a stage of a DVC pipeline made at the path, or at a folder above it, as ``dvc.lock`` has it."""
        self.looked_up.add(lock)
        entry = self.tree.get(lock)
        fact = self.evidence.fact(Kind.YAML, entry.oid) if entry is not None else None
        if entry is None or not isinstance(fact, ValuesFacts):
            return None
        if fact.doubts:
            return f"{entry.mode} {entry.oid}"
        outs: dict[tuple[str, ...], dict[str, str]] = {}
        for leaf in fact.leaves:
            if leaf.path[:1] == ("stages",) and "outs" in leaf.path[:-1]:
                outs.setdefault(leaf.path[:-1], {})[leaf.path[-1]] = leaf.text
        wanted = (path, *parents(path))
        for out in outs.values():
            if posixpath.normpath(posixpath.join(posixpath.dirname(lock), out.get("path", ""))) in wanted:
                said = [f"{name}={value}" for name, value in sorted(out.items()) if name in _DIGESTS]
                return " ".join(("dvc", *said)) if said else f"{entry.mode} {entry.oid}"
        return None


def _passed(path: RepoPath, place: Destination) -> list[RepoPath]:
    """Every path whose change may lead elsewhere, or to something else."""
    end = [] if place.path is None else [place.path]
    return [path, *(link for link, _ in place.passed), *end]


def _trail(place: Destination) -> list[str]:
    return [f"{entry.mode} {entry.oid}" for _, entry in place.passed]


def _is_in_submodule(place: Destination) -> bool:
    """Then its commit, which is in the trail, stands for everything below."""
    return bool(place.passed) and place.passed[-1][1].mode == SUBMODULE
