"""Owns which file names the interpreter takes for which modules; refuses to look for them.

Some lookups are too many to record path by path: extension modules carry the interpreter and the platform in their names,
and anything may import any module of the standard library. For those a file is also known by one name that is recorded.
"""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Iterator

from service.domain.names import RepoPath

# The order of CPython's FileFinder in one folder: packages, then modules; extensions, then source, then bytecode.
SUFFIXES = (".abi3.so", ".so", ".py", ".pyc")
COMPILED = (".so", ".pyc")
CYTHON = ".pyx"
_EXTENSION = ".so"
_TAGGED = re.compile(r"([^./]+)\.(?:cpython|cp|pypy|graalpy)[\w.+-]*\.so")

_LOADED_FIRST = frozenset(sys.builtin_module_names) | {
    *("abc", "codecs", "encodings", "genericpath", "importlib", "io", "ntpath", "os", "posixpath", "runpy", "site"),
    *("stat", "zipimport"),
}
_SELDOM = frozenset(
    {"antigravity", "code", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "this", "tkinter", "turtle", "turtledemo"}
    | {"venv"}
)
STANDARD = frozenset(
    name for name in sys.stdlib_module_names - _LOADED_FIRST - _SELDOM if not name.startswith("_")
)  # fmt: skip
"""Modules of the standard library that are looked for on ``sys.path``, and that other modules import."""


def untagged(path: RepoPath) -> RepoPath | None:
    """``pkg/a.cpython-311-x86_64-linux-gnu.so`` → ``pkg/a.so``; ``None`` for any other file."""
    folder, name = posixpath.split(path)
    found = _TAGGED.fullmatch(name)
    return posixpath.join(folder, found.group(1) + _EXTENSION) if found else None


def any_standard(folder: RepoPath) -> RepoPath:
    """What is recorded for a folder in which a module of the standard library may be replaced."""
    return posixpath.join(folder, "<standard library>")


def also_known_as(path: RepoPath) -> Iterator[RepoPath]:
    """The recorded names of a file, besides its own."""
    plain = untagged(path)
    if plain is not None:
        yield plain
    folder, name = posixpath.split(path)
    stem, _, rest = name.partition(".")
    if stem == "__init__":
        folder, stem = posixpath.split(folder)
    if rest in ("py", "pyc", "so", "abi3.so") and stem in STANDARD:
        yield any_standard(folder)


def climb(package: tuple[str, ...], levels: int) -> tuple[str, ...] | None:
    """The package that many dots up; above a folder taken as a package are the folders around it."""
    if levels < len(package):
        return package[: len(package) - levels]
    if not package or not package[0].startswith("/"):
        return None
    folder = package[0][1:]
    for _ in range(levels - len(package) + 1):
        if not folder:
            return None
        folder = posixpath.dirname(folder)
    return ("/" + folder,)
