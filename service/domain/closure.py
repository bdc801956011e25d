"""Owns which repository files a command can reach, by the interpreter's own finder order; refuses to parse any of them.

Every path asked is recorded, hits and misses alike: a file that appears where a lookup missed yesterday may shadow what
was found, and that is a change of this component.
"""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.command import Command, parse_command
from service.domain.facts import INSTANTIATES, Doubt, Evidence, Import, Kind, PythonFacts, Read
from service.domain.links import Destination, follow
from service.domain.modules import COMPILED, CYTHON, SUFFIXES, any_standard, climb
from service.domain.names import Entry, RepoPath
from service.domain.opened import Declared, below, folder_of, places
from service.domain.tree import Tree

_STARTUP = ("sitecustomize", "usercustomize")
_DEEPEST_NAME = 100
_MOST_LOOKUPS = 200_000

_Name = tuple[str, ...]
"""A module's dotted name, split. A first segment ``/src/tools`` stands for a folder taken as a package: code that is run
or declared by its path has no package name."""
_Roots = tuple[RepoPath, ...]
"""The part of ``sys.path`` that lies in the repository."""


@dataclass(frozen=True, slots=True)
class Closure:
    """The files a component's code consists of, each with its value: mode and semantic hash (Python, notebooks) or OID.

    ``looked_up`` holds every file path asked and ``folders`` every folder whose existence was asked. ``by_bytes`` are the
    files that count by their OID whatever they are. ``namespaces`` are the folders that an import takes for a package
    although no file makes them one: while they are there, it succeeds. ``opened`` are files that the code opens by a
    literal path, ``prefixes`` whole folders that it reads. ``code`` was read as Python, and counts with its docstrings if
    something ``keeps_docstrings``.
    """

    files: tuple[tuple[RepoPath, str], ...]
    doubts: tuple[tuple[RepoPath, Doubt], ...]
    looked_up: frozenset[RepoPath]
    folders: frozenset[RepoPath]
    by_bytes: frozenset[RepoPath] = frozenset()
    namespaces: frozenset[RepoPath] = frozenset()
    opened: frozenset[RepoPath] = frozenset()
    prefixes: frozenset[str] = frozenset()
    code: frozenset[RepoPath] = frozenset()
    keeps_docstrings: bool = False


def trace(
    command: str,
    extra: Sequence[RepoPath],
    targets: Sequence[str],
    tree: Tree,
    evidence: Evidence,
    declared: Declared | None = None,
    root: RepoPath | None = None,
) -> Closure:
    """The closure of ``command`` as the runner executes it: in the repository's root, with the root and then ``src`` on
    ``PYTHONPATH``; or as a container does that has only what lies below ``root``. ``extra`` files count besides (with their
    imports), ``targets`` are dotted names that are imported. Without a command only these count.
    """
    search = _Search(tree, evidence, declared or Declared(), root)
    roots = search.start(parse_command(command)) if command else (root or "",)
    for path in extra:
        search.include(path, roots)
    for target in targets:
        search.target(target, roots)
    search.run()
    return search.closure()


def kind_of(path: RepoPath) -> Kind | None:
    """How a file of a closure is read; ``None``: by its bytes."""
    if path.endswith((".py", ".pyw")):
        return Kind.PYTHON
    return Kind.NOTEBOOK if path.endswith(".ipynb") else None


@dataclass(frozen=True, slots=True)
class _Reached:
    """A file to read: its path without links, the import path it runs under, and the package its dots start from. The
    same file may be reached under two names, and then imports twice."""

    path: RepoPath
    kind: Kind | None
    roots: _Roots
    package: _Name


