"""Owns `dvc status` on 201 stages of the generated repository; refuses to run without DVC, and to bring it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from benchmarks.measure import Report, progress, timed
from benchmarks.monorepo import Monorepo

PIPELINES = 67
_ROUNDS = 5
_LOCAL = {
    "preprocess": ("table", "validation"),
    "train": ("features", "model"),
    "evaluate": ("metrics", "model"),
}


def command() -> list[str] | None:
    """How DVC is called here, if it is: from this Python, or from PATH."""
    if importlib.util.find_spec("dvc"):
        return [sys.executable, "-m", "dvc"]
    found = shutil.which("dvc")
    return [found] if found else None


def beside(report: Report, pushed: Monorepo, folder: Path, decided: Sequence[float]) -> None:
    """``dvc status`` after one parameter changed, beside the decision (in ms) that Refit took on the same stages."""
    dvc = command()
    if dvc is None:
        report.note("dvc is not installed: `dvc status` was not measured.")
        return
    progress.print("decision: dvc status")
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "CORE_CHECK_UPDATE": "false", "HOME": str(folder)}

    def run(*words: str) -> str:
        done = subprocess.run([*words], cwd=folder / "work", env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr[-1_000:]}")
        return done.stdout

    subprocess.run(["git", "clone", "--quiet", str(pushed.folder), str(folder / "work")], check=True, env=environment)
    run("git", "checkout", "--quiet", pushed.base)
    run(*dvc, "init", "--quiet")
    _outputs(folder / "work")
    (folder / "work" / "dvc.yaml").write_text(yaml.safe_dump({"stages": _stages()}), encoding="utf-8")
    run(*dvc, "commit", "--force", "--quiet")
    took = []
    for number in range(_ROUNDS + 1):
        _write(folder / "work", pushed.parameter(number, f"0.{number}5"))
        said = ""

        def status() -> None:
            nonlocal said
            said = run(*dvc, "status", "--json")

        took.append(timed(status))
        if f"p{number:04}_preprocess" in said or f"p{number:04}_train" not in said:
            raise RuntimeError(f"dvc status does not see the parameter: {said[:500]}")
    started = [timed(lambda: run(*dvc, "--version")) for _ in range(3)]
    ratio = statistics.median(decided) / statistics.median(took[1:])
    report.add(f"{PIPELINES * 3} stages, one parameter: Refit, warm", "ms", decided, ratio=ratio, to="of dvc status")
    report.add(f"{PIPELINES * 3} stages, one parameter: `dvc status`", "ms", took[1:])
    report.add("`dvc --version`: what its start alone takes", "ms", started)


def _stages() -> Mapping[str, object]:
    """The generated pipelines as DVC must be told them: what Refit finds by reading the imports is written out."""
    found: dict[str, object] = {}
    for number in range(PIPELINES):
        name = f"p{number:04}"
        at = f"pipelines/{name}"
        out = f"out/{name}"
        reads = {
            "preprocess": [f"{at}/data.csv"],
            "train": [f"{out}/data"],
            "evaluate": [f"{out}/model", f"{out}/data"],
        }
        makes = {"preprocess": [f"{out}/data"], "train": [f"{out}/model"], "evaluate": []}
        for stage, modules in _LOCAL.items():
            files = [f"{at}/{one}.py" for one in (stage, *modules)]
            found[f"{name}_{stage}"] = {
                "cmd": f"python {at}/{stage}.py",
                "deps": [*files, *reads[stage], "core", f"teams/t{number:02}", "requirements.txt"],
                **(
                    {"outs": makes[stage]} if makes[stage] else {"metrics": [{f"{out}/metrics.json": {"cache": False}}]}
                ),
                **(
                    {"params": [{f"{at}/params.yaml": [{"preprocess": "prepare"}.get(stage, stage)]}]}
                    if makes[stage]
                    else {}
                ),
            }
    return found


def _outputs(work: Path) -> None:
    made = {f"out/p{n:04}/{name}": f"{n}\n" for n in range(PIPELINES) for name in ("data", "model", "metrics.json")}
    _write(work, made)


def _write(work: Path, files: Mapping[str, str]) -> None:
    for path, content in files.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(content, encoding="utf-8")
