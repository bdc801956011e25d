"""Owns an upstream output as it arrives → as its step left it: modes, empty folders, read-only; refuses what its receipt
does not say."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

from service.adapters.backends.steps.container.receipts import RECEIPT


class Unreadable(Exception):
    """An input that cannot be given to the step; the text says why."""


def arrived(folder: Path, output: str, scratch: Path) -> Path:
    """The file or folder that is this output. ``folder`` holds what S3 had below its URI: the output beside its receipt, or
    a training job's archive with both."""
    archive = folder / "model.tar.gz"
    if archive.is_file() and not (folder / RECEIPT).is_file():
        _unpack(archive, scratch)
        folder = scratch
    try:
        receipts = json.loads((folder / RECEIPT).read_bytes())
        receipt: dict[str, Any] = next(one for one in receipts["outputs"] if one["name"] == output)
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise Unreadable(f"what arrived has no receipt of {output}") from error
    path = _below(folder, str(receipt["entry"]))
    if receipt["kind"] == "folder":
        _restore(path, receipt["rows"])
    elif not path.is_file():
        raise Unreadable(f"{output} did not arrive")
    else:
        path.chmod(0o444)
    return path


def _restore(folder: Path, rows: list[dict[str, Any]]) -> None:
    """S3 knows no empty folder and no mode; a file that is too many would change the digest, which is compared later."""
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        path = _below(folder, str(row["path"]))
        if row["digest"] is None:
            path.mkdir(parents=True, exist_ok=True)
        elif path.is_file():
            path.chmod(0o555 if row["executable"] else 0o444)


def _below(folder: Path, name: str) -> Path:
    path = folder / name
    if path.resolve() == folder.resolve() or not path.resolve().is_relative_to(folder.resolve()):
        raise Unreadable(f"its receipt names {name!r}, which is not below it")
    return path


def _unpack(archive: Path, target: Path) -> None:
    """Files and folders below ``target``, nothing else: a step made the archive. Not ``extractall``, whose filters are
    younger than some images."""
    with tarfile.open(archive) as members:
        for member in members:
            name = os.path.normpath("/" + member.name).lstrip("/")  # two slashes at the front would stay two
            if not name:
                continue
            path = target / name
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            content = members.extractfile(member) if member.isreg() else None
            if content is None:
                raise Unreadable(f"{name} in the archive is neither a file nor a folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                shutil.copyfileobj(content, file)
            path.chmod(0o755 if member.mode & 0o100 else 0o644)
