"""Owns opening what reads Azure ML's definitions, without touching the disk or a registry; refuses to share a memory between two
readers."""

from __future__ import annotations

from pathlib import Path

from service.adapters.backends.azureml.native.converting import SandboxConverter
from service.adapters.backends.azureml.native.definitions import NativeDefinitions
from service.adapters.backends.azureml.sdk import Sdks
from service.ports.reader import Reader


def open_definitions(
    root: Path, reader: Reader, *, uv: str, hidden: tuple[Path, ...] = (), unconfined: bool = False
) -> NativeDefinitions:
    """``root`` is the folder that the operator's Azure ML backends share; ``hidden`` is what a repository's module must not
    find; ``unconfined`` is the operator's word that it may run where this machine allows no namespaces."""
    sdks = Sdks(root / "sdks", uv=uv)
    return NativeDefinitions(reader, SandboxConverter(sdks.python, root / "native", hidden, unconfined=unconfined))
