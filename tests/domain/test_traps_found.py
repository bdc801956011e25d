"""Owns what an adversary found in Python code: changes that were skipped and cosmetic ones that were run; refuses git.

Every case is judged from nothing and from the neighbour, which must agree.
"""

from __future__ import annotations

import json

import pytest

from service.adapters.reading import IsolatedReader
from tests.judge import Judge
from tests.planning import single

ONE, TWO = "x = 1\n", "x = 2\n"
SCRIPT = "src/train.py"


@pytest.fixture
def judge(reader: IsolatedReader) -> Judge:
    return Judge(reader)


# what a program can load without an import statement ------------------------------------------------------------------

LOADS = [
    "from importlib.machinery import SourceFileLoader\nSourceFileLoader('util', path).load_module()",
    "from importlib.machinery import SourceFileLoader\nSourceFileLoader('util', 'src/util.py').load_module()",
    "import importlib.util\nimportlib.util.module_from_spec(importlib.util.find_spec('util'))",
    "import importlib.util\nimportlib.util.find_spec(name)",
    "import pkgutil\npkgutil.resolve_name('util:x')",
    "import pkgutil\npkgutil.resolve_name(name)",
    "import imp\nimp.load_module('util', *imp.find_module('util'))",
    "import zipimport\nzipimport.zipimporter('lib.zip').load_module('util')",
    "from importlib.metadata import entry_points\nfor one in entry_points(group='g'): one.load()",
    "import lazy_loader\n__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=['util'])",
    "import torch\ntorch.hub.load('.', 'm', source='local')",
    "import unittest\nunittest.defaultTestLoader.loadTestsFromName(name)",
    "import pytest\npytest.main(['tests'])",
    "import pty\npty.spawn(argv)",
    "import papermill\npapermill.execute_notebook(a, b)",
    "import mlflow\nmlflow.run('.')",
    "from code import InteractiveInterpreter\nInteractiveInterpreter().runcode(c)",
    "from subprocess import *\nrun(['python', 'src/util.py'])",
    "import subprocess\nstart = subprocess.run\nstart(['python', path])",
    "import subprocess, functools\nfunctools.partial(subprocess.run, check=True)(argv)",
    "import os\npool.map(os.system, commands)",
    "import sys\npaths = sys.path\npaths.insert(0, 'lib')",
    "import sys\nextend(sys.path)",
    "import sys\ngetattr(sys, 'path').insert(0, 'lib')",
    "import importlib\ngetattr(importlib, 'import_module')(name)",
    "from django.utils.module_loading import import_string\nimport_string(name)",
    "from hydra.utils import instantiate\ninstantiate({'_target_': 'util.Model'})",
    "from hydra.utils import instantiate\ninstantiate(config)",
]


@pytest.mark.parametrize("code", LOADS)
def test_code_that_is_loaded_without_an_import_counts(judge: Judge, code: str) -> None:
    assert judge.runs({SCRIPT: code, "src/util.py": ONE}, {"src/util.py": TWO})


HARMLESS = [
    "import sys\nif 'x' not in sys.path: print(sys.path)",
    "import os, sys\nos.pathsep.join(sys.path)",
    "import platform\nplatform.system()",
    "import subprocess\ntry: f()\nexcept OSError as e: x = subprocess.PIPE",
    "from pathlib import Path\nhere = Path(__file__).parent",
    "getattr(model, 'eval')()",
    "import agents",
]


@pytest.mark.parametrize("code", HARMLESS)
def test_ordinary_code_widens_nothing(judge: Judge, code: str) -> None:
    assert judge.notes({SCRIPT: code}) == ()
    assert not judge.runs({SCRIPT: code, "lib/util.py": ONE}, {"lib/util.py": TWO})


def test_hydras_targets_answer_what_it_instantiates(judge: Judge) -> None:
    declared = single(SCRIPT, params=("conf.yaml:",))
    files = {
        SCRIPT: "import hydra\nhydra.utils.instantiate(c)",
        "conf.yaml": "_target_: lib.Net",
        "src/lib.py": ONE,
        "a.py": ONE,
    }
    assert judge.runs(files, {"src/lib.py": TWO}, declared)
    assert not judge.runs(files, {"a.py": TWO}, declared)


@pytest.mark.parametrize(
    ("package", "climbed", "reached"),
    [
        ("PKG", ".impl", "src/other/impl.py"),
        ("__name__", ".impl", "src/pkg/impl.py"),
        ("__package__", ".impl", "src/pkg/impl.py"),
    ],
)
def test_the_package_of_a_relative_dynamic_import(judge: Judge, package: str, climbed: str, reached: str) -> None:
    files = {
        SCRIPT: "import pkg",
        "src/pkg/__init__.py": f"import importlib\nimportlib.import_module({climbed!r}, {package})",
        "src/other/__init__.py": "",
        reached: ONE,
    }
    assert judge.runs(files, {reached: TWO})


def test_a_module_that_takes_its_own_name_for_its_package(judge: Judge) -> None:
    files = {
        SCRIPT: "import pkg.m",
        "src/pkg/__init__.py": "",
        "src/pkg/m.py": "import importlib\nimportlib.import_module('..impl', __name__)",
        "src/pkg/impl.py": ONE,
    }
    assert judge.runs(files, {"src/pkg/impl.py": TWO})


