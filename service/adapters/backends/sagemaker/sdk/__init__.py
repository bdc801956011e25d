"""Owns which SDKs SageMaker has, one for each major version; refuses to import one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from service.adapters.backends.cloud.sdks import SdkEnvironments

Version = Literal["v2", "v3"]


class Sdks(SdkEnvironments):
    """The two exclude each other."""

    def __init__(self, folder: Path, *, uv: str) -> None:
        super().__init__(folder, Path(__file__).resolve().parent, vendor="SageMaker", uv=uv)

    def python(self, version: Version) -> Path:
        """The interpreter that has this one."""
        return self.interpreter(version)
