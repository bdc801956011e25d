"""The real interpreter loads nothing from a repository that the closure does not have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.adapters.reading import IsolatedReader
from service.domain.closure import trace
from tests.builders import Content, Link, empty_shelf, repository, settle

_CONFESSION = """
import json as _json, sys as _sys
_json.dump([m.__file__ for m in list(_sys.modules.values()) if getattr(m, "__file__", None)], _sys.stdout)
"""


def loaded(root: Path, files: Mapping[str, Content], command: list[str]) -> set[str]:
    """Write the repository, run the command as the runner does, and ask it what it has loaded from there."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            target.symlink_to(content)
        else:
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
    roots = [str(root), *([str(root / "src")] if (root / "src").is_dir() else [])]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=root,
        env={"PYTHONPATH": os.pathsep.join(roots), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    real = root.resolve()
    found = {Path(name).resolve() for name in json.loads(done.stdout)}
    return {path.relative_to(real).as_posix() for path in found if path.is_relative_to(real)}


def closed(files: Mapping[str, Content], command: list[str], reader: IsolatedReader) -> set[str]:
    tree, blobs = repository(files)
    text = " ".join(["python", *command])
    closure = settle(lambda shelf: trace(text, (), (), tree, shelf), empty_shelf(), blobs, reader)
    return {path for path, _ in closure.files}


TRAPS: dict[str, Content] = {
    "jobs/train.py": """
import utils, ns.one, ns.two, foo, app, importlib
from pkg import sub, constant
from pkg.deep import leaf
from starred import *
from linked.inner import thing
importlib.import_module("late.module")
__import__("late", fromlist=["other"])
def train():
    import inside
train()
try:
    import missing
except ImportError:
    import fallback
"""
    + _CONFESSION,
    "jobs/utils.py": "import near",
    "utils.py": "raise SystemExit('the wrong utils')",
    "jobs/near.py": "",
    "ns/one.py": "from . import three",
    "src/ns/two.py": "",
    "src/ns/three.py": "from .two import __name__",
    "foo.py": "raise SystemExit('the package wins')",
    "foo/__init__.py": "",
    "pkg/__init__.py": "import side\nconstant = 1",
    "pkg/sub.py": "from . import sibling\nfrom .deep import up",
    "pkg/sibling.py": "",
    "pkg/deep/__init__.py": "",
    "pkg/deep/leaf.py": "from .. import cousin\nfrom ..cousin import x",
    "pkg/deep/up.py": "",
    "pkg/cousin.py": "x = 1",
    "side.py": "",
    "starred/__init__.py": "__all__ = ['shown']",
    "starred/shown.py": "",
    "starred/hidden.py": "",
    "src/app/__init__.py": "from app.core import run",
    "src/app/core.py": "import utils\nrun = 1",
    "linked": Link("vendor/lib"),
    "vendor/lib/inner/__init__.py": "",
    "vendor/lib/inner/thing.py": "from ..top import y",
    "vendor/lib/top.py": "y = 1",
    "late/__init__.py": "",
    "late/module.py": "",
    "late/other.py": "",
    "inside.py": "",
    "fallback.py": "",
    "sitecustomize.py": "import early",
    "early.py": "",
    "unrelated.py": "",
}


def test_every_file_that_the_trap_repository_loads_is_in_the_closure(tmp_path: Path, reader: IsolatedReader) -> None:
    run = loaded(tmp_path, TRAPS, ["jobs/train.py"])
    known = closed(TRAPS, ["jobs/train.py"], reader)
    assert len(run) > 25
    assert run <= known
    assert not known & {"utils.py", "foo.py", "starred/hidden.py", "unrelated.py"}


def test_python_m_loads_what_the_closure_has(tmp_path: Path, reader: IsolatedReader) -> None:
    files = {**TRAPS, "src/app/__main__.py": "import utils, app.core" + _CONFESSION, "utils.py": ""}
    run = loaded(tmp_path, files, ["-m", "app"])
    assert "utils.py" in run
    assert run <= closed(files, ["-m", "app"], reader)


_NAME = st.sampled_from(["a", "b", "c"])
_DOTTED = st.lists(_NAME, min_size=1, max_size=3).map(".".join)
_STATEMENT = st.one_of(
    st.builds("import {}".format, _DOTTED),
    st.builds("from {} import {}".format, _DOTTED, _NAME),
    st.builds("from {} import *".format, _DOTTED),
    st.builds("from {}{} import {}".format, st.sampled_from([".", ".."]), st.one_of(st.just(""), _DOTTED), _NAME),
    st.builds("__import__('importlib').import_module('{}')".format, _DOTTED),
)
_FOLDERS = ["", "src", "jobs", "a", "b", "src/a", "src/b", "jobs/a", "a/b", "src/a/b", "a/b/c"]
_PATH = st.builds(
    lambda folder, leaf: f"{folder}/{leaf}".lstrip("/"),
    st.sampled_from(_FOLDERS),
    st.sampled_from(["__init__.py", "__init__.py", "a.py", "b.py", "c.py"]),
)
_LINKS = st.dictionaries(
    st.sampled_from(["a", "b", "src/b", "jobs/c", "c.py", "src/a"]),
    st.sampled_from(["src/a", "../a", "a", "b", "a/b", ".", "jobs/a.py", "gone"]).map(Link),
    max_size=2,
)
_COMMAND = st.sampled_from([["jobs/train.py"], ["-m", "jobs.train"], ["src/train.py"], ["train.py"]])


def _source(statements: list[str]) -> str:
    exports = "__all__ = ['a', 'c']\n"
    tries = [f"try:\n    {one}\nexcept Exception:\n    pass\n" for one in statements]
    return exports + "".join(tries)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    modules=st.dictionaries(_PATH, st.lists(_STATEMENT, max_size=3), max_size=12),
    links=_LINKS,
    entry=st.lists(_STATEMENT, min_size=1, max_size=5),
    command=_COMMAND,
)
def test_random_repositories_load_only_what_the_closure_has(
    modules: dict[str, list[str]], links: dict[str, Link], entry: list[str], command: list[str], reader: IsolatedReader
) -> None:
    script = "jobs/train.py" if command[0] == "-m" else command[0]
    files: dict[str, Content] = {path: _source(statements) for path, statements in modules.items()}
    files[script] = _source(entry) + _CONFESSION
    for path, link in links.items():
        if path not in files and not any(other.startswith(path + "/") for other in files):
            files[path] = link
    with TemporaryDirectory() as folder:
        run = loaded(Path(folder), files, command)
    assert run <= closed(files, command, reader)


@pytest.mark.parametrize("present", [["m/__init__.py", "m.py"], ["m.py", "m/x.txt"], ["src/m/__init__.py", "m/x.txt"]])
def test_the_finders_order_is_cpythons(tmp_path: Path, reader: IsolatedReader, present: list[str]) -> None:
    files: dict[str, Content] = {"train.py": "import m" + _CONFESSION, **dict.fromkeys(present, "")}
    assert loaded(tmp_path, files, ["train.py"]) == closed(files, ["train.py"], reader)
