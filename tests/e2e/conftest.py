"""Owns a small pipeline without dependencies and stages to tell stories on; refuses anything but the real service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.cli.demo.stage import Stage

MANIFEST = """\
version: 1
triggers:
  push: ["**", "*"]
ignore: ["**/*.md"]
pipelines:
  sums:
    components:
      preprocess:
        run: src/preprocess.py
        params: [scale]
        inputs: {raw: data.txt}
        outputs: [numbers]
      train:
        run: src/train.py
        params: [train.delay, train.factor]
        inputs: {data: preprocess.numbers}
        outputs: [model]
        with: {timeout: 60s}
      evaluate:
        run: src/evaluate.py
        inputs: {model: train.model, data: preprocess.numbers}
        metrics: metrics.json
    register: {model: train.model, as: sums}
"""
FILES = {
    "refit.yaml": MANIFEST,
    "params.yaml": "scale: 2\ntrain:\n  delay: 0\n  factor: 3\n",
    "data.txt": "1\n2\n3\n",
    "README.md": "sums\n",
    "src/flags.py": (
        "import sys\n\n\ndef flags():\n    words = sys.argv[1:]\n"
        "    return dict(zip([w[2:] for w in words[::2]], words[1::2]))\n"
    ),
    "src/helper.py": "def scaled(text, scale):\n    return int(text) * scale\n",
    "src/preprocess.py": (
        "from flags import flags\nfrom helper import scaled\n\nf = flags()\n"
        "rows = [scaled(line, int(f['scale'])) for line in open(f['raw'])]\n"
        "open(f['numbers'], 'w').write('\\n'.join(map(str, rows)))\n"
    ),
    "src/train.py": (
        "import time\nfrom flags import flags\n\nf = flags()\nprint('training', flush=True)\ntime.sleep(float(f['delay']))\n"
        "rows = [int(line) for line in open(f['data'])]\nopen(f['model'], 'w').write(str(sum(rows) * int(f['factor'])))\n"
    ),
    "src/evaluate.py": (
        "import json\nfrom flags import flags\n\nf = flags()\n"
        "json.dump({'total': float(open(f['model']).read())}, open(f['metrics'], 'w'))\n"
    ),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The content of a repository whose steps take milliseconds."""
    folder = tmp_path / "source"
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def stage(source: Path, database_url: str, tmp_path: Path) -> Iterator[Stage]:
    """The service as its own process, on each kind of database, beside a git server that delivers webhooks."""
    with Stage(source, tmp_path / "stage", {"REFIT_DATABASE_URL": database_url}) as made:
        yield made
