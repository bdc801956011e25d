"""Owns the first ``refit.yaml`` that ``refit init`` proposes; refuses to guess what a script reads or writes."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from service.cli.natives import name_of, native_lines, parsed

SCHEMA = "refit.schema.json"
"""Where an editor finds the schema, if somebody has put it beside the manifest: `refit validate --schema` prints it."""
_STAGES = ("prepare", "preprocess", "featurize", "features", "train", "evaluate", "eval", "score", "test")
_PLACES = ("", "src", "scripts", "pipeline", "pipelines")


def skeleton(repo: Path) -> str:
    """YAML text: the native pipelines that there are; else one component for each script that looks like a stage, with what a
    person must fill in."""
    scripts = _scripts(repo)
    environment = next(
        (n for n in ("requirements.lock", "requirements.txt", "pyproject.toml") if (repo / n).exists()), None
    )
    lines = [f"# yaml-language-server: $schema=./{SCHEMA}"] if (repo / SCHEMA).is_file() else []
    lines += ["version: 1", "triggers:", "  push: [main]", "  pull_request: [main]", 'ignore: ["**/*.md"]']
    if environment:
        lines.append(f"environment: {environment}")
    natives = native_lines(repo)
    if natives:
        return "\n".join([*lines, "pipelines:", *natives]) + "\n"
    lines += ["pipelines:", f"  {name_of(repo.resolve().name)}:", "    backend: local", "    components:"]
    for stage, path in scripts or [("train", "train.py")]:
        flags = _flags(repo / path)
        lines += [f"      {stage}:", f"        run: {path}"]
        lines += [f"        # its flags: {' '.join(flags)}"] if flags else []
        lines += [
            "        # params: [key.of.params]      # passed as --of_the_last_segment value",
            "        # inputs: {data: data/raw.csv} # a path, or another component's output: {model: train.model}",
            "        # outputs: [result]            # passed as --result <path to write>",
        ]
    return "\n".join(lines) + "\n"


def _scripts(repo: Path) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    folders = [repo / place for place in _PLACES if (repo / place).is_dir()]
    folders += [child for child in sorted((repo / "src").glob("*")) if child.is_dir()]
    for folder in folders:
        for path in sorted(folder.glob("*.py")):
            if path.stem in _STAGES and _is_program(path):
                found.setdefault(path.stem, path.relative_to(repo).as_posix())
    return sorted(found.items(), key=lambda item: _STAGES.index(item[0]))


def _is_program(path: Path) -> bool:
    """Whether it does something when it is run: a module that only defines things is part of another component."""
    tree = parsed(path)
    if tree is None:
        return True
    inert = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    is_text = [isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) for one in tree.body]
    return any(not isinstance(one, inert) and not text for one, text in zip(tree.body, is_text, strict=True))


def _flags(path: Path) -> Sequence[str]:
    """The long options that it declares literally (argparse, click, typer), in order."""
    tree = parsed(path)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)] if tree else []
    words = [one.value for call in calls for one in call.args if isinstance(one, ast.Constant)]
    return list(dict.fromkeys(w for w in words if isinstance(w, str) and w.startswith("--") and w[2:].isidentifier()))
