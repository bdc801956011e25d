"""Owns the argument list of a step: a bare script with flags, or a command with placeholders; refuses a shell."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

_PYTHON = re.compile(r"python(?:3(?:\.\d+)?)?")
_SHELL = frozenset({"&&", "||"})
_SPACED = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")
_PLACEHOLDER = re.compile(r"\$\{\{(?:(inputs|outputs|params)\.([\w.-]+)|(metrics))\}\}")


class Unrunnable(Exception):
    """The declared command cannot be run; the text says why."""


def arguments(
    run: str,
    python: Path,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    flags: Sequence[tuple[str, Sequence[str]]],
    work: Path,
) -> list[str]:
    """``inputs`` and ``outputs`` map names to paths (``metrics`` is an output); ``flags`` are the parameters."""
    try:
        words = shlex.split(_SPACED.sub(r"${{\1}}", run))
    except ValueError as error:  # a quotation without an end
        raise Unrunnable(f"running the step: {run!r} cannot be split into words: {error}") from error
    if not words:
        raise Unrunnable("running the step: `run` is empty")
    if _SHELL.intersection(words):
        raise Unrunnable("running the step: no shell reads the command; put what `&&` or `||` joins into one script")
    if len(words) == 1 and words[0].endswith((".py", ".ipynb")):
        given = [word for name, path in {**inputs, **outputs}.items() for word in (f"--{name}", path)]
        given += [word for name, texts in flags for word in (f"--{name}", *texts)]
        return [str(python), _script(words[0], work), *given]
    values = {f"params.{name}": " ".join(texts) for name, texts in flags}
    values |= {f"inputs.{name}": path for name, path in inputs.items()}
    values |= {f"outputs.{name}": path for name, path in outputs.items()}
    values["metrics"] = outputs.get("metrics", "")
    words = [_filled(word, values) for word in words]
    if _PYTHON.fullmatch(words[0]):
        words[0] = str(python)
    elif words[0].endswith((".py", ".ipynb")):
        words = [str(python), _script(words[0], work), *words[1:]]
    return words


def _filled(word: str, values: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name = found.group(3) or f"{found.group(1)}.{found.group(2)}"
        if name not in values and found.group(1) == "params":
            name = f"params.{found.group(2).rpartition('.')[2]}"
        if name not in values:
            raise Unrunnable(f"running the step: {found.group(0)} names nothing that the component declares")
        return values[name]

    return _PLACEHOLDER.sub(value, word)


def _script(path: str, work: Path) -> str:
    """A script as it is; a notebook's code cells as a script beside it, since the environment may lack Jupyter."""
    if path.endswith(".py"):
        return path
    try:
        cells = json.loads((work / path).read_bytes())["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unrunnable(f"running the step: {path} is not a notebook that can be read") from error
    if any(line.lstrip().startswith(("%", "!")) for cell in code for line in cell.splitlines()):
        raise Unrunnable(f"running the step: {path} uses magics, which need Jupyter; steps are plain code cells")
    script = f"{path}.py"
    (work / script).write_text("\n\n".join(code) + "\n", encoding="utf-8", errors="surrogatepass")
    return script
