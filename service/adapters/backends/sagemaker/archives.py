"""Owns what a job is given to run: the export as a bundle, and the code that runs one step of it, both named by content; refuses
to upload."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from service.adapters import backends
from service.adapters.backends.steps.digests import walk

_MODULES = (
    "service.adapters.backends.sagemaker.container.entry", "service.adapters.backends.sagemaker.container.packages",
    "service.adapters.backends.sagemaker.container.places", "service.adapters.backends.sagemaker.container.process",
    "service.adapters.backends.sagemaker.container.upstream", "service.adapters.backends.steps.commands",
    "service.adapters.backends.steps.declared", "service.adapters.backends.steps.digests",
    "service.adapters.backends.steps.metrics",
)  # fmt: skip
_START = """\
import json
import sys

from service.adapters.backends.sagemaker.container.entry import main

sys.exit(main(json.loads({spec!r})))
"""
_EPOCH = (1980, 1, 1, 0, 0, 0)


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


def processing_code(spec: Mapping[str, Any]) -> bytes:
    """A zip that Python runs as it is."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, content in _files("__main__.py", spec).items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return made.getvalue()


def training_code(spec: Mapping[str, Any]) -> bytes:
    """A source archive as SageMaker's training toolkit unpacks it; its entry is ``entry.py``. Not compressed: the same on
    every machine, and small."""
    made = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=made, compresslevel=0, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name, content in _files("entry.py", spec).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def _files(start: str, spec: Mapping[str, Any]) -> dict[str, bytes]:
    """The modules of the container at their own names, below packages that hold nothing else."""
    root = Path(backends.__file__).parents[3]
    text = json.dumps(spec, ensure_ascii=True, sort_keys=True)
    files = {start: _START.format(spec=text).encode()}
    for module in _MODULES:
        path = Path(*module.split(".")).with_suffix(".py")
        for parent in path.parents[:-1]:
            files.setdefault((parent / "__init__.py").as_posix(), b"")
        files[path.as_posix()] = (root / path).read_bytes()
    return dict(sorted(files.items()))
