"""Owns opening what compiles native definitions, without touching the disk or a registry; refuses to do so twice for a folder."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from service.adapters.backends.sagemaker.native.compiler import Account, NativeCompiler
from service.adapters.backends.sagemaker.native.definitions import NativeDefinitions
from service.adapters.backends.sagemaker.sdk import Sdks

_TOLD = ("region", "role", "bucket")


def open_definitions(
    declared: Mapping[str, Mapping[str, object]],
    root: Path,
    *,
    uv: str,
    hidden: tuple[Path, ...] = (),
    unconfined: bool = False,
) -> NativeDefinitions:
    """``declared`` are the operator's SageMaker backends by name, ``root`` the folder that they share. ``hidden`` is what a
    repository's ``pipeline.py`` must not find, ``unconfined`` the operator's word that it may run where this machine allows no
    namespaces."""
    accounts = {
        name: Account(*(str(given[one]) for one in _TOLD))
        for name, given in declared.items()
        if all(one in given for one in _TOLD)
    }
    return NativeDefinitions(_compiler(root, uv, hidden, unconfined), accounts, root / "native")


@cache
def _compiler(root: Path, uv: str, hidden: tuple[Path, ...], unconfined: bool) -> NativeCompiler:
    return NativeCompiler(Sdks(root / "sdks", uv=uv), root / "native", hidden, unconfined=unconfined)
