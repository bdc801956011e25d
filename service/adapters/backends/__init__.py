"""The backends there are: one folder each, one line each here; refuses to import one that is not asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.ports.backend import Backend
from service.ports.reader import Reader

BUILT_IN = {"local": "service.adapters.backends.local.backend:LocalBackend"}
"""Names that every server has → where the class is, imported on use: cloud SDKs are heavy."""
DECLARED = {
    "azureml": "service.adapters.backends.azureml.opening:open_azureml",
    "sagemaker": "service.adapters.backends.sagemaker.opening:open_sagemaker",
}
"""Types that an operator may declare → what opens one, given what was declared."""


def make_backend(name: str, root: Path, *, uv: str) -> Backend:
    """The built-in backend of that name, with its state below ``root``."""
    made: Backend = _found(BUILT_IN[name])(root, uv=uv)
    return made


def open_declared(
    name: str,
    given: Mapping[str, object],
    root: Path,
    *,
    uv: str,
    reader: Reader | None = None,
    unconfined: bool = False,
) -> Backend:
    """The backend that the operator declared under this name; ``given["type"]`` is one of ``DECLARED``. ``ValueError``, as
    pydantic raises it, holds every mistake; ``Refused`` if what it needs is not installed. Without a ``reader`` it may start no
    native pipeline; ``unconfined`` is the operator's word that native definitions may be compiled without namespaces."""
    made: Backend = _found(DECLARED[str(given["type"])])(name, given, root, uv=uv, reader=reader, unconfined=unconfined)
    return made


def _found(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)
