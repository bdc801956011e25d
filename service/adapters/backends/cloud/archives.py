"""Owns what a job is given to run: the export as a bundle, and the code that runs one step of it, both named by content; refuses
to upload."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import secrets
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from service.adapters import backends
from service.adapters.backends.steps.digests import walk
from service.ports.backend import Source

SHARED_MODULES = (
    "service.adapters.backends.steps.commands", "service.adapters.backends.steps.container.packages",
    "service.adapters.backends.steps.container.process", "service.adapters.backends.steps.container.receipts",
    "service.adapters.backends.steps.container.step", "service.adapters.backends.steps.container.upstream",
    "service.adapters.backends.steps.declared", "service.adapters.backends.steps.digests",
    "service.adapters.backends.steps.metrics",
)  # fmt: skip
"""What every container needs; a cloud adds its own, the first of which has ``main(spec)``."""
_START = """\
import json
import sys

from {entry} import main

sys.exit(main(json.loads({spec!r})))
"""
_EPOCH = (1980, 1, 1, 0, 0, 0)


@contextmanager
def packed(source: Source, scratch: Path) -> Iterator[tuple[str, Path]]:
    """The commit's export, packed below ``scratch`` for the block: its SHA-256 as ``write_bundle`` tells it, and the archive."""
    folder = scratch / secrets.token_hex(8)
    export = folder / "export"
    export.mkdir(parents=True)
    try:
        source.export(export)
        archive = folder / "bundle.tar.gz"
        with archive.open("wb") as file:
            digest = write_bundle(export, file)
        yield digest, archive
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)


def write_bundle(export: Path, target: BinaryIO) -> str:
    """The export as a ``.tar.gz``; the SHA-256 of the archive inside. Neither times, owners nor the order of a folder's
    entries count, and compression may differ between machines, so the name is of what is compressed."""
    digest = _Hashing(hashlib.sha256())
    with gzip.GzipFile(filename="", mode="wb", fileobj=target, compresslevel=6, mtime=0) as packed:
        digest.behind = packed
        with tarfile.open(fileobj=digest, mode="w|", format=tarfile.GNU_FORMAT) as archive:  # type: ignore[call-overload]
            for path in walk(export):
                _add(archive, export, path)
    return str(digest.hash.hexdigest())


class _Hashing:
    """A stream that is hashed on its way."""

    def __init__(self, hash: Any) -> None:
        self.hash = hash
        self.behind: Any = None

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        return int(self.behind.write(data))


def _add(archive: tarfile.TarFile, export: Path, path: Path) -> None:
    """Files, folders and links as git has them; the names are relative to the export and cannot leave it."""
    member = tarfile.TarInfo(path.relative_to(export).as_posix())
    found = path.lstat()
    member.mode = 0o755 if found.st_mode & stat.S_IXUSR else 0o644
    if stat.S_ISLNK(found.st_mode):
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, os.readlink(path), 0o777
        archive.addfile(member)
    elif stat.S_ISDIR(found.st_mode):
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
    elif stat.S_ISREG(found.st_mode):
        member.size = found.st_size
        with path.open("rb") as content:
            archive.addfile(member, content)


def zipped(spec: Mapping[str, Any], modules: Sequence[str]) -> bytes:
    """A zip that Python runs as it is."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, content in container_files("__main__.py", spec, modules).items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return made.getvalue()


def container_files(start: str, spec: Mapping[str, Any], modules: Sequence[str]) -> dict[str, bytes]:
    """Name → content: ``start``, which runs ``main(spec)`` of the first of ``modules``, and these and the shared modules at
    their own names, below packages that hold nothing else."""
    root = Path(backends.__file__).parents[3]
    text = json.dumps(spec, ensure_ascii=True, sort_keys=True)
    files = {start: _START.format(spec=text, entry=modules[0]).encode()}
    for module in (*modules, *SHARED_MODULES):
        path = Path(*module.split(".")).with_suffix(".py")
        for parent in path.parents[:-1]:
            files.setdefault((parent / "__init__.py").as_posix(), b"")
        files[path.as_posix()] = (root / path).read_bytes()
    return dict(sorted(files.items()))
