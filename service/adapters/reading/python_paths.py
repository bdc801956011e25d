"""Owns expressions → the literal paths that they are; refuses whatever a program would have to compute.

A path from the repository's root is written as it is. One from the file itself starts with ``__file__``:
``Path(__file__).parent / "a.txt"`` is ``__file__/../a.txt``; one from a package with ``__package__:`` and its name.
"""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Callable, Mapping

_CLASSES = frozenset({"Path", "PurePath", "PosixPath", "PurePosixPath"})
_SAME = frozenset({"resolve", "absolute", "abspath", "realpath", "normpath", "fspath", "str", "expanduser", "as_posix"})
_DEEPEST = 50
FROM_PACKAGE = "__package__:"


def literal_path(node: ast.AST, known: Mapping[str, ast.expr] | None = None, depth: int = 0) -> str | None:
    """The path that an expression is, if all of it is literal; ``known`` are names bound once, to what."""
    if depth > _DEEPEST:
        return None

    def inner(one: ast.AST) -> str | None:
        return literal_path(one, known, depth + 1)

    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Call(
            func=ast.Name(id="files") | ast.Attribute(attr="files"), args=[ast.Name(id="__package__" | "__name__")]
        ):
            return "__file__/.."
        case ast.Name(id="__file__"):
            return "__file__"
        case ast.Name(id=name) if known and name in known:
            return inner(known[name])
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _joined([inner(left), inner(right)])
        case ast.Attribute(value=value, attr="parent"):
            return _joined([inner(value), ".."])
        case ast.Subscript(value=ast.Attribute(value=value, attr="parents"), slice=ast.Constant(value=int(up))):
            return _joined([inner(value), *[".."] * (min(up, _DEEPEST) + 1)])
        case ast.Call(func=func, args=[*arguments], keywords=[]):
            return _call(func, [inner(one) for one in arguments], inner)
    return None


def word_paths(node: ast.AST) -> list[str]:
    """Literal paths of Python files among a call's arguments, also inside a command line."""
    strings = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    words = [word for text in strings for word in text.split()]
    return [word for word in words if word.endswith(".py") and not word.startswith("/")]


def _call(func: ast.expr, arguments: list[str | None], inner: Callable[[ast.AST], str | None]) -> str | None:
    name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
    of = inner(func.value) if isinstance(func, ast.Attribute) else None
    if name in _CLASSES and arguments:
        return _joined(arguments)
    if name in ("join", "joinpath"):  # os.path.join(a, b) or a.joinpath(b); never ", ".join(…)
        if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Constant):
            return None
        return _joined([of, *arguments] if name == "joinpath" else arguments)
    if name == "files" and len(arguments) == 1:
        return None if arguments[0] is None else f"{FROM_PACKAGE}{arguments[0]}/"
    if name == "dirname" and len(arguments) == 1:
        return _joined([arguments[0], ".."])
    if name in _SAME:
        return of if isinstance(func, ast.Attribute) and not arguments else arguments[0] if arguments else None
    return None


def _joined(parts: list[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    return posixpath.join(*known) if known and len(known) == len(parts) else None
