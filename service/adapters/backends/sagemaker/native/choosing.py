"""Owns which of SageMaker's two SDKs a repository is written for; refuses to import either."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from service.adapters.backends.sagemaker.sdk import Version

_V3_IMPORT = re.compile(r"^\s*(?:from|import)\s+sagemaker\.(?:core|mlops|train|serve)\b", re.MULTILINE)
_V2_IMPORT = re.compile(r"^\s*(?:from|import)\s+sagemaker\.(?!core\b|mlops\b|train\b|serve\b)\w", re.MULTILINE)
_PINNED = re.compile(
    r"(?<![\w.-])sagemaker(?:-core|-mlops|-train|-serve)?(?:\[[^\]]*\])?\s*(?:==|>=|~=|>)\s*(\d+)", re.IGNORECASE
)
_NEEDS_V3 = re.compile(r"(?<![\w.-])sagemaker-(?:mlops|train)\b", re.IGNORECASE)


def places(path: str) -> tuple[str, ...]:
    """Where a version may be pinned: beside ``pipeline.py`` and in the folders above it."""
    folders = [posixpath.dirname(path)]
    while folders[-1]:
        folders.append(posixpath.dirname(folders[-1]))
    names = ("requirements.txt", "requirements-pipeline.txt", "pyproject.toml", "setup.py", "setup.cfg")
    return tuple(posixpath.join(folder, name) for folder in folders for name in names)


def sdk_of(source: str, pins: Mapping[str, str]) -> Version:
    """By what ``pipeline.py`` imports, which only one of them has; else by the nearest pin; else the one that nearly every
    repository is written for."""
    if _V3_IMPORT.search(source):
        return "v3"
    if _V2_IMPORT.search(source):
        return "v2"
    for text in pins.values():
        found = _PINNED.search(text)
        if found or _NEEDS_V3.search(text):
            return "v3" if found is None or int(found.group(1)) >= 3 else "v2"
    return "v2"
