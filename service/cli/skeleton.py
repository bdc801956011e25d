"""Owns the first ``refit.yaml`` that ``refit init`` proposes; refuses to guess what a script reads or writes."""

from __future__ import annotations

from pathlib import Path

SCHEMA = "refit.schema.json"
"""Where an editor finds the schema, if somebody has put it beside the manifest: `refit validate --schema` prints it."""
_STAGES = ("prepare", "preprocess", "featurize", "features", "train", "evaluate", "eval", "score", "test")
_PLACES = ("", "src", "scripts", "pipeline", "pipelines")


def skeleton(repo: Path) -> str:
    """YAML text: one component for each script that looks like a stage, with what a person must fill in."""
    scripts = _scripts(repo)
    environment = next(
        (n for n in ("requirements.lock", "requirements.txt", "pyproject.toml") if (repo / n).exists()), None
    )
    lines = [f"# yaml-language-server: $schema=./{SCHEMA}"] if (repo / SCHEMA).is_file() else []
    lines += ["version: 1", "triggers:", "  push: [main]", "  pull_request: [main]", 'ignore: ["**/*.md"]']
    if environment:
        lines.append(f"environment: {environment}")
    lines += ["pipelines:", f"  {_name(repo.resolve().name)}:", "    backend: local", "    components:"]
    for stage, path in scripts or [("train", "train.py")]:
        lines += [
            f"      {stage}:",
            f"        run: {path}",
            "        # params: [key.of.params]      # passed as --of_the_last_segment value",
            "        # inputs: {data: data/raw.csv} # a path, or another component's output: {model: train.model}",
            "        # outputs: [result]            # passed as --result <path to write>",
        ]
    return "\n".join(lines) + "\n"


def _scripts(repo: Path) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    folders = [repo / place for place in _PLACES if (repo / place).is_dir()]
    folders += [
        child
        for place in ("src",)
        if (repo / place).is_dir()
        for child in sorted((repo / place).iterdir())
        if child.is_dir()
    ]
    for folder in folders:
        for path in sorted(folder.glob("*.py")):
            if path.stem in _STAGES:
                found.setdefault(path.stem, path.relative_to(repo).as_posix())
    return sorted(found.items(), key=lambda item: _STAGES.index(item[0]))


def _name(text: str) -> str:
    kept = "".join(c if c.isalnum() or c in "_-" else "-" for c in text)
    return kept if kept[:1].isalpha() else f"p-{kept}" if kept else "pipeline"