BESIDE = "import importlib.util\nfrom pathlib import Path\nimportlib.util.spec_from_file_location('p', {})"


@pytest.mark.parametrize(
    ("path", "loaded"),
    [
        ("Path(__file__).parent / 'plug.py'", "src/plug.py"),
        ("Path(__file__).resolve().parents[1] / 'lib' / 'plug.py'", "lib/plug.py"),
        ("os.path.join(os.path.dirname(__file__), 'plug.py')", "src/plug.py"),
        ("os.path.join('lib', 'plug.py')", "lib/plug.py"),
        ("Path('lib', 'plug.py')", "lib/plug.py"),
        ("f'{folder}plug.py'", "lib/plug.py"),
        ("'plug.py'", "src/plug.py"),
        ("'plug.py'", "plug.py"),
    ],
)
def test_the_file_that_is_loaded_is_the_one_that_counts(judge: Judge, path: str, loaded: str) -> None:
    files = {SCRIPT: BESIDE.format(path), "src/plug.py": ONE, "plug.py": ONE, "lib/plug.py": ONE}
    assert judge.runs(files, {loaded: TWO})


def test_a_file_named_from_the_file_itself_is_not_sought_elsewhere(judge: Judge) -> None:
    files = {SCRIPT: BESIDE.format("Path(__file__).parent / 'plug.py'"), "src/plug.py": ONE, "plug.py": ONE}
    assert not judge.runs(files, {"plug.py": TWO})


@pytest.mark.parametrize(
    "init",
    [
        "__all__, other = ['b'], 1",
        "globals()['__all__'] = ['b']",
        "from .names import exported as __all__",
        "__all__ = []\n__all__.insert(0, 'b')",
        "(__all__ := ['b'])",
    ],
)
def test_all_may_be_bound_in_many_ways(judge: Judge, init: str) -> None:
    files = {SCRIPT: "from a import *", "src/a/__init__.py": init, "src/a/b.py": ONE}
    assert judge.runs(files, {"src/a/b.py": TWO})


def test_cython_source_may_import_anything(judge: Judge) -> None:
    assert judge.runs({SCRIPT: "import a", "src/a.pyx": "import b", "src/b.py": ONE}, {"src/b.py": TWO})


TAGGED = "src/a.cpython-311-x86_64-linux-gnu.so"


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ("import a", TAGGED),
        ("import a", "src/a.cpython-312-darwin.so"),
        ("from pkg import a", "src/pkg/a.cpython-310-aarch64-linux-gnu.so"),
        ("import a.b", "src/a/__init__.pypy310-pp73-x86_64-linux-gnu.so"),
    ],
)
def test_an_extension_module_may_carry_its_interpreter_in_its_name(judge: Judge, code: str, path: str) -> None:
    files = {SCRIPT: code, "src/pkg/__init__.py": "", path: b"1"}
    assert judge.runs(files, {path: b"2"})
    assert any("is compiled" in note for note in judge.notes(files))
    assert judge.runs({SCRIPT: code, "src/pkg/__init__.py": "", "src/a.py": ""}, {path: b"1"})


def test_an_extension_module_for_another_interpreter_hides_nothing(judge: Judge) -> None:
    declared = single(SCRIPT, paths=("conf/**",))  # declared, so that compiled code widens nothing
    files = {SCRIPT: "import a", TAGGED: b"1", "src/a.py": ONE, "src/b.cpython-311-x.so": b"1", "conf/a": ""}
    assert judge.runs(files, {"src/a.py": TWO}, declared)
    assert not judge.runs(files, {"src/b.cpython-311-x.so": b"2"}, declared)


@pytest.mark.parametrize("path", ["src/random.py", "queue.py", "src/logging/__init__.py"])
def test_a_module_with_a_standard_name_is_imported_by_others(judge: Judge, path: str) -> None:
    files = {SCRIPT: "import numpy", path: ONE}
    assert judge.runs({SCRIPT: "import numpy"}, {path: ONE})
    assert judge.runs(files, {path: TWO})
    assert not judge.runs(files, {path: ONE + "# why"})
    assert any("takes the place of" in note for note in judge.notes(files))


@pytest.mark.parametrize("path", ["lib/random.py", "src/pkg/random.py", "src/this.py", "src/os.py", "src/random/a.txt"])
def test_a_standard_name_elsewhere_replaces_nothing(judge: Judge, path: str) -> None:
    assert not judge.runs({SCRIPT: "import numpy", path: ONE}, {path: TWO})


@pytest.mark.parametrize("command", ["python a.py --config-dir conf", "python a.py --config-dir=conf/", "a.py conf"])
def test_a_folder_that_a_command_is_given_counts(judge: Judge, command: str) -> None:
    files = {"a.py": ONE, "conf/x.yaml": "a: 1", "other/x.yaml": "a: 1"}
    assert judge.runs(files, {"conf/x.yaml": "a: 2"}, single(command))
    assert judge.runs(files, {"conf/deep/y.yaml": "a: 2"}, single(command))
    assert not judge.runs(files, {"other/x.yaml": "a: 2"}, single(command))


