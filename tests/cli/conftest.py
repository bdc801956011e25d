"""Owns a checkout with the smallest pipeline that can fail, and a way to call `refit` in it; refuses to call it in process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "refit.yaml": (
        "version: 1\npipelines:\n  ranks:\n    components:\n"
        "      prepare: {run: src/prepare.py, inputs: {raw: raw.csv}, outputs: [clean]}\n"
        "      train: {run: src/train.py, params: [scale], inputs: {data: prepare.clean}, outputs: [model], metrics: m.json}\n"
        "      report: {run: src/report.py, inputs: {data: prepare.clean, model: train.model}, outputs: [text]}\n"
        "    gates: [size >= 2]\n"
    ),
    "params.yaml": "scale: 2\n",
    "raw.csv": "b\na\n",
    "src/flags.py": "import sys\n\nF = dict(zip((w[2:] for w in sys.argv[1::2]), sys.argv[2::2]))\n",
    "src/prepare.py": "from flags import F\n\nopen(F['clean'], 'w').write(open(F['raw']).read())\n",
    "src/train.py": (
        "import json\nfrom flags import F\n\nsize = len(open(F['data']).read().split())\n"
        "open(F['model'], 'w').write(str(size * int(F['scale'])))\njson.dump({'size': size}, open(F['metrics'], 'w'))\n"
    ),
    "src/report.py": "from flags import F\n\nopen(F['text'], 'w').write(open(F['model']).read())\n",
}


@dataclass(frozen=True)
class Checkout:
    """A user's own repository, with a home for Refit beside it."""

    folder: Path
    home: Path

    def git(self, *words: str) -> None:
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        subprocess.run(["git", *identity, *words], cwd=self.folder, check=True, capture_output=True)

    def commit(self, name: str = "", text: str = "") -> None:
        """Commit everything, after writing one file."""
        if name:
            (self.folder / name).write_text(text, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", "a change")

    def refit(
        self, *words: str, within: Sequence[str] = (), settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """As a person calls it in the checkout, without any server; ``within``: words to put before the command."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("REFIT_")}
        variables = {
            **ours,
            "REFIT_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
            **(settings or {}),
        }
        command = [*within, sys.executable, "-m", "service", *words]
        return subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path / "ranks", tmp_path / "home")
    for name, text in FILES.items():
        path = made.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    made.git("init", "--quiet", "--initial-branch=main")
    made.commit()
    return made
