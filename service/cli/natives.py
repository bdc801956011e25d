"""Owns which native definitions a checkout has, by the look of its files, and what `refit init` writes for them; refuses to run
any."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

_MOST_FILES = 5_000
_LARGEST = 1024 * 1024
_HIDDEN = frozenset({"node_modules", "venv", "site-packages", "__pycache__"})
_PIPELINE_JOB = re.compile(r"^(?:type:\s*['\"]?pipeline\b|\$schema:.*pipelineJob\.schema\.json)", re.MULTILINE)
_JOBS = re.compile(r"^jobs:", re.MULTILINE)
_DSL = re.compile(r"^\s*(?:from|import)\s+azure\.ai\.ml\b", re.MULTILINE)


def native_lines(repo: Path) -> list[str]:
    """Entries of `pipelines:`, one for each definition; none if there is no definition."""
    lines: list[str] = []
    names: set[str] = set()
    for uses, told in (*_sagemaker(repo), *_azureml(repo)):
        path, _, function = uses.partition(":")[2].partition(":")
        folder = path.rpartition("/")[0]
        name = name_of(function or folder.rpartition("/")[2] or "pipeline")
        name = name_of(path.rpartition(".")[0].replace("/", "-")) if name in names else name
        while name in names:
            name = f"{name}-2"
        names.add(name)
        lines += [f"  {name}:", f'    uses: "{uses}"', *(f"    {line}" for line in told)]
    return lines


def _sagemaker(repo: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """Files that declare a pipeline with SageMaker's own SDK, as AWS's project templates lay them out."""
    patterns = ("pipelines/*/pipeline.py", "*/pipelines/*/pipeline.py", "pipelines/pipeline.py", "pipeline.py")
    found = dict.fromkeys(path for pattern in patterns for path in sorted(repo.glob(pattern)))
    for path in found:
        tree = parsed(path)
        functions = (one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)) if tree else ()
        if any(one.name == "get_pipeline" for one in functions):
            yield (
                f"sagemaker:{path.relative_to(repo).as_posix()}",
                (
                    "backend: aws # the name of a SageMaker backend in the server's REFIT_BACKENDS",
                    "# with: {model_package_group_name: name} # arguments of get_pipeline besides region, role, default_bucket",
                    "# components: {Step: {constant_inputs: [input-1]}} # an input at a plain S3 URI makes its step always run",
                ),
            )


def _azureml(repo: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """Pipeline jobs in YAML, and functions that `@dsl.pipeline` makes pipelines of."""
    backend = "backend: azure # the name of an Azure ML backend in the server's REFIT_BACKENDS"
    constant = (
        "# components: {job: {constant_inputs: [environment]}} # what has no fixed version makes its job always run"
    )
    for path in _files(repo):
        told = path.relative_to(repo).as_posix()
        if path.suffix in (".yml", ".yaml"):
            text = _text(path)
            if _PIPELINE_JOB.search(text) and _JOBS.search(text):
                yield f"azureml:{told}", (backend, "# with: {input: value} # inputs of the pipeline", constant)
        elif _DSL.search(_text(path)):
            for function, needs in _dsl_functions(path):
                said = (
                    f"with: {{{', '.join(f'{name}: TODO' for name in needs)}}}"
                    if needs
                    else "# with: {argument: value}"
                )
                yield f"azureml:{told}:{function}", (backend, f"{said} # arguments of {function}()", constant)


def _dsl_functions(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Top-level functions that are pipelines, unless another top-level function that needs nothing calls them; with the names of
    the arguments that they need."""
    tree = parsed(path)
    functions = [one for one in tree.body if isinstance(one, ast.FunctionDef)] if tree else []
    pipelines = {one.name for one in functions if any(map(_is_pipeline, one.decorator_list))}
    callers = [
        one
        for one in functions
        if one.name not in pipelines and not _needs(one) and pipelines & _calls(one) and _returns(one)
    ]
    called = {name for one in callers for name in _calls(one)}
    for one in functions:
        if one in callers or (one.name in pipelines and one.name not in called):
            yield one.name, _needs(one)


def _is_pipeline(decorator: ast.expr) -> bool:
    made = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (isinstance(made, ast.Attribute) and made.attr == "pipeline") or (
        isinstance(made, ast.Name) and made.id == "pipeline"
    )


def _calls(function: ast.FunctionDef) -> set[str]:
    calls = (one.func for one in ast.walk(function) if isinstance(one, ast.Call))
    return {one.id for one in calls if isinstance(one, ast.Name)}


def _returns(function: ast.FunctionDef) -> bool:
    return any(isinstance(one, ast.Return) and one.value is not None for one in ast.walk(function))


def _needs(function: ast.FunctionDef) -> list[str]:
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    needed = plain[: len(plain) - len(given.defaults)]
    needed += [one for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True) if default is None]
    return [one.arg for one in needed]


def _files(repo: Path) -> Iterator[Path]:
    """YAML and Python files, near ones first; no hidden folder, no link."""
    waiting, left = [repo], _MOST_FILES
    while waiting and left:
        for path in sorted(waiting.pop(0).iterdir()):
            left -= 1
            if left <= 0:
                return
            if path.name.startswith(".") or path.name in _HIDDEN or path.is_symlink():
                continue
            if path.is_dir():
                waiting.append(path)
            elif path.suffix in (".yml", ".yaml", ".py"):
                yield path


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST).decode("utf-8", "replace")
    except OSError:
        return ""


def parsed(path: Path) -> ast.Module | None:
    """A Python file's syntax, if it has one."""
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError):
        return None


def name_of(text: str) -> str:
    """A pipeline's name in refit.yaml that looks like a text."""
    kept = "".join(c if c.isalnum() or c in "_-" else "-" for c in text)
    return kept if kept[:1].isalpha() else f"p-{kept}" if kept else "pipeline"
