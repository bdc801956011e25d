"""Owns which repository files a command can reach, by the interpreter's own finder order; refuses to parse any of them.

Every path asked is recorded, hits and misses alike: a file that appears where a lookup missed yesterday may shadow what
was found, and that is a change of this component.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from service.domain.facts import Doubt, Evidence, Import, Kind, PythonFacts, TextFacts
from service.domain.names import SUBMODULE, SYMLINK, Entry, RepoPath
from service.domain.tree import Tree, parents

_LINKS_FOLLOWED = 20
_MODULE_FILES = ("{}/__init__.py", "{}.so", "{}.abi3.so", "{}.py", "{}.pyc", "{}.pyx")
_PYTHONS = ("python", "python3")
_STARTUP = ("sitecustomize", "usercustomize")


@dataclass(frozen=True, slots=True)
class Closure:
    """The files a component's code consists of, each with its value: mode and semantic hash (Python, notebooks) or OID.

    ``looked_up`` holds every file path asked and ``folders`` every folder whose existence was asked.
    """

    files: tuple[tuple[RepoPath, str], ...]
    doubts: tuple[tuple[RepoPath, Doubt], ...]
    looked_up: frozenset[RepoPath]
    folders: frozenset[RepoPath]


def trace(command: str, extra: Sequence[RepoPath], targets: Sequence[str], tree: Tree, evidence: Evidence) -> Closure:
    """The closure of ``command`` as the runner executes it: in the repository's root, with the root and then ``src`` on
    ``PYTHONPATH``. ``extra`` files count besides (with their imports), ``targets`` are dotted names that are imported.
    """
    search = _Search(tree, evidence)
    search.start(command)
    for path in extra:
        search.include(path)
    for target in targets:
        search.dotted(target)
    search.run()
    return search.closure()


class _Search:
    """One breadth-first walk."""

    def __init__(self, tree: Tree, evidence: Evidence) -> None:
        self.tree = tree
        self.evidence = evidence
        self.roots: list[RepoPath] = [""]
        self.found: dict[RepoPath, Entry] = {}
        self.facts: dict[RepoPath, PythonFacts] = {}
        self.waiting: list[RepoPath] = []
        self.doubts: list[tuple[RepoPath, Doubt]] = []
        self.looked_up: set[RepoPath] = set()
        self.folders: set[RepoPath] = set()
        self.steps: dict[tuple[tuple[RepoPath, ...], str], list[RepoPath]] = {}

    # what the command starts ------------------------------------------------------------------------------------------

    def start(self, command: str) -> None:
        if self._is_folder("src"):
            self.roots.append("src")
        for name in _STARTUP:  # these are imported by the interpreter before the script's folder is on the path
            self._import(self.roots, name)
        words = _words(command)
        if words is None:
            self.doubts.append(
                ("refit.yaml", Doubt(f"the command {command!r} cannot be split into words", widen="all"))
            )
            return
        script, module = _python_entry(words)
        if module:
            self.dotted(module, run=True)
        elif script:
            self.roots.insert(0, posixpath.dirname(posixpath.normpath(script)))
            if self.include(script) is None:
                self.doubts.append((script, Doubt("the script is not in the repository")))
        else:
            what = f"`{words[0] if words else command}` may run any file"
            self.doubts.append(("refit.yaml", Doubt(what, widen="all")))
        for word in words:
            plain = posixpath.normpath(word) if word and not word.startswith(("-", "/")) else ""
            if plain and plain != "." and not plain.startswith("../") and plain != posixpath.normpath(script or "."):
                self.include(plain)

    def dotted(self, name: str, *, run: bool = False) -> None:
        """Import ``a.b.C``: every prefix that is a module. ``run``: as ``python -m`` does, with ``__main__``."""
        self._import(self.roots, name)
        if run:
            self._import(self.roots, f"{name}.__main__")

    def include(self, path: RepoPath) -> RepoPath | None:
        """Take a file into the closure, through links; the path it really has, or ``None`` if it is not there."""
        at = posixpath.normpath(path)
        for _ in range(_LINKS_FOLLOWED):
            self.looked_up.add(at)
            entry = self.tree.get(at)
            if entry is None:
                moved = self._through_folder_link(at)
                if moved is None:
                    return None
                at = moved
            elif entry.mode == SYMLINK:
                self.found[at] = entry
                at = self._follow(at, entry)
                if at.startswith(("../", "/")):
                    self.doubts.append((path, Doubt("links out of the repository")))
                    return None
            else:
                if at not in self.found:
                    self.found[at] = entry
                    self.waiting.append(at)
                return at
        self.doubts.append((path, Doubt("a cycle of symbolic links")))
        return None

    def _follow(self, path: RepoPath, entry: Entry) -> RepoPath:
        fact = self.evidence.fact(Kind.LINK, entry.oid)
        target = fact.value if isinstance(fact, TextFacts) else ""
        return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))

    def _through_folder_link(self, path: RepoPath) -> RepoPath | None:
        """Where a path leads whose folder is a link; below a submodule, its commit stands for everything."""
        if not self.tree.links:
            return None
        for above in parents(path):
            if above in self.tree.links:
                entry = self.tree.get(above)
                assert entry is not None, "tree.links names only what the tree has"
                self.looked_up.add(above)
                self.found[above] = entry
                if entry.mode == SUBMODULE:
                    return None
                moved = posixpath.join(self._follow(above, entry), posixpath.relpath(path, above))
                return moved if not moved.startswith(("../", "/")) else None
        return None

    # following imports ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        while self.waiting:
            path = self.waiting.pop()
            entry = self.found[path]
            kind = kind_of(path)
            if kind is None or entry.mode == SUBMODULE:
                continue
            fact = self.evidence.fact(kind, entry.oid)
            if isinstance(fact, PythonFacts):
                self.facts[path] = fact
                self.doubts += [(path, doubt) for doubt in fact.doubts]
                for one in fact.imports:
                    self._follow_import(path, one)
                for script in fact.scripts:
                    self._script(path, script)

    def _follow_import(self, path: RepoPath, one: Import) -> None:
        if one.level:
            base: RepoPath | None = posixpath.dirname(path)
            for _ in range(one.level - 1):
                base = posixpath.dirname(base) if base else None
            if base is None:
                return
            places = [base]
            if one.module:
                places = self._import(places, one.module)
            else:
                self.include(posixpath.join(base, "__init__.py"))
        else:
            places = self._import(self.roots, one.module)
        for name in one.names:
            if name == "*":
                for place in places:
                    self._star(place)
            else:
                self._import(places, name)

    def _star(self, package: RepoPath) -> None:
        """``from package import *`` imports the submodules that a literal ``__all__`` names."""
        init = posixpath.join(package, "__init__.py")
        fact = self.facts.get(init)
        entry = self.tree.get(init)
        if fact is None and entry is not None:
            asked = self.evidence.fact(Kind.PYTHON, entry.oid)
            fact = asked if isinstance(asked, PythonFacts) else None
        for name in fact.exports if fact else ():
            self._import([package], name)

    def _import(self, places: Sequence[RepoPath], name: str) -> list[RepoPath]:
        """Import a dotted name from a search path; the folders in which its submodules would be looked for."""
        inner = list(places)
        for segment in name.split("."):
            if not inner:
                return []
            asked = (tuple(inner), segment)
            if asked not in self.steps:
                self.steps[asked] = self._find(inner, segment)
            inner = self.steps[asked]
        return inner

    def _find(self, places: Sequence[RepoPath], name: str) -> list[RepoPath]:
        """One step of ``PathFinder``: in each place a package, then a module, then a portion of a namespace package."""
        portions: list[RepoPath] = []
        for place in places:
            stem = posixpath.join(place, name)
            for pattern in _MODULE_FILES:
                path = pattern.format(stem)
                if self.include(path) is not None:
                    return [stem] if path.endswith("/__init__.py") else []
                if any(above in self.found and self.found[above].mode == SUBMODULE for above in parents(path)):
                    return []
            if self._is_folder(stem):
                portions.append(stem)
        return portions

    def _is_folder(self, path: RepoPath) -> bool:
        self.folders.add(path)
        if self.tree.is_folder(path):
            return True
        if path in self.tree.links:
            entry = self.tree.get(path)
            assert entry is not None, "tree.links names only what the tree has"
            self.found[path] = entry
            return entry.mode == SUBMODULE or self.tree.is_folder(self._follow(path, entry))
        return False

    def _script(self, path: RepoPath, script: str) -> None:
        """A file that the code runs by a literal path: from the root, or beside the file that names it."""
        for place in ("", posixpath.dirname(path)):
            at = posixpath.normpath(posixpath.join(place, script))
            if not at.startswith(("../", "/")) and self.include(at) is not None:
                return

    # the answer -------------------------------------------------------------------------------------------------------

    def closure(self) -> Closure:
        keep = any(fact.reads_docstrings for fact in self.facts.values())
        files = []
        for path, entry in sorted(self.found.items()):
            fact = self.facts.get(path)
            value = entry.oid if fact is None else fact.kept if keep else fact.blanked
            files.append((path, f"{entry.mode} {value}"))
        return Closure(
            tuple(files), tuple(dict.fromkeys(self.doubts)), frozenset(self.looked_up), frozenset(self.folders)
        )


def kind_of(path: RepoPath) -> Kind | None:
    """How a file of a closure is read; ``None``: by its bytes."""
    if path.endswith((".py", ".pyw")):
        return Kind.PYTHON
    return Kind.NOTEBOOK if path.endswith(".ipynb") else None


def _words(command: str) -> list[str] | None:
    try:
        return shlex.split(command)
    except ValueError:
        return None


def _python_entry(words: Iterable[str]) -> tuple[str | None, str | None]:
    """The script, or the module after ``-m``, that a command hands to Python; neither for any other command."""
    rest: Iterator[str] = iter(words)
    first = next(rest, "")
    if first.endswith((".py", ".ipynb")):
        return first, None
    if posixpath.basename(first) not in _PYTHONS:
        return None, None
    for word in rest:
        if word == "-m":
            return None, next(rest, None)
        if word in ("-X", "-W"):
            next(rest, None)
        elif word == "-c":
            return None, None
        elif not word.startswith("-"):
            return word, None
    return None, None
