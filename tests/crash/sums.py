"""Owns a pipeline of three quick steps that note each of their starts outside their sandbox; refuses dependencies."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

MANIFEST = """\
version: 1
triggers: {push: ["**"]}
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
      evaluate:
        run: src/evaluate.py
        inputs: {model: train.model, data: preprocess.numbers}
        metrics: metrics.json
    register: {model: train.model, as: sums}
"""
# The run's folder is <stand>/home/local/runs/<token>/work: every stand has one path for it, so its keys are the same.
_NOTES = """\
import os
import pathlib
import sys

_starts = pathlib.Path.cwd().parents[4] / "starts.log"


def _note(word):
    with open(_starts, "a") as file:
        file.write(f"{word} {os.environ['REFIT_STEP']}\\n")


def flags():
    _note("start")
    words = sys.argv[1:]
    return dict(zip([w[2:] for w in words[::2]], words[1::2]))


def done():
    _note("end")
"""
FILES = {
    "refit.yaml": MANIFEST,
    "params.yaml": "scale: 2\ntrain:\n  delay: 0\n  factor: 3\n",
    "data.txt": "1\n2\n3\n",
    "README.md": "sums\n",
    "src/notes.py": _NOTES,
    "src/preprocess.py": (
        "import time\nfrom notes import done, flags\n\nf = flags()\ntime.sleep(0.2)\n"
        "rows = [int(line) * int(f['scale']) for line in open(f['raw'])]\n"
        "open(f['numbers'], 'w').write('\\n'.join(map(str, rows)))\ndone()\n"
    ),
    "src/train.py": (
        "import time\nfrom notes import done, flags\n\nf = flags()\nprint('training', flush=True)\n"
        "time.sleep(float(f['delay']))\nrows = [int(line) for line in open(f['data'])]\n"
        "open(f['model'], 'w').write(str(sum(rows) * int(f['factor'])))\ndone()\n"
    ),
    "src/evaluate.py": (
        "import json\nfrom notes import done, flags\n\nf = flags()\n"
        "json.dump({'total': float(open(f['model']).read())}, open(f['metrics'], 'w'))\ndone()\n"
    ),
}


def params(scale: int = 2, factor: int = 3, delay: float = 0.0) -> dict[str, str]:
    return {"params.yaml": f"scale: {scale}\ntrain:\n  delay: {delay:g}\n  factor: {factor}\n"}


def noted(folder: Path, word: str) -> Counter[str]:
    """How often each attempt really began (``start``) or came to its last line (``end``)."""
    path = folder / "starts.log"
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return Counter(token for one, _, token in (line.partition(" ") for line in lines) if one == word)
