"""The backends there are: one folder each, one line each here; refuses to import one that is not asked for."""

from __future__ import annotations

import importlib
from pathlib import Path

from service.ports.backend import Backend

BUILT_IN = {"local": "service.adapters.backends.local.backend:LocalBackend"}
"""Names that every server has → where the class is, imported on use: cloud SDKs are heavy."""


def make_backend(name: str, root: Path, *, uv: str) -> Backend:
    """The built-in backend of that name, with its state below ``root``."""
    module, _, attribute = BUILT_IN[name].partition(":")
    made: Backend = getattr(importlib.import_module(module), attribute)(root, uv=uv)
    return made
