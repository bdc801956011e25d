"""Owns repositories made of a mapping, for tests of the pure core; refuses git and the file system."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TypeVar

from service.adapters.reading.globs import compile_globs
from service.domain.facts import Shelf
from service.domain.names import EXECUTABLE, REGULAR, SUBMODULE, SYMLINK, Entry
from service.domain.tree import Tree
from service.ports.reader import Reader

T = TypeVar("T")
Blobs = dict[str, bytes]


class Link(str):
    """The content of a symbolic link: its target."""

    __slots__ = ()


class Commit(str):
    """The content of a submodule: the OID of its commit."""

    __slots__ = ()


class Program(str):
    """A file with its execute bit set."""

    __slots__ = ()


Content = bytes | str
"""A plain string is a regular file; see also :class:`Link`, :class:`Commit` and :class:`Program`."""


def blob_oid(data: bytes) -> str:
    """git's name for a blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def repository(files: Mapping[str, Content]) -> tuple[Tree, Blobs]:
    """A tree of ``files`` and the blobs that it names."""
    entries: dict[str, Entry] = {}
    blobs: Blobs = {}
    for path, content in files.items():
        if isinstance(content, Commit):
            entries[path] = Entry(SUBMODULE, str(content))
            continue
        data = content if isinstance(content, bytes) else content.encode()
        mode = SYMLINK if isinstance(content, Link) else EXECUTABLE if isinstance(content, Program) else REGULAR
        entries[path] = Entry(mode, blob_oid(data))
        blobs[blob_oid(data)] = data
    return Tree(entries), blobs


def empty_shelf() -> Shelf:
    """A shelf that knows no fact yet."""
    return Shelf({}, compile_globs)


def settle(function: Callable[[Shelf], T], shelf: Shelf, blobs: Mapping[str, bytes], reader: Reader) -> T:
    """Ask ``function`` until every fact that its answer needs is on the shelf."""
    for _ in range(1_000):
        answer = function(shelf)
        if not shelf.wanted:
            return answer
        shelf.put(reader.facts([(request, blobs.get(request[1])) for request in sorted(shelf.wanted)]))
    raise AssertionError(f"never settled: {sorted(shelf.wanted)[:5]}")
