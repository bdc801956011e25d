"""Owns opening a declared Azure ML backend, without asking Azure anything; refuses what is declared wrongly."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

from service.adapters.backends.azureml.declared import Declared
from service.adapters.backends.azureml.native.opening import open_definitions
from service.adapters.backends.azureml.sdk import Sdks
from service.adapters.backends.sandbox.sandbox import kept_from_pipelines
from service.domain.errors import Refused
from service.ports.backend import Backend
from service.ports.reader import Reader

_BACKEND = "service.adapters.backends.azureml.backend"


def open_azureml(
    name: str,
    given: Mapping[str, object],
    root: Path,
    *,
    uv: str,
    reader: Reader | None = None,
    unconfined: bool = False,
) -> Backend:
    """``root`` is shared by all backends of this type: they share the SDK's environment."""
    declared = Declared.model_validate(given)
    try:
        module = importlib.import_module(_BACKEND)
    except ModuleNotFoundError as absent:
        if absent.name is None or absent.name.partition(".")[0] != "azure":
            raise
        raise Refused(
            f"opening the backend {name}: {absent.name} is not installed; install Refit with its extra `azureml`"
        ) from absent
    made: Backend = module.AzureMLBackend(
        declared,
        root / "azureml" / name,
        sdks=Sdks(root / "azureml" / "sdks", uv=uv),
        definitions=open_definitions(
            root / "azureml", reader, uv=uv, hidden=kept_from_pipelines(root), unconfined=unconfined
        )
        if reader is not None
        else None,
    )
    return made
