"""Owns the demo on an emulated cloud, ``python -m tests.emulators.demo sagemaker …``: brings the emulator and declares it;
refuses to tell the story, which is ``refit demo``'s.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uv
import yaml

from tests.emulators.sagemaker.process import CREDENTIALS, require_unshare, running

ROOT = Path(__file__).resolve().parents[2]
NAME = "aws"
"""Of the backend, in refit.yaml."""
IMAGE = ROOT / ".venv" / "images" / "diamonds"
"""What stands for the steps' image: an interpreter that has what the reference pipeline pins."""


def image() -> str:
    """Its interpreter, made once."""
    python, pins = IMAGE / "bin" / "python", ROOT / "pipelines" / "diamonds" / "requirements.txt"
    stamp = IMAGE / "stamp"
    if not stamp.exists() or stamp.read_bytes() != pins.read_bytes():
        binary = uv.find_uv_bin()
        subprocess.run([binary, "venv", "--quiet", "--clear", "--python", sys.executable, str(IMAGE)], check=True)
        subprocess.run([binary, "pip", "install", "--quiet", "--python", str(python), "-r", str(pins)], check=True)
        stamp.write_bytes(pins.read_bytes())
    return str(python)


def main(cloud: str, *rest: str) -> int:
    if cloud != "sagemaker":
        print(f"run.py: no emulator for {cloud}; there is sagemaker", file=sys.stderr)
        return 2
    require_unshare()
    print("preparing the emulator of SageMaker and what its images have …", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="refit-cloud-") as folder, emulated(Path(folder)) as environment:
        command = [sys.executable, "-m", "service", "demo", "--backend", NAME, *rest]
        return subprocess.run(command, env={**os.environ, **environment}, cwd=ROOT, check=False).returncode


@contextmanager
def emulated(folder: Path) -> Iterator[Mapping[str, str]]:
    """An emulator for the block; what a service's environment must say to use it, with credentials that no AWS takes."""
    with running(folder / "cloud", image()) as made:
        declared = folder / "backends.yaml"
        declared.write_text(
            yaml.safe_dump({NAME: made.declared(poll_seconds=0.2).model_dump(mode="json")}), encoding="utf-8"
        )
        yield {
            **CREDENTIALS,
            "REFIT_BACKENDS": str(declared),
            "PYTHONPATH": str(ROOT),
        }


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
