"""Owns the time from an accepted push to the first line of its first step, in a real service; refuses a remote runner."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import SCRATCH, Report, percentile, progress, settle
from benchmarks.monorepo import new_repository, write_commit
from benchmarks.serving import Served, push, served

NAME, ROUNDS = "acme/first", 20
ZERO = "0" * 40
_MANIFEST = """\
version: 1
triggers: {push: [main]}
pipelines:
  one:
    components:
      first: {run: "python first.py ${{outputs.model}}", outputs: [model]}
      second: {run: second.py, inputs: {model: first.model}}
"""
_SECOND = "print('second')\n"


def run(rounds: int = ROUNDS) -> None:
    report = Report(
        "first_step", "First step: push answered 202 → the first line of its first step has run, local backend"
    )
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="refit-first-", dir=SCRATCH) as name:
        folder = Path(name)
        origin, clone = folder / "origin.git", folder / "clone.git"
        new_repository(origin)
        settings = {"REFIT_REPOSITORIES": f'{{"{NAME}": "file://{origin}"}}', "REFIT_GIT_PROTOCOLS": "file"}
        with served(folder / "home", **settings) as service:
            tip = ZERO
            took, floors = [], []
            for number in range(rounds + 1):
                files = {"refit.yaml": _MANIFEST, "first.py": _program(folder, number), "second.py": _SECOND}
                before, tip = tip, write_commit(origin, f"from {tip}\n" if number else "", files.items(), "a push")
                if number == 1:
                    settle()
                took.append(_first_step(service, folder / f"began-{number}", before, tip))
                if number == 0:
                    git = ["git", "clone", "--quiet", "--mirror", f"file://{origin}", str(clone)]
                    subprocess.run(git, check=True)
                else:
                    floors.append(_floor(clone, folder, number))
                progress.print(f"first step: {number} of {rounds}: {took[-1]:.0f} ms")
                time.sleep(0.3)  # the execution ends, and the next push finds an idle service
    ratio = statistics.median(took[1:]) / statistics.median(floors)
    report.add("warm: its environment exists", "ms", took[1:], ratio=ratio, to="× git fetch + python")
    report.add("warm: 90th percentile", "ms", [percentile(took[1:], 0.9)])
    report.add("first push ever: mirror and environment are made", "ms", took[:1])
    report.add("git fetch + python", "ms", floors)
    report.note("Reference: `git fetch` of the same push into a clone, then python on the same script, by hand.")
    report.publish()


def _program(folder: Path, number: int) -> str:
    """A step that first of all says when it began."""
    return (
        f"import os, sys, time\nnow, path = time.time(), {str(folder / f'began-{number}')!r}\n"
        "with open(path + '.part', 'w') as file:\n    file.write(str(now))\nos.rename(path + '.part', path)\n"
        "open(sys.argv[1], 'w').write(path)\n"
    )


def _first_step(service: Served, told: Path, before: str, after: str) -> float:
    accepted = push(service, NAME, before, after)
    deadline = time.monotonic() + 120
    while not told.exists():
        if time.monotonic() > deadline:
            raise RuntimeError("the first step never began; see the service's log")
        time.sleep(0.001)
    return (float(told.read_text()) - accepted) * 1_000


def _floor(clone: Path, folder: Path, number: int) -> float:
    """What has to happen at the least: the commit is fetched and a Python starts."""
    began = time.time()
    subprocess.run(["git", "--git-dir", str(clone), "fetch", "--quiet", "origin"], check=True)
    done = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"], capture_output=True, text=True, check=True
    )
    return (float(done.stdout) - began) * 1_000
