"""Owns the demo on an emulated cloud, ``python -m tests.emulators.demo sagemaker …``: brings the emulator, declares it;
refuses to tell the story, which is ``refit demo``'s.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from tests import azureml
from tests.emulators.azureml.process import require_azurite
from tests.emulators.azureml.process import running as running_azureml
from tests.emulators.sagemaker.process import CREDENTIALS, require_unshare
from tests.emulators.sagemaker.process import running as running_sagemaker
from tests.sdks import interpreter

ROOT = Path(__file__).resolve().parents[2]
NAMES = {"azureml": "azure", "sagemaker": "aws"}
"""Of each cloud's backend, in refit.yaml."""
PINS = ROOT / "pipelines" / "diamonds" / "requirements.txt"


def main(cloud: str, *rest: str) -> int:
    if cloud not in NAMES:
        print(f"run.py: no emulator for {cloud}; there is {', '.join(NAMES)}", file=sys.stderr)
        return 2
    print(f"preparing the emulator of {cloud} and what its images have …", file=sys.stderr, flush=True)
    if cloud == "azureml":
        bring_azurite()
    try:
        with tempfile.TemporaryDirectory(prefix="refit-cloud-") as folder, emulated(cloud, Path(folder)) as environment:
            command = [sys.executable, "-m", "service", "demo", "--backend", NAMES[cloud], *rest]
            return subprocess.run(command, env={**os.environ, **environment}, cwd=ROOT, check=False).returncode
    except pytest.skip.Exception as missing:  # what makes a test skip
        print(f"run.py: telling the story on {cloud}: {missing}", file=sys.stderr)
        return 1


def bring_azurite() -> None:
    """Where npm is there to bring it; whoever needs it says what is missing."""
    npm = shutil.which("npm")
    if npm is not None and not (ROOT / "tests" / "npm" / "node_modules").exists():
        words = ("ci", "--prefix", "tests/npm", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
        subprocess.run([npm, *words], cwd=ROOT, check=False)


@contextmanager
def emulated(cloud: str, folder: Path) -> Iterator[Mapping[str, str]]:
    """An emulator for the block; what a service's environment must say to use it, with credentials that no cloud takes."""
    with _CLOUDS[cloud](folder / "cloud") as (given, variables):
        declared = folder / "backends.yaml"
        declared.write_text(yaml.safe_dump({NAMES[cloud]: given.model_dump(mode="json")}), encoding="utf-8")
        yield {**variables, "REFIT_BACKENDS": str(declared), "PYTHONPATH": str(ROOT)}


@contextmanager
def _sagemaker(folder: Path) -> Iterator[tuple[BaseModel, Mapping[str, str]]]:
    require_unshare()
    with running_sagemaker(folder, str(interpreter(PINS))) as made:
        yield made.declared(poll_seconds=0.2), CREDENTIALS


@contextmanager
def _azureml(folder: Path) -> Iterator[tuple[BaseModel, Mapping[str, str]]]:
    require_azurite()
    with running_azureml(folder, str(interpreter(PINS))) as made:
        yield azureml.declared(made, poll_seconds=0.2), made.environment


_CLOUDS = {"azureml": _azureml, "sagemaker": _sagemaker}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
