"""Owns a module's syntax in one pass: the nodes that tell something, in the order of the text, and what the whole of it means
as text to hash; refuses to interpret either.

One pass in place of several walks: reading new files is most of what deciding a large push costs.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

TELLING = frozenset(
    {ast.Import, ast.ImportFrom, ast.Name, ast.Attribute, ast.Constant, ast.Assign, ast.AugAssign, ast.AnnAssign}
    | {ast.NamedExpr, ast.Call, ast.Dict, ast.arguments}
)
"""The kinds of node that somebody looks at."""
_OWNERS = frozenset({ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef})
"""What may begin with a docstring."""
_SILENT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
"""Fields that follow from where a node stands, or mean nothing."""
_FIELDS: dict[type, tuple[str, ...]] = {
    kind: tuple(name for name in kind._fields if name not in _SILENT)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}
_LEAVES = frozenset({ast.Name, ast.Constant})
"""Half of all nodes: they have one field, and nothing below it."""
_NAMES = {kind: kind.__name__ for kind in _FIELDS}


@dataclass(frozen=True, slots=True)
class Syntax:
    """``nodes`` are those of the kinds in ``TELLING``. ``meaning`` is equal for two modules that differ in layout, comments
    and docstrings at most, and ``docstrings`` tells those that differ in docstrings apart."""

    nodes: list[ast.AST] = field(default_factory=list)
    meaning: list[str] = field(default_factory=list)
    docstrings: list[str] = field(default_factory=list)


def flatten(tree: ast.Module) -> Syntax:
    """Every node before its children. What is written can be read in one way only: a node's kind says which fields follow, a
    list its length, a child its place; so no two modules of other meaning give the same text."""
    found = Syntax()
    write, tell = found.meaning.append, found.nodes.append
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        kind = node.__class__
        fields = _FIELDS.get(kind)
        if fields is None:  # None, or a name, in a list of others
            write(repr(node))
            continue
        write(_NAMES[kind])
        if kind in TELLING:
            tell(node)
            if kind in _LEAVES:
                write(repr(getattr(node, fields[0])))
                continue
        children: list[Any] = []
        for name in fields:
            value: Any = getattr(node, name, None)
            what = value.__class__
            if what is list:
                if kind in _OWNERS and name == "body" and (text := _docstring(value)) is not None:
                    found.docstrings.append(f"{len(found.meaning)} {text!r}")
                    value = value[1:] or [ast.Pass()]
                write(str(len(value)))
                children += value
                continue
            below = _FIELDS.get(what)
            if below is None:
                write(repr(value))
            elif below:
                write(".")
                children.append(value)
            else:  # an operator
                write(_NAMES[what])
        children.reverse()
        waiting += children
    return found


def _docstring(body: list[ast.stmt]) -> str | None:
    first = body[0] if body else None
    if first.__class__ is ast.Expr:
        constant = first.value
        if constant.__class__ is ast.Constant and constant.value.__class__ is str:
            return str(constant.value)
    return None
