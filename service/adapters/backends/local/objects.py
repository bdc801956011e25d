"""Owns the content-addressed store of what steps made: written atomically, read-only, copied out; refuses to overwrite."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Unstorable(Exception):
    """An output that cannot be stored faithfully; the text says why."""


@dataclass(frozen=True)
class Stored:
    """``digest`` is ``sha256:<hex>`` of a file's bytes, or of a folder's canonical listing; ``size`` in bytes."""

    digest: str
    size: int


class Objects:
    """Files by the SHA-256 of their bytes; folders by that of their listing."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def holds(self, digest: str) -> bool:
        """Whether all of it is there."""
        if not _DIGEST.fullmatch(digest):
            return False
        if self._file(digest).exists():
            return True
        try:
            rows = json.loads(self._listing(digest).read_bytes())
        except (FileNotFoundError, ValueError):
            return False
        return all(row["digest"] is None or self._file(row["digest"]).exists() for row in rows)

    def put(self, path: Path) -> Stored:
        """Store a file or a folder; ``Unstorable`` for links, sockets and the like."""
        if path.is_symlink():
            raise Unstorable(f"{path.name} is a symbolic link")
        return self._put_folder(path) if path.is_dir() else self._put_file(path)

    def digest(self, path: Path) -> Stored:
        """What ``put`` would say, without storing; a link inside a folder counts as where it points."""
        if path.is_dir():
            return _summary(self._rows(path, store=False))
        return Stored(_hash(path), path.stat().st_size)

    def copy(self, digest: str, target: Path) -> None:
        """Write an object out, read-only; ``FileNotFoundError`` if it is gone. A copy, since a step running as root could
        write through a hard link."""
        listing = self._listing(digest)
        if not listing.exists():
            _copy(self._file(digest), target, 0o444)
            return
        target.mkdir()
        for row in json.loads(listing.read_bytes()):
            path = target / row["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            if row["digest"] is None:
                path.mkdir(exist_ok=True)
            else:
                _copy(self._file(row["digest"]), path, 0o555 if row["executable"] else 0o444)

    def _put_file(self, path: Path) -> Stored:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise Unstorable(f"{path.name} is neither a file nor a folder")
        digest, size = _hash(path), path.stat().st_size
        target = self._file(digest)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            making = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
            try:
                _copy(path, making, 0o444)
                if _hash(making) != digest:
                    raise Unstorable(f"{path.name} changed while it was stored")
                os.replace(making, target)
            finally:
                making.unlink(missing_ok=True)  # on a full disk, half an object must not stay
            _sync_folder(target.parent)
        return Stored(digest, size)

    def _put_folder(self, path: Path) -> Stored:
        rows = self._rows(path, store=True)
        summary = _summary(rows)
        target = self._listing(summary.digest)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            making = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
            try:
                with making.open("wb") as file:
                    file.write(_canonical(rows))
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(making, target)
            finally:
                making.unlink(missing_ok=True)
            _sync_folder(target.parent)
        return summary

    def _rows(self, folder: Path, *, store: bool) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for path in _walk(folder):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink():
                if store:
                    raise Unstorable(f"{folder.name}/{name} is a symbolic link")
                target = os.fsencode(path.readlink())
                digest = f"link:{hashlib.sha256(target).hexdigest()}"
                rows.append({"path": name, "digest": digest, "size": len(target), "executable": False})
                continue
            if path.is_dir():
                rows.append({"path": name, "digest": None, "size": 0, "executable": False})
                continue
            one = self._put_file(path) if store else Stored(_hash(path), path.stat().st_size)
            executable = bool(path.stat().st_mode & stat.S_IXUSR)
            rows.append({"path": name, "digest": one.digest, "size": one.size, "executable": executable})
        return rows

    def _file(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self._root / name[:2] / name[2:]

    def _listing(self, digest: str) -> Path:
        return self._file(digest).with_suffix(".folder")


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir(), key=lambda one: os.fsencode(one.name)):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _canonical(rows: list[dict[str, object]]) -> bytes:
    return json.dumps(rows, ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode()


def _summary(rows: list[dict[str, object]]) -> Stored:
    size = sum(int(str(row["size"])) for row in rows)
    return Stored(f"sha256:{hashlib.sha256(_canonical(rows)).hexdigest()}", size)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _copy(source: Path, target: Path, mode: int) -> None:
    with source.open("rb") as old, target.open("xb") as new:
        shutil.copyfileobj(old, new, _CHUNK)
        new.flush()
        os.fsync(new.fileno())
        os.fchmod(new.fileno(), mode)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
