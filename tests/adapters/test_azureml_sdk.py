"""Azure ML's SDK: hash-pinned, in an environment of its own, out of the service's process; no Azure package without the extra."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from service.adapters.backends.azureml import sdk
from tests.sdks import azure_sdks

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(sdk.__file__).parent


def test_the_lock_pins_every_package_by_hash_and_names_no_index() -> None:
    text = (FOLDER / "azureml.lock").read_text()
    blocks = re.split(r"\n(?=[a-z0-9])", text)
    assert [block for block in blocks if "==" in block and "--hash=sha256:" not in block] == []
    assert "index-url" not in text
    pins = re.findall(r"^[a-z0-9-]+==[\w.]+", (FOLDER / "azureml.in").read_text(), re.MULTILINE)
    assert len(pins) >= 2
    assert [pin for pin in pins if pin not in text] == [], "run: python3 run.py lock"


def test_the_environment_has_the_sdk_and_nothing_of_the_service() -> None:
    ask = "import sys, importlib.metadata as m; print(m.version('azure-ai-ml'), 'service' in sys.modules)"
    done = subprocess.run([azure_sdks().python(), "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1.35.2", "False"]


def test_the_embedded_default_brings_no_azure_package() -> None:
    names = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "base.lock").read_text(), flags=re.MULTILINE)
    assert [name for name in names if name.startswith(("azure", "msal"))] == []
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["azureml"]
    assert [one.partition(">")[0] for one in extra] == ["azure-identity", "azure-storage-blob"]
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "azureml.lock").read_text(), flags=re.MULTILINE)
    assert "azure-identity" in locked and "azure-ai-ml" not in locked
    seen = "import sys, service.bootstrap.server; print([m for m in sys.modules if m.partition('.')[0] in ('azure', 'msal')])"
    done = subprocess.run([sys.executable, "-c", seen], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