# comments and docstrings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "import inspect, util\nprint(inspect.getsource(util))",
        "from inspect import getsource as show\nimport util\nprint(show(util))",
        "import util\nprint(open(__file__).read())",
        "import util\nfrom pathlib import Path\nPath(__file__).resolve().read_text()",
        "import util, shutil\nshutil.copy(__file__, out)",
    ],
)
def test_comments_count_where_source_text_is_read(judge: Judge, code: str) -> None:
    assert judge.runs({SCRIPT: code, "src/util.py": ONE}, {"src/util.py": "# why\n" + ONE})
    assert judge.runs({SCRIPT: code, "src/util.py": ONE}, {SCRIPT: "# why\n" + code})
    assert any("comments count too" in note for note in judge.notes({SCRIPT: code}))


@pytest.mark.parametrize(
    "code",
    [
        "from langchain_core.tools import tool\n@tool\ndef f(x):\n  {}\n",
        "from pydantic import BaseModel\nclass A(BaseModel):\n  {}\nprint(A.model_json_schema())",
        "import ply.yacc\ndef p_e(p):\n  {}\nply.yacc.yacc()",
    ],
)
def test_docstrings_that_libraries_read_count(judge: Judge, code: str) -> None:
    assert judge.runs({SCRIPT: code.format("'one'")}, {SCRIPT: code.format("'two'")})


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("x = 1\ny = 2\n# one-hot encoding: as in A", "x = 1\ny = 2\n# one-hot encoding: as in B"),
        ("x = 1\n#! careful", "x = 1\n#! be careful"),
        ("# Copyright\n# a\n# coding: x", "# Copyright\n# a\n# coding: y"),
    ],
)
def test_comments_that_only_look_magic_do_not_count(judge: Judge, one: str, two: str) -> None:
    assert not judge.runs({SCRIPT: one}, {SCRIPT: two})


@pytest.mark.parametrize(
    ("one", "two", "runs"),
    [
        ("type X = int\nx = 1", "# why\ntype  X = int  # or not\n\nx = 1", False),
        ("type X = int", "type X = str", True),
        ("x = f'{d['a']}'", "x = f'{d['b']}'", True),
        ("x = f'{d['a']} # 1'", "x = f'{d['a']} # 2'", True),
        ("if a:\n  type X = int\n  b()", "if a:\n  type X = int\nb()", True),
        ("def f[T](x): ...\nx = []  # type: list[int]", "def f[T](x): ...\nx = []  # type: list[str]", True),
        ("#!/bin/a\ntype X = int", "#!/bin/b\ntype X = int", True),
        ("def f[T](x):\n  '''one'''", "def f[T](x):\n  '''two'''", True),
        ("type X = int\nx = 'a' \\\n  'b'", "type X = int\nx = 'a' 'b'", False),
    ],
)
def test_source_newer_than_the_running_python_is_compared_without_its_comments(
    judge: Judge, one: str, two: str, runs: bool
) -> None:
    assert judge.runs({SCRIPT: one}, {SCRIPT: two}) is runs


# notebooks ------------------------------------------------------------------------------------------------------------


def notebook(*cells: str) -> str:
    return json.dumps({"cells": [{"cell_type": "code", "source": cell, "metadata": {}} for cell in cells]})


@pytest.mark.parametrize(
    "cells",
    [
        ["%time import util"],
        ["%timeit -n1 __import__('util')"],
        ["a = %time __import__('util')"],
        ["if x:\n    %time import util"],
        ["%%skip_if x\nimport util"],
        ["%%python3\nimport util"],
        ["out = !python util.py"],
        ["out = !python $script"],
        ["out = %sx python $script"],
        ["get_ipython().system('python util.py')"],
        ["get_ipython().getoutput(command)"],
        ["get_ipython().run_line_magic('run', script)"],
        ["get_ipython().run_cell_magic('bash', '', text)"],
        ["%cd lib", "import util"],
        ["import os\nos.chdir('lib')", "import util"],
    ],
)
def test_what_the_magics_of_a_notebook_run_counts(judge: Judge, cells: list[str]) -> None:
    files = {"n.ipynb": notebook(*cells), "util.py": ONE, "lib/util.py": ONE}
    assert judge.runs(files, {"util.py": TWO, "lib/util.py": TWO}, single("n.ipynb"))


@pytest.mark.parametrize(
    ("one", "two"), [("%%html\n# one", "%%html\n# two"), ("%%custom\nx = 1  # one", "%%custom\nx = 1  # two")]
)
def test_a_cell_whose_language_is_not_known_counts_as_it_is_written(judge: Judge, one: str, two: str) -> None:
    assert judge.runs({"n.ipynb": notebook(one)}, {"n.ipynb": notebook(two)}, single("n.ipynb"))
    assert not judge.runs(
        {"n.ipynb": notebook("%%time\nx = 1")}, {"n.ipynb": notebook("%%time\nx = 1  # why")}, single("n.ipynb")
    )
