"""Owns the generated repository: a thousand pipelines in a hundred thousand files, and the pushes made to it; refuses chance.

Everything derives from numbers, so that two runs measure the same repository.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PIPELINES, FILES = 1_000, 100_000
TEAMS, TEAM_MODULES, CORE_MODULES = 100, 100, 50
COMPONENTS = ("preprocess", "train", "evaluate")
_LOCAL = ("features", "metrics", "model", "table", "validation")


@dataclass(frozen=True)
class Monorepo:
    """A bare repository and what can be pushed to it. Commits are made on demand, each on top of the last."""

    folder: Path
    pipelines: int
    base: str

    def push(self, files: Mapping[str, str], message: str, parent: str) -> str:
        """A commit that rewrites these files; its SHA."""
        return write_commit(self.folder, f"from {parent}\n", files.items(), message)

    def parameter(self, number: int, value: str) -> dict[str, str]:
        """One parameter of one pipeline."""
        return {f"pipelines/{_pipeline(number)}/params.yaml": _params(value)}

    def wide(self, count: int, mark: str) -> dict[str, str]:
        """``count`` source files that all matter, three in each pipeline."""
        found: dict[str, str] = {}
        for number in range(self.pipelines):
            for name in _LOCAL[:3]:
                if len(found) == count:
                    return found
                found[f"pipelines/{_pipeline(number)}/{name}.py"] = _module(f"{number} {name}", 40, mark)
        return found

    def comment(self, mark: str) -> dict[str, str]:
        """A comment in the library that every pipeline imports."""
        return {"core/module_000.py": f"# {mark}\n" + _module("core 0", 60, "")}

    def readme(self, mark: str) -> dict[str, str]:
        return {"README.md": f"# A monorepo\n\n{mark}\n"}

    def new_pipeline(self, mark: str) -> dict[str, str]:
        """refit.yaml itself: one more pipeline of one component."""
        return {"refit.yaml": manifest(self.pipelines) + _declaration(0, f"extra-{mark}")}


def monorepo(folder: Path, pipelines: int = PIPELINES, files: int = FILES) -> Monorepo:
    """The repository in ``folder``, made unless it is there already."""
    if not (folder / "ready").exists():
        new_repository(folder)
        base = write_commit(folder, "", _files(pipelines, files), "everything")
        (folder / "ready").write_text(base, encoding="utf-8")
    return Monorepo(folder, pipelines, (folder / "ready").read_text(encoding="utf-8"))


def manifest(pipelines: int) -> str:
    head = 'version: 1\ntriggers:\n  push: ["**", "*"]\nenvironment: requirements.txt\npipelines:\n'
    return head + "".join(_declaration(number, _pipeline(number)) for number in range(pipelines))


def _pipeline(number: int) -> str:
    return f"p{number:04}"


def _declaration(number: int, name: str) -> str:
    at = f"pipelines/{_pipeline(number)}"
    return (
        f"  {name}:\n    components:\n"
        f"      preprocess:\n        run: {at}/preprocess.py\n        params: [{at}/params.yaml:prepare]\n"
        f"        inputs: {{raw: {at}/data.csv}}\n        outputs: [data]\n"
        f"      train:\n        run: {at}/train.py\n        params: [{at}/params.yaml:train]\n"
        f"        inputs: {{data: preprocess.data}}\n        outputs: [model]\n"
        f"      evaluate:\n        run: {at}/evaluate.py\n"
        f"        inputs: {{model: train.model, data: preprocess.data}}\n        metrics: metrics.json\n"
    )


def _params(rate: str) -> str:
    return f"prepare:\n  seed: 7\n  share: 0.2\ntrain:\n  learning_rate: {rate}\n  depth: 6\n  rounds: 300\n"


def _files(pipelines: int, files: int) -> Iterator[tuple[str, str]]:
    made = 0
    for path, text in _matter(pipelines):
        yield path, text
        made += 1
    for number in range(made, files):  # what no pipeline reads: notes, queries, fixtures, other languages
        yield f"archive/{number % 500:03}/{number // 500:03}/note_{number}.txt", f"note {number}\n"


def _matter(pipelines: int) -> Iterator[tuple[str, str]]:
    yield "refit.yaml", manifest(pipelines)
    yield "requirements.txt", "numpy==2.1.3\npandas==2.2.3\n"
    yield "README.md", "# A monorepo\n"
    yield "core/__init__.py", ""
    for number in range(CORE_MODULES):
        follows = f"from core import module_{number + 1:03}\n" if number % 5 != 4 else ""
        yield f"core/module_{number:03}.py", follows + _module(f"core {number}", 60, "")
    for team in range(TEAMS):
        yield f"teams/t{team:02}/__init__.py", ""
        for number in range(TEAM_MODULES):
            follows = f"from teams.t{team:02} import module_{number + 1:03}\n" if number % 10 != 9 else ""
            yield f"teams/t{team:02}/module_{number:03}.py", follows + _module(f"team {team} {number}", 50, "")
    for number in range(pipelines):
        yield from _pipeline_files(number)


def _pipeline_files(number: int) -> Iterator[tuple[str, str]]:
    at, team = f"pipelines/{_pipeline(number)}", f"teams.t{number % TEAMS:02}"
    block = number // TEAMS % (TEAM_MODULES // 10) * 10  # each team's pipelines import chains of their own
    common = f"import argparse\nfrom core import module_000\nfrom {team} import module_{block:03}\n"
    yield f"{at}/preprocess.py", f"{common}import table\nimport validation\n" + _module(f"{number} pre", 30, "")
    yield f"{at}/train.py", f"{common}import features\nimport model\n" + _module(f"{number} train", 60, "")
    yield f"{at}/evaluate.py", f"{common}import metrics\nimport model\n" + _module(f"{number} evaluate", 40, "")
    for name in _LOCAL:
        yield f"{at}/{name}.py", _module(f"{number} {name}", 40, "")
    yield f"{at}/params.yaml", _params("0.1")
    yield f"{at}/data.csv", f"a,b\n{number},1\n"
    yield f"{at}/README.md", f"pipeline {number}\n"


def _module(name: str, lines: int, mark: str) -> str:
    """Plausible code, a different text for each name and mark; 30 lines are about a kilobyte."""
    body = "".join(
        f"    step_{at} = scale * {at}.5 + len(rows)  # {name}\n    rows.append(round(step_{at}, {at % 5}))\n"
        for at in range(lines // 3)
    )
    head = f'"""Module {name}."""\n\n\nMARK = "{name} {mark}"\n\n\n'
    return f'{head}def work(rows, scale=1.0):\n    """Work on rows."""\n{body}    return rows\n'


def write_commit(folder: Path, start: str, files: Iterable[tuple[str, str]], message: str) -> str:
    """One commit through ``git fast-import``."""
    process = subprocess.Popen(
        ["git", "--git-dir", str(folder), "fast-import", "--quiet", "--done", "--force"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_environment(),
    )
    assert process.stdin is not None and process.stdout is not None, "started with pipes"
    send = process.stdin.write
    send(b"feature done\ncommit refs/heads/main\nmark :1\ncommitter Ada <ada@example.org> 1795000000 +0000\n")
    send(b"data %d\n%s\n%s" % (len(message.encode()), message.encode(), start.encode()))
    for path, text in files:
        data = text.encode()
        send(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
    send(b"\nget-mark :1\ndone\n")
    process.stdin.close()
    sha = process.stdout.read().decode().strip()
    if process.wait():
        raise RuntimeError("git fast-import failed")
    return sha


def new_repository(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = ["git", "init", "--quiet", "--bare", "--initial-branch=main", str(folder)]
    subprocess.run(command, env=_environment(), check=True)


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