class _Search:
    """One walk, breadth first."""

    def __init__(self, tree: Tree, evidence: Evidence, declared: Declared, root: RepoPath | None) -> None:
        self._declared = declared
        self._opened: set[RepoPath] = set()
        self._prefixes: set[str] = set()
        self._tree = tree
        self._evidence = evidence
        self._found: dict[RepoPath, Entry] = {}
        self._facts: dict[RepoPath, PythonFacts] = {}
        self._raw: set[RepoPath] = set()
        self._waiting: deque[_Reached] = deque()
        self._reached: set[_Reached] = set()
        self._doubts: list[tuple[RepoPath, Doubt]] = []
        self._looked_up: set[RepoPath] = set()
        self._folders: set[RepoPath] = set()
        self._namespaces: set[RepoPath] = set()
        self._packages: dict[tuple[_Roots, _Name], _Roots] = {}
        self._has_targets = False
        self._inits: dict[tuple[_Roots, _Name], RepoPath] = {}
        self._path: _Roots = (root,) if root is not None else ("", "src") if self._is_folder("src") else ("",)

    # what the command starts ------------------------------------------------------------------------------------------

    def start(self, command: Command) -> _Roots:
        """Take in what the command names; the import path of its Python program, if it is one."""
        for name in _STARTUP:  # the interpreter imports these before the script's folder is on the path
            self._import(self._path, (name,))
        self._doubts += [("refit.yaml", doubt) for doubt in command.doubts]
        roots = self._path
        if command.script is not None:
            roots = self._main(command.script)
        elif command.module is not None:
            self._run_module(command.module)
        self._standard(roots)
        for word in command.arguments:
            at = self._as_program(word)
            if command.opaque and at is not None:
                self._raw.add(at)  # whatever reads it may mind its comments too
            self.include(word, roots)
            self._everything_in(word, roots)
        return roots

    def _main(self, script: RepoPath) -> _Roots:
        """A script, or a folder with ``__main__.py``; the import path that it gets."""
        folder = script if self._is_folder(script) else None
        if folder is not None:
            script = posixpath.join(script, "__main__.py")
        if self._as_program(script, kind_of(script) or Kind.PYTHON) is None:
            self._doubts.append((script, Doubt("the script is not in the repository")))
            if folder is not None:
                self._namespaces.add(folder)  # the interpreter fails otherwise if it goes
        return self._roots_of(script)

    def _run_module(self, module: str) -> None:
        """As ``python -m``: the current folder, which is the root, comes first on the path."""
        before = len(self._reached)
        self._import(self._path, (*module.split("."), "__main__"))
        if len(self._reached) == before:  # pytest, torch.distributed.run, …
            self._doubts.append(("refit.yaml", Doubt(f"`-m {module}` may run any file", widen="all")))

    def _as_program(self, path: RepoPath, kind: Kind | None = None) -> RepoPath | None:
        return self._take(path, self._roots_of(path), ("/" + posixpath.dirname(path),), kind)

    def _roots_of(self, script: RepoPath) -> _Roots:
        """The interpreter resolves links before it puts the script's folder onto the path."""
        at = follow(script, self._tree, self._evidence).path
        return (posixpath.dirname(script if at is None else at), *self._path)

    def target(self, name: str, roots: _Roots) -> None:
        """Import what Hydra's ``_target_`` names: every prefix of ``a.b.C`` that is a module."""
        self._has_targets = True
        self._import(roots, tuple(name.split(".")))

    def include(self, path: RepoPath, roots: _Roots) -> RepoPath | None:
        """Take a file into the closure by its path, through links; ``None`` if it is not there."""
        return self._take(path, roots, ("/" + posixpath.dirname(posixpath.normpath(path)),))

    def _everything_in(self, folder: RepoPath, roots: _Roots) -> None:
        """A folder that the command is given: every file below counts."""
        place = self._follow(folder)
        if place.path and self._is_folder(place.path):
            for path in self._tree.under(place.path + "/"):
                self.include(path, roots)

    # lookups ----------------------------------------------------------------------------------------------------------

    def _take(self, path: RepoPath, roots: _Roots, package: _Name, kind: Kind | None = None) -> RepoPath | None:
        place = self._follow(path)
        self._looked_up.add(posixpath.normpath(path))
        if place.path is None:
            return None
        self._looked_up.add(place.path)
        entry = self._tree.get(place.path)
        if entry is None:
            return None
        self._found[place.path] = entry
        reached = _Reached(place.path, kind or kind_of(place.path), roots, package)
        if reached not in self._reached:
            self._reached.add(reached)
            self._waiting.append(reached)
        return place.path

    def _is_folder(self, path: RepoPath) -> bool:
        place = self._follow(path)
        self._folders.add(path)
        if place.path is None:
            return False
        self._folders.add(place.path)
        return self._tree.is_folder(place.path)

    def _follow(self, path: RepoPath) -> Destination:
        place = follow(path, self._tree, self._evidence)
        for link, entry in place.passed:
            self._found[link] = entry
            self._looked_up.add(link)
        if place.doubt is not None and place.passed:
            self._doubts.append(place.doubt)
        return place

    # following imports ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        while self._waiting:
            if len(self._looked_up) > _MOST_LOOKUPS:
                self._doubts.append(("refit.yaml", Doubt("its code reaches more than Refit follows", widen="all")))
                break
            at = self._waiting.popleft()
            if at.path.endswith((*COMPILED, CYTHON)):
                what = "is compiled" if at.path.endswith(COMPILED) else "is Cython"
                self._doubts.append((at.path, Doubt(f"{what}: what it imports cannot be seen", widen="python")))
            fact = self._evidence.fact(at.kind, self._found[at.path].oid) if at.kind else None
            if isinstance(fact, PythonFacts):
                self._facts[at.path] = fact
                self._doubts += [(at.path, doubt) for doubt in fact.doubts if not self._is_answered(doubt)]
                for one in fact.imports:
                    self._follow_import(at, one)
                for script in fact.scripts:
                    self._script(at, script)
                for read in fact.reads:
                    self._read(at, read)

    def _is_answered(self, doubt: Doubt) -> bool:
        """What Hydra instantiates is known where the declared parameters name it."""
        return doubt.what == INSTANTIATES and self._has_targets

    def _follow_import(self, at: _Reached, one: Import) -> None:
        base = climb(at.package, one.level - 1) if one.level else ()
        if base is None:
            return  # beyond the top-level package: ImportError
        name = (*base, *one.module.split(".")) if one.module else base
        if not name:
            return
        packages = self._import(at.roots, name)
        for each in one.names if packages else ():
            if each == "*":
                self._star(at.roots, name)
            else:
                self._import(at.roots, (*name, each))

    def _star(self, roots: _Roots, name: _Name) -> None:
        """``from package import *`` imports the submodules that ``__all__`` names: any of them, if it is computed."""
        init = self._inits.get((roots, name))
        fact = self._evidence.fact(Kind.PYTHON, self._found[init].oid) if init else None
        if not isinstance(fact, PythonFacts):
            return
        for export in fact.exports:
            for child in self._submodules(roots, name) if export == "*" else (export,):
                self._import(roots, (*name, child))

    def _submodules(self, roots: _Roots, name: _Name) -> list[str]:
        found = set()
        for place in self._packages[roots, name]:
            self._folders.add(place)
            below = place + "/" if place else ""
            for path in self._tree.under(below):
                found.add(path[len(below) :].partition("/")[0].partition(".")[0])
        return sorted(found)

    def _import(self, roots: _Roots, name: _Name) -> _Roots:
        """Import every prefix of a name; the folders in which its submodules would be looked for."""
        places = roots
        for end in range(1, min(len(name), _DEEPEST_NAME) + 1):
            at = (roots, name[:end])
            if at not in self._packages:
                self._packages[at] = self._find(places, roots, name[:end])
            places = self._packages[at]
            if not places:
                break
        return places

    def _find(self, places: _Roots, roots: _Roots, name: _Name) -> _Roots:
        """One step of ``PathFinder``: in each place a package, then a module, then a portion of a namespace package.
        A package or module in a later place beats the portions before it."""
        last = name[-1]
        if len(name) == 1 and last.startswith("/"):
            self._take(posixpath.join(last[1:], "__init__.py"), roots, name)
            return (last[1:],)
        if not last or "/" in last:
            return ()
        portions: list[RepoPath] = []
        for place in places:
            stem = posixpath.join(place, last)
            is_folder = self._is_folder(stem)  # recorded: a folder that appears may hold an __init__
            for suffix in SUFFIXES if is_folder else ():
                init = self._take(f"{stem}/__init__{suffix}", roots, name)
                if init is not None:
                    self._inits[roots, name] = init
                    return (stem,)
            if self._tagged(f"{stem}/__init__.so", roots, name):
                return (stem,)
            tagged = self._tagged(f"{stem}.so", roots, name[:-1])
            if any(self._take(stem + suffix, roots, name[:-1]) is not None for suffix in SUFFIXES) or tagged:
                return ()
            self._take(stem + CYTHON, roots, name[:-1])  # Cython source: counts, but wins over nothing
            if is_folder:
                portions.append(stem)
        self._namespaces.update(portions)
        return tuple(portions)

    def _tagged(self, path: RepoPath, roots: _Roots, package: _Name) -> bool:
        """Take extension modules that are built for one interpreter: which one runs is not known here."""
        folder = follow(posixpath.dirname(path), self._tree, self._evidence).path
        name = posixpath.basename(path)
        known = () if folder is None else self._tree.tagged.get(posixpath.join(folder, name), ())
        return [self._take(one, roots, package) for one in known] != []

    def _standard(self, roots: _Roots) -> None:
        """A module of the repository that has a name of the standard library's is what every import of it gets, those of
        the libraries too."""
        for folder in dict.fromkeys(roots):
            self._looked_up.add(any_standard(folder))
            for name, path in self._tree.standard(folder):
                self._import((folder,), (name,))
                what = Doubt(f"takes the place of {name} of the standard library, for other libraries too")
                self._doubts.append((path, what))

    def _script(self, at: _Reached, script: str) -> None:
        """A file that the code runs by a literal path: from the root, or beside the file that names it; if it is in both
        places, either may be meant. It may be run in place (``runpy``, ``exec``) or as a program with a ``sys.path`` of
        its own: both count."""
        paths = dict.fromkeys(posixpath.normpath(path) for path in places(at.path, script))
        found = [path for path in paths if self.include(path, at.roots) is not None]
        for path in found:
            self._as_program(path)
        if not found:
            self._doubts.append((at.path, Doubt(f"runs {script}, which is not where it is looked for", widen="python")))

    def _read(self, at: _Reached, read: Read) -> None:
        """A file or folder that the code opens by a literal path; what is declared counts as it is declared."""
        if read.flag in self._declared.options:
            return
        if read.package:
            folders = self._import(at.roots, tuple(read.package.split(".")))
            paths = [posixpath.normpath(posixpath.join(folder, read.path)) for folder in folders]
        else:
            paths = [posixpath.normpath(places(at.path, read.path)[0])]
        for path in paths:
            for one in self._below(path) if read.folder else (path,):
                found = self.include(one, at.roots) if one not in self._declared.paths else None
                if found is not None:
                    self._opened.add(found)
                    self._raw.add(found)

    def _below(self, path: RepoPath) -> list[RepoPath]:
        place = self._follow(folder_of(path)).path
        if place is None or not self._is_folder(folder_of(path)):
            return []
        start, found = below(path, place, self._tree, self._evidence, self._declared)
        if start or folder_of(path) != path:
            self._prefixes.add(start)
        return found

    # the answer -------------------------------------------------------------------------------------------------------

    def closure(self) -> Closure:
        keep = any(fact.reads_docstrings for fact in self._facts.values())
        if any(fact.reads_source for fact in self._facts.values()):
            self._raw.update(self._facts)
        files = []
        for path, entry in sorted(self._found.items()):
            fact = None if path in self._raw else self._facts.get(path)
            value = entry.oid if fact is None else fact.kept if keep else fact.blanked
            files.append((path, f"{entry.mode} {value}"))
        return Closure(
            tuple(files),
            tuple(dict.fromkeys(self._doubts)),
            frozenset(self._looked_up),
            frozenset(self._folders),
            frozenset(self._raw),
            frozenset(self._namespaces),
            frozenset(self._opened),
            frozenset(self._prefixes),
            frozenset(self._facts),
            keep,
        )
