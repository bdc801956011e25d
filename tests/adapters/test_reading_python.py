"""Python source → facts: what counts, what does not, and what is doubted."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.reading.newer_python import read_imports
from service.adapters.reading.python_source import read_python
from service.domain.facts import Import, PythonFacts


def facts(source: str) -> PythonFacts:
    return read_python(source.encode())


def same(one: str, two: str) -> bool:
    return facts(one).kept == facts(two).kept


def doubted(source: str) -> list[tuple[str, int, str]]:
    return [(doubt.what, doubt.line, doubt.widen) for doubt in facts(source).doubts]


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("x = 1", "# why\n\n\nx  =  (1)\n"),
        ("x = 'a'", 'x = "a"'),
        ("def f(): return 1", "def f():\n    # no\n    return 1"),
        ("x = 1", "x = 1\r\n"),
        ("x = 1", "\ufeffx = 1"),
        ("x = 1000", "x = 1_000"),
    ],
)
def test_layout_and_comments_do_not_count(one: str, two: str) -> None:
    assert same(one, two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("x = 1", "x = 2"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 'a'", "x = b'a'"),
        ("if a:\n  b\nc", "if a:\n  b\n  c"),
        ("def f(a, /): ...", "def f(a): ..."),
        ("", "pass"),
    ],
)
def test_what_the_program_does_counts(one: str, two: str) -> None:
    assert not same(one, two)


# trap 13 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place", ["{}x = 1", "def f():\n  {}return 1", "class A:\n  {}x = 1", "async def f():\n  {}return 1"]
)
def test_docstrings_are_in_one_hash_and_not_in_the_other(place: str) -> None:
    one, two, none = (facts(place.format(text)) for text in ("'one'; ", "'two'; ", ""))
    assert one.kept != two.kept
    assert one.blanked == two.blanked == none.blanked


def test_other_strings_are_no_docstrings() -> None:
    assert facts("x = 1\n'one'").blanked != facts("x = 1\n'two'").blanked
    assert facts("f'one'").blanked != facts("f'two'").blanked


@pytest.mark.parametrize(
    "source",
    [
        "print(f.__doc__)",
        "argparse.ArgumentParser(description=__doc__)",
        "getattr(f, '__doc__')",
        "import inspect\ninspect.getdoc(f)",
        "from inspect import getsource",
        "import ast\nast.get_docstring(tree)",
        "from docopt import docopt",
        "import dspy",
        "import torch\n@torch.jit.script\ndef f(): ...",
        "from torch import jit",
        "import torch as t\nt.jit.trace(f)",
    ],
)
def test_observers_of_docstrings(source: str) -> None:
    assert facts(source).reads_docstrings


def test_ordinary_code_observes_no_docstring() -> None:
    assert not facts("'''doc'''\nimport torch\nimport inspect\ntorch.nn.Linear(1, 2)").reads_docstrings


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("#!/usr/bin/python\n", "#!/usr/bin/env python3.12\n"),
        ("# -*- coding: utf-8 -*-\n", "# -*- coding: latin-1 -*-\n"),
        ("x = []  # type: list[int]\n", "x = []  # type: list[str]\n"),
        ("# cython: boundscheck=False\n", "# cython: boundscheck=True\n"),
        ("# distutils: language=c++\n", "# distutils: language=c\n"),
        (
            "# /// script\n# dependencies = ['a']\n# ///\n",
            "# /// script\n# dependencies = ['b']\n# ///\n",
        ),
    ],
)
def test_magic_comments_count(one: str, two: str) -> None:
    assert not same(one, two)
    assert not same(one, "")
    assert facts(one).blanked != facts(two).blanked


def test_a_magic_comment_inside_a_string_is_none() -> None:
    assert same("x = '# type: int'  # a", "x = '# type: int'  # b")


def test_a_line_of_a_million_hashes_is_quick() -> None:
    assert read_python(b"#" * 1_000_000).imports == ()


# traps 4, 8, 9 --------------------------------------------------------------------------------------------------------


def test_imports_as_written() -> None:
    source = "import a.b as c, d\nfrom .. import e\nfrom .f import g as h, i\nfrom j import *\ndef k():\n    import l\n"
    assert facts(source).imports == (
        Import("a.b"),
        Import("d"),
        Import("", ("e",), 2),
        Import("f", ("g", "i"), 1),
        Import("j", ("*",)),
        Import("l"),
    )


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import importlib as i\ni.import_module('a.b')", Import("a.b")),
        ("from importlib import import_module\nimport_module(name='a')", Import("a")),
        ("import importlib\nimportlib.import_module('.c', package='a.b')", Import("a.b.c")),
        ("import importlib\nimportlib.import_module('..c', 'a.b')", Import("a.c")),
        ("import importlib\nimportlib.import_module('.c', __package__)", Import("c", (), 1)),
        ("__import__('a', globals(), locals(), ['b'], 1)", Import("a", ("b",), 1)),
        ("__import__('importlib').import_module('a')", Import("a")),
        ("import runpy\nrunpy.run_module('a')", Import("a", ("__main__",))),
        ("import hydra\nhydra.utils.get_class('a.B')", Import("a.B")),
    ],
)
def test_literal_dynamic_imports(source: str, found: Import) -> None:
    assert found in facts(source).imports
    assert not facts(source).doubts


@pytest.mark.parametrize(
    ("source", "exports"),
    [
        ("__all__ = ['a', 'b']", ("a", "b")),
        ("__all__: list[str] = ['a']", ("a",)),
        ("__all__ = ('a',)\n__all__ += ['b']", ("a", "b")),
        ("__all__ = ['a'] + other.__all__", ("a", "*")),
        ("__all__ = ['a']\n__all__.extend(x)", ("a", "*")),
        ("__all__ = [n for n in dir()]", ("*",)),
    ],
)
def test_exports(source: str, exports: tuple[str, ...]) -> None:
    assert facts(source).exports == exports


# trap 7 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "what", "widen"),
    [
        ("sys.path.insert(0, 'lib')", "changes the import path", "python"),
        ("sys.path += ['lib']", "changes the import path", "python"),
        ("sys.path[0:0] = ['lib']", "changes the import path", "python"),
        ("sys.meta_path.append(finder)", "changes the import path", "python"),
        ("__path__ = extend(__path__, __name__)", "changes the import path", "python"),
        ("importlib.import_module(f'models.{x}')", "computes the name of an import", "python"),
        ("__import__(x)", "computes the name of an import", "python"),
        ("load = importlib.import_module", "hands import_module on", "python"),
        ("run(exec)", "hands exec on", "all"),
        ("exec(open('a.txt').read())", "executes source text", "all"),
        ("eval(x)", "eval may import anything", "python"),
        ("pkgutil.walk_packages(p)", "pkgutil.walk_packages may import anything", "python"),
        ("runpy.run_path(x)", "runpy.run_path loads a computed path", "python"),
        ("subprocess.run(['make'])", "runs another program", "all"),
        ("os.execvp('a', [])", "runs another program", "all"),
    ],
)
def test_what_cannot_be_followed_is_a_doubt_with_its_line(line: str, what: str, widen: str) -> None:
    source = f"import importlib, os, pkgutil, runpy, subprocess, sys\n\n{line}\n"
    assert doubted(source) == [(what, 3, widen)]


def test_aliases_do_not_hide_anything() -> None:
    assert doubted("from sys import path as p\np.append('x')") == [("changes the import path", 2, "python")]
    assert doubted("def f():\n    run('x')\nfrom subprocess import run") == [("runs another program", 2, "all")]


def test_a_module_that_a_call_returns_hides_nothing_either() -> None:
    program = [("runs another program", 1, "all")]
    assert doubted("__import__('subprocess').run('x')") == program
    assert doubted("__import__('os.path').system('x')") == program, "`__import__` returns the top-level package"
    assert doubted("sp = __import__('subprocess'); sp.run('x')") == program
    assert doubted("__import__('importlib').import_module('subprocess').run('x')") == program
    assert doubted("from importlib import import_module as load; load('a.b').x()") == []
    assert facts("__import__('runpy').run_path('tools/a.py')").scripts == ("tools/a.py",)


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess\nsubprocess.run(['python', 'tools/a.py', '--x'])",
        "import os\nos.system('python tools/a.py > log')",
        "import runpy\nrunpy.run_path('tools/a.py')",
        "exec(open('tools/a.py').read())",
        "from importlib.util import spec_from_file_location\nspec_from_file_location('a', 'tools/a.py')",
    ],
)
def test_literal_scripts_are_named(source: str) -> None:
    assert facts(source).scripts == ("tools/a.py",)


def test_methods_called_eval_are_no_doubt() -> None:
    assert not facts("model.eval()\ndf.eval('a + b')\nre.compile('x')").doubts


# trap 10 --------------------------------------------------------------------------------------------------------------

NEWER = [
    "import lib\ntype X = int\n",
    "import lib\ndef f[T](x: T) -> T: ...\n",
    "import lib\nclass A[T]: ...\n",
    "import lib\nx = f'{d['a']}'\n",
]


@pytest.mark.parametrize("source", NEWER)
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this interpreter can parse it")
def test_source_newer_than_the_running_python_has_imports_and_no_doubt(source: str) -> None:
    found = facts(source)
    assert found.imports == (Import("lib"),)
    assert found.doubts == ()
    assert facts(source + "# comment").kept == found.kept
    assert facts(source + "x = 1").kept != found.kept


@pytest.mark.parametrize("source", NEWER)
def test_tree_sitter_reads_newer_source(source: str) -> None:
    assert read_imports(source.encode()) == ([Import("lib")], [])


def test_tree_sitter_reads_every_form_of_import() -> None:
    source = b"import a.b as c, d\nfrom .. import e\nfrom .f import (g as h, i)\nfrom j import *\nif 1:\n  import k\n"
    assert read_imports(source)[0] == list(facts(source.decode()).imports)


def test_newer_source_is_doubted_where_it_looks_dynamic() -> None:
    _, doubts = read_imports(b"type X = int\nimport subprocess\n")
    assert [doubt.widen for doubt in doubts] == ["all"]


@pytest.mark.parametrize("source", ["import lib\ndef (:\n", "import lib\n\0"])
def test_what_nobody_can_parse_is_doubted_and_counts_by_its_bytes(source: str) -> None:
    found = facts(source)
    assert [doubt.widen for doubt in found.doubts] == ["python"]
    assert found.kept.startswith("bytes ")


def test_python_2_still_has_imports() -> None:
    found = facts("print 'python 2'\nimport lib\n")
    assert found.imports == (Import("lib"),)
    assert found.doubts == ()


def test_an_unparseable_observer_of_docstrings_still_observes_them() -> None:
    assert facts("type X = (\nprint(lib.__doc__)").reads_docstrings


# resilience -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        b"x = " + b"(" * 5_000 + b")" * 5_000,
        b"x = 0x" + b"f" * 100_000,
        b"x = " + b"-" * 20_000 + b"1",
        b"# coding: nonsense\nimport a",
        b"\xff\xfe\x00",
        b"x = '\\ud800'",
        b"import a." + b"a." * 50_000 + b"a",
    ],
)
def test_hostile_source_becomes_facts(source: bytes) -> None:
    assert read_python(source).kept


@given(st.binary(max_size=200))
def test_any_bytes_become_facts(source: bytes) -> None:
    assert read_python(source) == read_python(source)


@given(st.text(alphabet="import fromax_.*()\n'\"[]=:#", max_size=80))
def test_any_text_becomes_facts(source: str) -> None:
    assert read_python(source.encode()).blanked
