"""Owns whether the image has what a step's environment pins, and installs it beside the image's own if not; refuses to
change the image's packages."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from service.adapters.backends.steps.declared import Unbuildable, content_hash, contents_of

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)")


def prepared(
    files: Sequence[str], work: Path, target: Path, run: Callable[[Sequence[str], Path], int]
) -> tuple[Path | None, str]:
    """The folder that must come first on the import path, if any, and the environment's content hash."""
    contents = contents_of(files, work)
    if unusable := [name for name in contents if name.endswith(".toml")]:
        raise Unbuildable(
            f"building the environment: {unusable[0]} cannot be installed in a container; name a requirements file"
        )
    name = content_hash(contents)
    if not files or is_satisfied(contents):
        return None, name
    wanted = [word for one in files for word in ("--requirement", one)]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    if run([*pip, "--target", str(target), *wanted], work):
        raise Unbuildable(f"building the environment: pip could not install {', '.join(files)}; the log has its words")
    return target, name


def is_satisfied(contents: Mapping[str, bytes]) -> bool:
    """Whether every line is a plain pin of what is installed already. Anything else is left to pip to understand."""
    for content in contents.values():
        for line in content.decode("utf-8", "replace").splitlines():
            words = line.partition(" #")[0].strip().rstrip("\\").strip()
            if not words or words.startswith(("#", "--hash=")):
                continue
            found = _PIN.fullmatch(words)
            if found is None or not _has(found.group(1), found.group(2)):
                return False
    return True


def _has(package: str, version: str) -> bool:
    try:
        return metadata.version(package) == version
    except metadata.PackageNotFoundError:
        return False
