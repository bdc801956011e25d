"""Owns what the files say that declare a step's environment, and their content hash; refuses to build it.

Runs on Python 3.9 too: images have it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_ALGORITHM = "1"
INCLUDE = re.compile(rb"^[ \t]*(?:-r|-c|--requirement|--constraint)[ =]?\s*(\S+)", re.MULTILINE)


class Unbuildable(Exception):
    """The environment cannot be had; the text says why and what to do."""


def content_hash(contents: Mapping[str, bytes]) -> str:
    """Of the files and of the interpreter that would read them."""
    digest = hashlib.sha256(f"{_ALGORITHM} {platform.python_version()} {platform.machine()}".encode())
    for name, content in contents.items():
        digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:32]


def contents_of(files: Sequence[str], source: Path) -> dict[str, bytes]:
    """Of the files and of those that they include."""
    waiting, found = list(files), dict[str, bytes]()
    while waiting:
        name = os.path.normpath(waiting.pop(0))
        path = source / name
        if name in found:
            continue
        if name.endswith((".yml", ".yaml")) or "Dockerfile" in name:
            raise Unbuildable(f"building the environment: Refit cannot use {name}; it takes requirements files")
        if not path.resolve().is_relative_to(source.resolve()) or not path.is_file():
            raise Unbuildable(f"building the environment: {name} is not in the repository")
        found[name] = content = path.read_bytes()
        if not name.endswith(".toml"):
            folder = os.path.dirname(name)
            waiting += [os.path.join(folder, os.fsdecode(one)) for one in INCLUDE.findall(content)]
    return found
