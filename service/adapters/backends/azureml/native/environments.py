"""Owns what an ``environment`` of a definition contributes to a step: its image, its packages, its build context; refuses to
build one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from service.adapters.backends.azureml.native.expressions import is_outside
from service.adapters.backends.azureml.native.sources import Sources, Where, refused
from service.adapters.backends.sandbox.values import canonical
from service.domain.names import RepoPath, shown

ENVIRONMENT = "environment"
_IGNORED = frozenset({"$schema", "name", "version", "description", "tags", "properties", "inference_config", "id"})
"""What only names an environment, or is for serving models."""


@dataclass
class Environment:
    """``settings`` and ``folders`` by their names in a step; ``asset`` is its name in the workspace, if only that has it."""

    settings: dict[str, str] = field(default_factory=dict)
    folders: dict[str, RepoPath] = field(default_factory=dict)
    asset: str = ""
    notes: list[str] = field(default_factory=list)


def environment_of(value: Any, where: Where, sources: Sources) -> Environment:
    """In any of its forms: a name in the workspace or a registry, a file, a mapping."""
    found = Environment()
    if value is None:
        return found
    if isinstance(value, str):
        return _named(value.strip(), where, sources)
    if not isinstance(value, Mapping):
        raise refused(where, "it is neither a name nor a mapping")
    for key, one in value.items():
        if key in _IGNORED:
            continue
        if key == "conda_file":
            _packages(one, where.at(key), sources, found)
        elif key == "build":
            _context(one, where.at(key), sources, found)
        else:
            found.settings[f"{ENVIRONMENT}.{key}"] = canonical(one)
    image = value.get("image")
    if isinstance(image, str) and not _is_fixed(image):
        found.notes.append(f"the image {shown(image)} has no fixed version: what it holds is not looked at")
    return found


def names_a_file(text: str) -> bool:
    """Whether an environment's text is a path, and not a name in the workspace."""
    return text.startswith(("file:", "./", "../", "/")) or text.endswith((".yml", ".yaml"))


def _named(text: str, where: Where, sources: Sources) -> Environment:
    if is_outside(text):
        return Environment({ENVIRONMENT: text}, asset=text)
    if names_a_file(text):
        path = sources.place(text, where)
        return environment_of(sources.document(path, where), Where(path, path.rpartition("/")[0]), sources)
    return Environment({ENVIRONMENT: text}, asset=f"azureml:{text}")


def _packages(value: Any, where: Where, sources: Sources, found: Environment) -> None:
    """Conda's file as values, so that a comment in it changes nothing; its own name says nothing of what it holds."""
    if isinstance(value, str):
        path = sources.place(value, where)
        value = sources.value(path, where)
    if isinstance(value, Mapping):
        packages = {f"{ENVIRONMENT}.conda.{key}": canonical(one) for key, one in value.items() if key != "name"}
        found.settings |= packages
    else:
        found.settings[f"{ENVIRONMENT}.conda"] = canonical(value)


def _context(value: Any, where: Where, sources: Sources, found: Environment) -> None:
    """Every byte of a build context counts: who knows what a Dockerfile copies."""
    if not isinstance(value, Mapping) or not isinstance(value.get("path"), str):
        raise refused(where, "it names no `path`")
    for key, one in value.items():
        if key != "path":
            found.settings[f"{ENVIRONMENT}.build.{key}"] = canonical(one)
    text = value["path"]
    if is_outside(text):
        found.asset = text
        found.settings[f"{ENVIRONMENT}.build"] = text
    else:
        found.folders[f"{ENVIRONMENT}.build"] = sources.contained(text, where.at("path"))


def _is_fixed(image: str) -> bool:
    """Whether an image is named by digest or by a tag that says a version."""
    if "@sha256:" in image:
        return True
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag not in ("", "latest")
