"""Owns the digest of a file or folder: its bytes, or the canonical listing of all below; refuses to store anything.

Every runner computes it here, so that the same output is the same whoever made it. Runs on Python 3.9 too: images have it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK = 1 << 20
Row = dict[str, Any]
"""One entry of a folder: ``path`` below it, ``digest`` (``None``: a folder), ``size`` in bytes, ``executable``."""


class Unstorable(Exception):
    """An output that cannot be stored faithfully; the text says why."""


@dataclass(frozen=True)
class Stored:
    """``digest`` is ``sha256:<hex>`` of a file's bytes, or of a folder's canonical listing; ``size`` in bytes."""

    digest: str
    size: int


def digest_of(path: Path) -> Stored:
    """Of whatever is there; a link inside a folder counts as where it points."""
    if path.is_dir():
        return summary(rows_of(path, of_file, links=True))
    return of_file(path)


def made(path: Path) -> tuple[Stored, list[Row] | None]:
    """Of an output, and the rows of a folder; ``Unstorable`` for links, sockets and the like."""
    if path.is_symlink():
        raise Unstorable(f"{path.name} is a symbolic link")
    if path.is_dir():
        rows = rows_of(path, of_regular, links=False)
        return summary(rows), rows
    return of_regular(path), None


def of_file(path: Path) -> Stored:
    return Stored(hashed(path), path.stat().st_size)


def of_regular(path: Path) -> Stored:
    """``Unstorable`` unless it is a plain file: reading a pipe would never end."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise Unstorable(f"{path.name} is neither a file nor a folder")
    return of_file(path)


def rows_of(folder: Path, of: Callable[[Path], Stored], *, links: bool) -> list[Row]:
    """Every entry below, in order; ``of`` is asked for files. A link counts as where it points, or is refused."""
    rows: list[Row] = []
    for path in walk(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            if not links:
                raise Unstorable(f"{folder.name}/{name} is a symbolic link")
            target = os.fsencode(os.readlink(path))
            digest = f"link:{hashlib.sha256(target).hexdigest()}"
            rows.append({"path": name, "digest": digest, "size": len(target), "executable": False})
        elif path.is_dir():
            rows.append({"path": name, "digest": None, "size": 0, "executable": False})
        else:
            one = of(path)
            executable = bool(path.stat().st_mode & stat.S_IXUSR)
            rows.append({"path": name, "digest": one.digest, "size": one.size, "executable": executable})
    return rows


def canonical(rows: list[Row]) -> bytes:
    return json.dumps(rows, ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode()


def summary(rows: list[Row]) -> Stored:
    size = sum(int(row["size"]) for row in rows)
    return Stored(f"sha256:{hashlib.sha256(canonical(rows)).hexdigest()}", size)


def hashed(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def state_of(path: Path) -> object:
    """Cheap evidence of a modification: size, time and inode of every file; ``None`` if nothing is there."""
    if not os.path.lexists(path):
        return None
    if not os.path.isdir(path):
        return _file_state(str(path))
    return sorted(
        (os.path.join(folder, name), _file_state(os.path.join(folder, name)))
        for folder, _, names in os.walk(path)
        for name in names
    )


def _file_state(path: str) -> tuple[int, int, int]:
    found = os.lstat(path)
    return found.st_size, found.st_mtime_ns, found.st_ino


def walk(folder: Path) -> Iterator[Path]:
    """Everything below, a folder before what it holds, in the order of the names' bytes; links are not followed."""
    for path in sorted(folder.iterdir(), key=lambda one: os.fsencode(one.name)):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from walk(path)
