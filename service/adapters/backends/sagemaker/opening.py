"""Owns opening a declared SageMaker backend, without asking AWS anything; refuses what is declared wrongly."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from service.adapters.backends.sagemaker.compiler import Compiler
from service.adapters.backends.sagemaker.declared import Declared
from service.adapters.backends.sagemaker.sdk import Sdks
from service.domain.errors import Refused
from service.ports.backend import Backend

_BACKEND = "service.adapters.backends.sagemaker.backend"


def open_sagemaker(name: str, given: Mapping[str, object], root: Path, *, uv: str) -> Backend:
    """``root`` is shared by all backends of this type: they share the SDK and its process."""
    declared = Declared.model_validate(given)
    try:
        module = importlib.import_module(_BACKEND)
    except ModuleNotFoundError as absent:
        if absent.name is None or absent.name.partition(".")[0] not in ("boto3", "botocore"):
            raise
        raise Refused(
            f"opening the backend {name}: {absent.name} is not installed; install Refit with its extra `sagemaker`"
        ) from absent
    made: Backend = module.SageMakerBackend(
        declared, root / "sagemaker" / name, compiler=_compiler(root / "sagemaker", uv)
    )
    return made


@cache
def _compiler(root: Path, uv: str) -> Compiler:
    return Compiler(Sdks(root / "sdks", uv=uv), root / "compiler")
