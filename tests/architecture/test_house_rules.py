"""The rules of the house, executable: rooms, sizes, opening sentences, names, no registry's host, no mocks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "service").rglob("*.py"))
MOST_LINES = 400
OWN_NOTHING = {"common", "helper", "helpers", "manager", "util", "utils"}
MOCKS = {"mock", "pytest_mock", "unittest.mock", "mockito", "flexmock", "responses", "respx", "requests_mock"}

# Split, or this file would break its own rule.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("debian", "org"),
        ("ubuntu", "com"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("ghcr", "io"),
        ("docker", "io"),
        ("quay", "io"),
        ("jsdelivr", "net"),
        ("unpkg", "com"),
    )
)


def tracked(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "-z", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_room_imports_only_what_it_may() -> None:
    lint = "from importlinter.cli import lint_imports_command as lint; lint()"
    done = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_stays_readable_and_opens_with_what_it_owns(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "open with one sentence: what it owns and what it refuses"
    assert len(text.splitlines()) <= MOST_LINES, f"more than {MOST_LINES} lines: find the second thing that it owns"


def test_no_module_has_a_name_that_owns_nothing() -> None:
    paths = [path for path in tracked("*.py") if OWN_NOTHING & {part.removesuffix(".py") for part in path.parts}]
    assert [named(path) for path in paths] == []


def test_no_file_names_the_host_of_a_registry() -> None:
    host = re.compile("|".join(re.escape(name) for name in REGISTRIES).encode(), re.IGNORECASE)
    found = [f"{named(path)}: {match[0].decode()}" for path in tracked() if (match := host.search(path.read_bytes()))]
    assert found == []


def test_no_test_imports_a_mock_library() -> None:
    found = [
        f"{named(path)}: {name}"
        for path in tracked("tests/*.py")
        for name in imports(ast.parse(path.read_text(encoding="utf-8")))
        if name in MOCKS or name.split(".")[0] in MOCKS
    ]
    assert found == []
