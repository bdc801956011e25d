"""Owns what a module's syntax tells of what it imports, runs, loads and shows; refuses to hash and to execute it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from service.adapters.reading import python_names as names
from service.adapters.reading.python_paths import literal_path, word_paths
from service.domain.facts import INSTANTIATES, Doubt, Import

COMPUTED = "*"
"""Among ``exports``: ``__all__`` is computed, so that any submodule may be in it."""


_REFERRED = frozenset(
    name.rpartition(".")[2]
    for known in (names.DOC_NAMES, names.SOURCE_NAMES, names.IMPORTING, names.IMPORTERS, names.LOADERS, names.EXECUTORS)
    for name in known
).union(name.rpartition(".")[2] for name in names.PROGRAM_STARTERS)
"""Last parts of all names whose mere mention tells something; ``torch.jit`` besides."""
_BELOW_IMPORT_PATHS = ("site.addsitedir", *(f"{path}." for path in names.IMPORT_PATHS))
_BELOW_WALKERS = tuple(one for one in names.WALKERS if one.endswith("."))
_HUB = "torch.hub.load"
_CALLED = frozenset(
    {*names.IMPORTERS, *names.EXECUTORS, *names.LOADERS, *names.WALKERS, *names.INSTANTIATORS, _HUB, "getattr"}
)
_CALLED_BELOW = (*_BELOW_IMPORT_PATHS, "__all__.", *_BELOW_WALKERS, *names.PROGRAMS)
_NAMING = frozenset({ast.Name, ast.Attribute, ast.Call})
"""The kinds of expression that ``_dotted`` can name."""
_BINDING = frozenset({ast.Import, ast.ImportFrom, ast.Assign})


class Walk:
    """Imports wherever they stand, calls that load or run other code, and whatever shows docstrings or source text.

    ``nodes`` are a module's telling ones, each before its children.
    """

    def __init__(self, nodes: Sequence[ast.AST]) -> None:
        self.imports: list[Import] = []
        self.exports: list[str] = []
        self.scripts: list[str] = []
        self.doubts: list[Doubt] = []
        self.reads_docstrings = False
        self.reads_source = False
        self._called: set[ast.AST] = set()
        self._names = _aliases(nodes)
        looks: dict[type[ast.AST], Callable[[Any], None]] = {
            ast.Import: self._import,
            ast.ImportFrom: self._import_from,
            ast.Attribute: self._attribute,
            ast.Constant: self._constant,
            ast.Assign: self._assign,
            ast.AugAssign: self._assign_one,
            ast.AnnAssign: self._assign_one,
            ast.NamedExpr: self._assign_one,
            ast.Call: self._call,
            ast.Dict: self._dict,
        }
        for node in nodes:
            if node.__class__ is ast.Name:  # every other one
                if node.id in self._names or node.id in _REFERRED:
                    self._referred(node)
            elif (look := looks.get(node.__class__)) is not None:
                look(node)

    def _doubt(self, what: str, node: ast.expr | ast.stmt, widen: str) -> None:
        self.doubts.append(Doubt(what, node.lineno, widen))

    def _shows_source(self, node: ast.expr) -> None:
        self.reads_docstrings = self.reads_source = True
        self._doubt("reads source text: comments count too", node, "")

    # imports ----------------------------------------------------------------------------------------------------------

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._imported(Import(alias.name))
            self._bound(alias.asname)

    def _import_from(self, node: ast.ImportFrom) -> None:
        self._imported(Import(node.module or "", tuple(alias.name for alias in node.names), node.level))
        for alias in node.names:
            self._bound(alias.asname or alias.name)

    def _bound(self, name: str | None) -> None:
        if name == "__all__":
            self.exports.append(COMPUTED)

    def _imported(self, one: Import) -> None:
        self.imports.append(one)
        if names.shows_docstrings(one):
            self.reads_docstrings = True

    # names ------------------------------------------------------------------------------------------------------------

    def _attribute(self, node: ast.Attribute) -> None:
        if node.attr in _REFERRED or node.attr.startswith("jit"):
            self._referred(node)

    def _referred(self, node: ast.Name | ast.Attribute) -> None:
        name = self._dotted(node) or ""
        last = name.rpartition(".")[2] or _last(node)
        if last in names.DOC_NAMES or name.startswith("torch.jit"):
            self.reads_docstrings = True
        if last in names.SOURCE_NAMES:
            self._shows_source(node)
        if node in self._called:
            return
        if name in names.IMPORTERS or name in names.LOADERS or last in names.IMPORTING:
            self._doubt(f"hands {last} on", node, "python")
        elif name in names.EXECUTORS or name in names.PROGRAM_STARTERS:
            self._doubt(f"hands {last} on", node, "all")

    def _constant(self, node: ast.Constant) -> None:
        if node.value.__class__ is not str:
            return
        if node.value == "__doc__":
            self.reads_docstrings = True
        elif node.value == "__all__":
            self.exports.append(COMPUTED)

    # assignments ------------------------------------------------------------------------------------------------------

    def _assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._assigned(target, node.value, node)

    def _assign_one(self, node: ast.AugAssign | ast.AnnAssign | ast.NamedExpr) -> None:
        if node.value is not None:
            self._assigned(node.target, node.value, node)

    def _assigned(self, target: ast.expr, value: ast.expr, at: ast.expr | ast.stmt) -> None:
        if isinstance(target, ast.Name) and target.id == "__all__":
            self._exported(value)
        elif isinstance(target, ast.Tuple | ast.List):
            self.exports += [COMPUTED for one in ast.walk(target) if isinstance(one, ast.Name) and one.id == "__all__"]
        while isinstance(target, ast.Subscript | ast.Starred):
            target = target.value
        if any(one.__class__ in _NAMING and self._dotted(one) in names.IMPORT_PATHS for one in (target, value)):
            self._doubt("changes the import path", at, "python")

    def _exported(self, value: ast.expr) -> None:
        found = _strings(value)
        self.exports += found
        if not isinstance(value, ast.List | ast.Tuple) or len(found) != len(value.elts):
            self.exports.append(COMPUTED)

    # calls ------------------------------------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> None:
        function = node.func
        name, last = self._dotted(function) or "", _last(function)
        self._called.add(function)
        if _tells(name, last) or _is_shell(function):
            self._told(node, name, last)
        self._given(node, last)

    def _told(self, node: ast.Call, name: str, last: str) -> None:
        """A call whose name alone says that something may be imported, run or loaded."""
        if name in names.IMPORTERS or last in names.IMPORTING:
            self._dynamic_import(node)
        elif name.startswith(_BELOW_IMPORT_PATHS):
            self._doubt("changes the import path", node, "python")
        elif name.startswith("__all__."):
            self.exports += [*_strings(node), COMPUTED]
        elif name in names.EXECUTORS:
            self.scripts += word_paths(node)
            self._doubt("executes source text", node, "all")
        elif name in names.LOADERS:
            self._load(node, name)
        elif name in names.WALKERS or name.startswith(_BELOW_WALKERS):
            self._doubt(f"{name} may import anything", node, "python")
        elif name in names.INSTANTIATORS and not isinstance(_argument(node, 0, "config"), ast.Dict):
            self._doubt(INSTANTIATES, node, "python")
        elif name == _HUB and _literal(_argument(node, 4, "source")) not in (None, "github"):
            self._doubt(f"{_HUB} may import anything", node, "python")
        elif name.startswith(names.PROGRAMS) or last in names.SHELLS or _is_shell(node.func):
            self.scripts += word_paths(node)
            self._doubt("runs another program", node, "all")
        elif name == "getattr" and _is_hidden(node, self._dotted(node.args[0]) if node.args else None):
            self._doubt(f"hands {_literal(node.args[1])} on", node, "all")

    def _given(self, node: ast.Call, last: str) -> None:
        """What an argument reveals: the import path handed on, or this very file read or copied."""
        own = path = False
        given = [*node.args, *(keyword.value for keyword in node.keywords)] if node.keywords else node.args
        for one in given:
            kind = one.__class__
            if kind is ast.Name:
                own = own or one.id == "__file__"  # type: ignore[attr-defined]
                path = path or self._names.get(one.id) == "sys.path"  # type: ignore[attr-defined]
            elif kind in _NAMING:
                path = path or self._dotted(one) == "sys.path"
        if path and last not in names.READERS_OF_A_LIST:
            self._doubt("hands the import path on", node, "python")
        if (own and last not in names.PATH_FUNCTIONS) or (
            last in ("read_text", "read_bytes", "open")
            and isinstance(node.func, ast.Attribute)
            and literal_path(node.func.value) == "__file__"
        ):
            self._shows_source(node)

    def _load(self, node: ast.Call, name: str) -> None:
        position, keyword = names.LOADERS[name]
        argument = _argument(node, position, keyword)
        path = literal_path(argument) if argument is not None else None
        if path is None or path.startswith("/"):
            self._doubt(f"{name} loads a computed path", node, "python")
        else:
            self.scripts.append(path)

    def _dynamic_import(self, node: ast.Call) -> None:
        """``import_module("a.b")`` or ``__import__("a", …, ["b"], 1)`` with literal arguments, else a doubt."""
        called = self._dotted(node.func) or ""
        statement = _last(node.func) == "__import__"
        name = _literal(_argument(node, 0, "name", "mod_name", "path", "fullname", "import_name", "dotted_path"))
        if not isinstance(name, str):
            self._doubt("computes the name of an import", node, "python")
            return
        name = name.partition(":")[0]  # an object after the colon, as entry points write it
        module = name.lstrip(".")
        level = len(name) - len(module)
        listed: tuple[str, ...] = ("__main__",) if called == "runpy.run_module" else ()
        if statement:
            fromlist = _argument(node, 3, "fromlist")
            listed = tuple(_strings(fromlist)) if fromlist else ()
            given = _literal(_argument(node, 4, "level"))
            level = given if isinstance(given, int) else 0
        package = _argument(node, 1, "package")
        if level and not statement and package is not None:
            literal = _literal(package)
            if isinstance(literal, str):
                parts = literal.split(".")
                module = ".".join([*parts[: len(parts) - level + 1], module]).strip(".")
                level = 0
            elif isinstance(package, ast.Name) and package.id == "__name__":
                if level > 1:  # a module that takes its own name for its package climbs one level less
                    self.imports.append(Import(module, listed, level - 1))
            elif not (isinstance(package, ast.Name) and package.id == "__package__"):
                self._doubt("computes the package of an import", node, "python")
                return
        self.imports.append(Import(module, listed, level))

    def _dict(self, node: ast.Dict) -> None:
        for key, value in zip(node.keys, node.values, strict=True):
            target = _literal(value)
            if _literal(key) == "_target_" and isinstance(target, str):
                self.imports.append(Import(target))

    def _dotted(self, node: ast.AST) -> str | None:
        """``importlib.import_module`` for whatever local name it goes by."""
        if node.__class__ is ast.Name:  # nearly always
            return self._names.get(node.id, node.id)
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        base = self._names.get(node.id, node.id) if isinstance(node, ast.Name) else _loaded(node)
        return ".".join([base, *reversed(parts)]) if base else None


@lru_cache(4_096)
def _tells(name: str, last: str) -> bool:
    """Whether a call of this name is one of those that ``Walk._told`` looks into; most are not."""
    return name in _CALLED or last in names.IMPORTING or last in names.SHELLS or name.startswith(_CALLED_BELOW)


def _aliases(nodes: Sequence[ast.AST]) -> dict[str, str]:
    """Local name → what was imported under it, anywhere in the file: a function may use what is imported further down."""
    found: dict[str, str] = {}
    starred: list[str] = []
    for node in nodes:
        if node.__class__ not in _BINDING:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.Assign) and (name := _loaded(node.value)):
            found |= {target.id: name for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                starred += [node.module] if alias.name == "*" else []
    for module in starred:  # `from subprocess import *` brings `run`
        for name in (*names.IMPORTERS, *names.LOADERS, *names.WALKERS, *names.PROGRAM_STARTERS, *names.IMPORT_PATHS):
            if name.rpartition(".")[0] == module:
                found.setdefault(name.rpartition(".")[2], name)
    return found


def _loaded(node: ast.AST) -> str | None:
    """The module that ``__import__("a.b")`` (``a``) or ``import_module("a.b")`` (``a.b``) returns."""
    if not isinstance(node, ast.Call) or _last(node.func) not in names.IMPORTING or not node.args:
        return None
    name = _literal(node.args[0])
    if not isinstance(name, str):
        return None
    return name.partition(".")[0] if _last(node.func) == "__import__" and len(node.args) == 1 else name


def _last(node: ast.expr) -> str:
    kind = node.__class__
    return node.id if kind is ast.Name else node.attr if kind is ast.Attribute else ""  # type: ignore[attr-defined]


def _argument(node: ast.Call, position: int, *keywords: str) -> ast.expr | None:
    if len(node.args) > position:
        return node.args[position]
    return next((keyword.value for keyword in node.keywords if keyword.arg in keywords), None)


def _literal(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _strings(node: ast.AST) -> list[str]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def _is_shell(node: ast.expr) -> bool:
    """``get_ipython().system``, which is what ``!`` becomes."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr in ("system", "getoutput", "magic", "ex", "ev")
        and isinstance(node.value, ast.Call)
        and _last(node.value.func) == "get_ipython"
    )


def _is_hidden(node: ast.Call, of: str | None) -> bool:
    """``getattr(sys, "path")`` and the like."""
    name = _literal(node.args[1]) if len(node.args) > 1 else None
    return name in names.HIDDEN or f"{of}.{name}" in names.IMPORT_PATHS
