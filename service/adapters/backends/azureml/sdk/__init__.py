"""Owns the Python that has Azure ML's SDK; refuses to import it."""

from __future__ import annotations

from pathlib import Path

from service.adapters.backends.cloud.sdks import SdkEnvironments


class Sdks(SdkEnvironments):
    """There is one."""

    def __init__(self, folder: Path, *, uv: str) -> None:
        super().__init__(folder, Path(__file__).resolve().parent, vendor="Azure ML", uv=uv)

    def python(self) -> Path:
        """The interpreter that has it."""
        return self.interpreter("azureml")
