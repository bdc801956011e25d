"""Owns random repositories whose every line shows in what a step prints, and random edits of them; refuses to judge."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from service.domain.pipeline import Component, Manifest, Pipeline, RepositoryInput, Triggers, UpstreamInput
from tests.builders import Content, Link, Program

EFFORT = int(os.environ.get("REFIT_TEST_EFFORT", "1"))
"""How many times more examples than in CI."""

_SHOW = """\
import os as _os, sys as _sys
_here = _os.getcwd()
if "TRACE" in _os.environ:
    _trace = open(_os.environ["TRACE"], "a")
    _sys.addaudithook(lambda event, args: event == "open" and isinstance(args[0], str) and _trace.write(args[0] + "\\n"))
    _trace.write(__file__ + "\\n")
def _shown(word):
    if _os.path.isfile(word):
        print(open(word).read())
    for folder, folders, names in _os.walk(word):
        folders.sort()
        for name in sorted(names):
            print(folder, name, open(_os.path.join(folder, name)).read())
for _word in _sys.argv[1:]:
    print(_word)
    _shown(_word)
"""


@dataclass(frozen=True)
class Module:
    """A Python file: it imports, then prints its number; comments and docstrings are what may change without effect."""

    number: int = 0
    statements: tuple[str, ...] = ()
    comment: str = ""
    docstring: str = ""
    is_program: bool = False
    main: bool = False

    def text(self) -> Content:
        lines = [f'"""{self.docstring}"""'] if self.docstring else []
        lines += [f"# {self.comment}", "__all__ = ['a', 'c']", *([_SHOW] if self.main else [])]
        lines += [f"try:\n    {one}\nexcept Exception:\n    pass" for one in self.statements]
        lines.append(f"print({self.number})")
        text = "\n".join(lines) + "\n"
        return Program(text) if self.is_program else text


@dataclass(frozen=True)
class World:
    """A repository: modules and other files by path, the parameters, and what the components declare."""

    modules: Mapping[str, Module]
    others: Mapping[str, Content]
    params: tuple[str, str, str] = ("0.1", "7", "1")
    comment: str = ""
    cells: tuple[str, ...] = ("import a", "print(1)")
    markdown: str = ""
    declared: Mapping[str, object] = field(default_factory=dict)

    def files(self) -> dict[str, Content]:
        """Path → content, without what git could not hold: a file where there is a folder."""
        found: dict[str, Content] = {path: module.text() for path, module in self.modules.items()}
        found |= self.others
        lr, seed, other = self.params
        found["params.yaml"] = f"# {self.comment}\nlr: {lr}\nseed: {seed}\nother: {other}\n"
        found["nb.ipynb"] = self._notebook()
        found["run.sh"] = f"# {self.comment}\npython jobs/train.py\n"
        found["requirements.txt"] = f"# {self.comment}\n-r more.txt\n"
        folders = {"/".join(path.split("/")[:end]) for path in found for end in range(1, path.count("/") + 1)}
        return {path: content for path, content in found.items() if path not in folders}

    def _notebook(self) -> str:
        code = [{"cell_type": "code", "source": [text], "outputs": [self.markdown]} for text in (_SHOW, *self.cells)]
        return json.dumps({"cells": [{"cell_type": "markdown", "source": [self.markdown]}, *code]})

    def manifest(self) -> Manifest:
        """Three entry points, and a step that reads what the first one makes."""
        shared = {key: value for key, value in self.declared.items() if key in ("ignore", "environment")}
        own = {key: value for key, value in self.declared.items() if key not in ("ignore", "environment", "run")}
        components = (
            Component("script", str(self.declared.get("run", "jobs/train.py")), outputs=("model",), **own),  # type: ignore[arg-type]
            Component("module", "python -m jobs.train", params=("seed",)),
            Component("notebook", "nb.ipynb", inputs=(("raw", RepositoryInput("data")),)),
            Component(
                "after", "python src/b.py ${{inputs.model}}", inputs=(("model", UpstreamInput("script", "model")),)
            ),
        )
        return Manifest(Triggers(), (Pipeline("p", "local", components, **shared),))  # type: ignore[arg-type]


# statements -----------------------------------------------------------------------------------------------------------

_NAME = st.sampled_from(["a", "b", "c"])
_DOTTED = st.lists(_NAME, min_size=1, max_size=3).map(".".join)
STATIC = st.one_of(
    st.builds("import {}".format, _DOTTED),
    st.builds("from {} import {}".format, _DOTTED, _NAME),
    st.builds("from {} import *".format, _DOTTED),
    st.builds("from {}{} import {}".format, st.sampled_from([".", ".."]), st.one_of(st.just(""), _DOTTED), _NAME),
    st.builds("__import__('importlib').import_module('{}')".format, _DOTTED),
    st.builds("import {0}; print({0}.__doc__)".format, _NAME),
    st.just("import colorsys"),
)
_FILE = st.sampled_from(["src/a.py", "a/b.py", "jobs/b.py", "data/x"])


def once(action: str) -> str:
    """At most once in a tree of processes: a file that runs itself must end."""
    key = repr(action)
    return f"import os; os.environ.get({key}) or (os.environ.update({{{key}: '1'}}), {action})"


DYNAMIC = st.one_of(
    st.builds("__import__('importlib').import_module(''.join(['{}']))".format, _DOTTED),
    st.builds("import sys; sys.path.insert(0, '{}'); import c".format, st.sampled_from(["a", "jobs/a", "data"])),
    st.builds("exec(open('{}').read())".format, _FILE).map(once),
    st.builds("__import__('runpy').run_path('{}')".format, _FILE).map(once),
    st.builds("import runpy; runpy.run_path('{}')".format, st.just("tools/gone.py")),
    st.builds("__import__('subprocess').run([os.sys.executable, '{}'])".format, _FILE).map(once),
    st.just("import os; os.system('cat data/x')"),
    st.just("import os; os.system('cat data/x')"),
)

# repositories ---------------------------------------------------------------------------------------------------------

_FOLDERS = ["", "src", "jobs", "a", "b", "src/a", "jobs/a", "a/b"]
_LEAVES = ["__init__.py", "__init__.py", "a.py", "b.py", "c.py"]
PATH = st.one_of(
    st.builds(lambda folder, leaf: f"{folder}/{leaf}".lstrip("/"), st.sampled_from(_FOLDERS), st.sampled_from(_LEAVES)),
    st.sampled_from(["sitecustomize.py", "colorsys.py", "src/colorsys.py", "jobs/train.py", "jobs/__init__.py"]),
)
LINK = st.tuples(
    st.sampled_from(["a", "b", "src/b", "jobs/c", "c.py", "src/a", "data/l", "data", "store", "extra"]),
    st.sampled_from(
        ["src/a", "../a", "a", "b", "a/b", "../store", "store", "jobs/a.py", "gone", "data", "../data"]
    ).map(Link),
)
DATA = st.tuples(
    st.sampled_from(["data/x", "data/y", "data/deep/x", "store/x", "a/x.txt", "extra/x", "README.md", "data", "b/a/x"]),
    st.sampled_from(["1", "2", "print(3)"]),
)
LR = st.sampled_from(
    ["0.1", "0.10", "1e-3", "'0.1'", "[1, 2]", "[1, 3]", "{k: 1}", "null", "yes", "'${seed}'", "${other}"]
)
PARAMS = st.tuples(LR, st.sampled_from(["7", "8", "0x7"]), st.sampled_from(["1", "2"]))
WORDS = st.sampled_from(["", "one", "two"])


def modules(statements: st.SearchStrategy[str]) -> st.SearchStrategy[Module]:
    return st.builds(
        Module,
        number=st.integers(0, 2),
        statements=st.lists(statements, max_size=3).map(tuple),
        comment=WORDS,
        docstring=WORDS,
        is_program=st.booleans(),
    )


def worlds(
    statements: st.SearchStrategy[str], declarations: st.SearchStrategy[dict[str, object]]
) -> st.SearchStrategy[World]:
    def made(found: dict[str, Module], entry: Module, others: dict[str, Content], **more: object) -> World:
        return World(
            {"src/b.py": Module(main=True), **found, "jobs/train.py": replace(entry, main=True)}, others, **more
        )  # type: ignore[arg-type]

    return st.builds(
        made,
        found=st.dictionaries(PATH, modules(statements), max_size=8),
        entry=modules(statements),
        others=st.lists(LINK | DATA, max_size=5).map(dict),
        params=PARAMS,
        declared=declarations,
    )


# edits ----------------------------------------------------------------------------------------------------------------

Edit = tuple[str, object, object]


def edits(
    statements: st.SearchStrategy[str], declarations: st.SearchStrategy[dict[str, object]]
) -> st.SearchStrategy[Edit]:
    """(what, where, with what); see :func:`edited`. Where: a path, or the number of a module."""
    some = st.integers(0, 20)
    return st.one_of(
        st.tuples(st.just("module"), some, st.fixed_dictionaries({}, optional={
            "number": st.integers(0, 2), "comment": WORDS, "docstring": WORDS, "is_program": st.booleans()})),
        st.tuples(st.just("module"), some, st.fixed_dictionaries({"statements": st.lists(statements, max_size=3).map(tuple)})),
        st.tuples(st.just("add"), PATH, modules(statements)),
        st.tuples(st.just("rename"), some, PATH),
        st.tuples(st.just("delete"), some, st.none()),
        st.tuples(st.just("other"), st.none(), LINK | DATA),
        st.tuples(st.just("drop"), some, st.none()),
        st.tuples(st.just("params"), WORDS, PARAMS),
        st.tuples(st.just("notebook"), WORDS, st.lists(st.sampled_from(["import a", "print(2)", "import c.b"]), max_size=2)),
        st.tuples(st.just("declare"), st.none(), declarations),
    )  # fmt: skip


def edited(world: World, edit: Edit) -> World:
    """The world after one edit; an edit that fits nowhere changes nothing."""
    what, where, new = edit
    found, others = dict(world.modules), dict(world.others)
    paths = sorted(found)
    chosen = paths[where % len(paths)] if isinstance(where, int) and paths else ""
    match what:
        case "module" if chosen:
            found[chosen] = replace(found[chosen], **new)  # type: ignore[arg-type]
        case "add":
            main = str(where) in ("jobs/train.py", "src/b.py")
            found[str(where)] = replace(new, main=main)  # type: ignore[type-var]
        case "rename" if chosen:
            found[str(new)] = found.pop(chosen)
        case "delete" if chosen:
            del found[chosen]
        case "other":
            path, content = new  # type: ignore[misc]
            others[path] = content
        case "drop" if others and isinstance(where, int):
            del others[sorted(others)[where % len(others)]]
        case "params":
            return replace(world, params=new, comment=str(where))  # type: ignore[arg-type]
        case "notebook":
            return replace(world, markdown=str(where), cells=tuple(new))  # type: ignore[call-overload]
        case "declare":
            return replace(world, declared=new)  # type: ignore[arg-type]
    return replace(world, modules=found, others=others)
