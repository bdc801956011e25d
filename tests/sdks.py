"""Owns the SDK environments that tests share, kept between runs beside the tests' own; refuses to build one twice."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import uv

from service.adapters.backends.azureml.sdk import Sdks as AzureSdks
from service.adapters.backends.sagemaker import sdk
from service.adapters.backends.sagemaker.sdk import Sdks
from service.adapters.backends.steps.declared import content_hash
from service.adapters.backends.steps.environments import Shelf, environment_for

SHELF = Path(__file__).resolve().parents[1] / ".venv" / "sdk"


def sdks() -> Sdks:
    return Sdks(SHELF, uv=uv.find_uv_bin())


def azure_sdks() -> AzureSdks:
    return AzureSdks(SHELF, uv=uv.find_uv_bin())


def is_built(version: str) -> bool:
    """Whether an SDK's environment is there already: the third is a gigabyte that no other test needs."""
    lock = Path(sdk.__file__).parent / f"{version}.lock"
    name = content_hash({lock.name: lock.read_bytes()})
    return (SHELF / name / ".complete").exists()


def interpreter(requirements: Path) -> Path:
    """What stands for the images that the steps of a reference pipeline run in: an environment with its own requirements."""

    def run(command: Sequence[str], folder: Path) -> int:
        return subprocess.run(
            command, cwd=folder, env={**os.environ, "UV_COMPILE_BYTECODE": "1"}, check=False
        ).returncode

    shelf = Shelf(SHELF.parent / "steps", SHELF.parent / "steps" / "unused")
    return environment_for(shelf, [requirements.name], requirements.parent, uv.find_uv_bin(), run, lambda: None)[0]
