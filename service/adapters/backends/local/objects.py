"""Owns the content-addressed store of what steps made: written atomically, read-only, copied out; refuses to overwrite."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path

from service.adapters.backends.steps.digests import (
    DIGEST,
    Stored,
    Unstorable,
    canonical,
    hashed,
    of_regular,
    rows_of,
    summary,
)

_CHUNK = 1 << 20


class Objects:
    """Files by the SHA-256 of their bytes; folders by that of their listing."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def holds(self, digest: str) -> bool:
        """Whether all of it is there."""
        if not DIGEST.fullmatch(digest):
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
        stored = of_regular(path)
        digest = stored.digest
        target = self._file(digest)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            making = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
            try:
                _copy(path, making, 0o444)
                if hashed(making) != digest:
                    raise Unstorable(f"{path.name} changed while it was stored")
                os.replace(making, target)
            finally:
                making.unlink(missing_ok=True)  # on a full disk, half an object must not stay
            _sync_folder(target.parent)
        return stored

    def _put_folder(self, path: Path) -> Stored:
        rows = rows_of(path, self._put_file, links=False)
        whole = summary(rows)
        target = self._listing(whole.digest)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            making = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
            try:
                with making.open("wb") as file:
                    file.write(canonical(rows))
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(making, target)
            finally:
                making.unlink(missing_ok=True)
            _sync_folder(target.parent)
        return whole

    def _file(self, digest: str) -> Path:
        name = digest.removeprefix("sha256:")
        return self._root / name[:2] / name[2:]

    def _listing(self, digest: str) -> Path:
        return self._file(digest).with_suffix(".folder")


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
