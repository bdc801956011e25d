"""The SDKs' environments: hash-pinned, apart from the service's, built once; no AWS package without the extra."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.adapters.backends.sagemaker import sdk
from service.adapters.backends.sagemaker.sdk import Sdks
from service.domain.errors import Retry
from tests.sdks import sdks

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(sdk.__file__).parent


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_lock_pins_every_package_by_hash_and_names_no_index(version: str) -> None:
    text = (FOLDER / f"{version}.lock").read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", text)
    assert [block for block in blocks if "==" in block and "--hash=sha256:" not in block] == []
    assert "index-url" not in text
    assert (FOLDER / f"{version}.in").read_text().strip() in text, "run: python3 run.py lock"


def test_the_environment_has_the_sdk_and_is_built_once() -> None:
    with ThreadPoolExecutor(3) as threads:
        (python,) = set(threads.map(lambda _: sdks().python("v2"), range(3)))
    ask = "import sys, importlib.metadata as m; print(m.version('sagemaker'), 'service' in sys.modules)"
    done = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2.257.7", "False"]


def test_what_uv_says_reaches_the_operator(tmp_path: Path) -> None:
    broken = tmp_path / "uv"
    broken.write_text("#!/bin/sh\necho 'no route to the index' >&2\nexit 2\n")
    broken.chmod(0o755)
    with pytest.raises(Retry, match="SDK v3: no route to the index"):
        Sdks(tmp_path / "sdk", uv=str(broken)).python("v3")


def test_the_embedded_default_brings_no_aws_package() -> None:
    names = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "base.lock").read_text(), flags=re.MULTILINE)
    assert [name for name in names if name.startswith(("boto", "sagemaker", "aws"))] == []
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["sagemaker"]
    assert [one.partition(">")[0] for one in extra] == ["boto3"]
    seen = (
        "import sys, service.bootstrap.server; print([m for m in sys.modules if m.startswith(('boto', 'sagemaker'))])"
    )
    done = subprocess.run([sys.executable, "-c", seen], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
