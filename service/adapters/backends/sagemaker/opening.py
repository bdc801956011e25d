"""Owns opening a declared SageMaker backend, without asking AWS anything; refuses what is declared wrongly."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from service.adapters.backends.sagemaker.compiler import Compiler
from service.adapters.backends.sagemaker.declared import Declared
from service.adapters.backends.sagemaker.native.opening import open_definitions
from service.adapters.backends.sagemaker.sdk import Sdks
from service.adapters.backends.sandbox.sandbox import kept_from_pipelines
from service.domain.errors import Refused
from service.ports.backend import Backend
from service.ports.reader import Reader

_BACKEND = "service.adapters.backends.sagemaker.backend"


def open_sagemaker(
    name: str,
    given: Mapping[str, object],
    root: Path,
    *,
    uv: str,
    reader: Reader | None = None,
    unconfined: bool = False,
) -> Backend:
    """``root`` is the service's home, where all backends of this type share the SDKs, their process and what was compiled. No
    definition of SageMaker's needs the ``reader``."""
    declared = Declared.model_validate(given)
    try:
        module = importlib.import_module(_BACKEND)
    except ModuleNotFoundError as absent:
        if absent.name is None or absent.name.partition(".")[0] not in ("boto3", "botocore"):
            raise
        raise Refused(
            f"opening the backend {name}: {absent.name} is not installed; install Refit with its extra `sagemaker`"
        ) from absent
    place = root / "sagemaker"
    made: Backend = module.SageMakerBackend(
        declared,
        place / name,
        compiler=_compiler(place, uv),
        definitions=open_definitions(
            {name: given}, place, uv=uv, hidden=kept_from_pipelines(root), unconfined=unconfined
        ),
    )
    return made


@cache
def _compiler(root: Path, uv: str) -> Compiler:
    return Compiler(Sdks(root / "sdks", uv=uv), root / "compiler")
