"""A closure after a change that left its code's way alone: what `retrace` says without tracing, tracing would say too."""

from __future__ import annotations

import pytest

from service.adapters.reading import IsolatedReader
from service.domain.assessment import Assessment
from tests.builders import Content, Link
from tests.planning import assessed, reassessed, single

FILES: dict[str, Content] = {
    "tool": "import lib, table\nprint(lib.F, table.rows())\n",
    "lib.py": '"""Doc."""\nF = 1\n',
    "table.py": "import os\n\ndef rows():\n    return [open('conf/' + name) for name in os.listdir('conf')]\n",
    "conf/a.yaml": "a: 1\n",
    "core/__init__.py": "",
    "README.md": "",
}
DECLARED = single("python tool")
WALKED: list[tuple[str, str, Content | None]] = [
    ("an import more", "lib.py", "import core\nF = 1\n"),
    ("a file read more", "lib.py", "F = open('README.md').read()\n"),
    ("a program run", "lib.py", "import os\nos.system('make')\nF = 1\n"),
    ("docstrings shown", "lib.py", '"""Doc."""\nF = __doc__\n'),
    ("a file in a folder that is read", "conf/b.yaml", "b: 1\n"),
    ("a file gone from there", "conf/a.yaml", None),
    ("a module that takes a name", "lib/__init__.py", "F = 3\n"),
    ("a module of the standard library replaced", "random.py", "x = 1\n"),
    ("an extension module before the source", "lib.cpython-311-x86_64-linux-gnu.so", "\x7fELF"),
    ("a link in the place of a file", "lib.py", Link("core/__init__.py")),
]
SPARED: list[tuple[str, str, Content | None]] = [
    ("a body", "lib.py", '"""Doc."""\nF = 2\n'),
    ("a script's body, without a suffix", "tool", "import lib, table\nprint(lib.F, table.rows(), 1)\n"),
    ("a file that is read", "conf/a.yaml", "a: 2\n"),
    ("a docstring", "lib.py", '"""Another."""\nF = 1\n'),
    ("something that nobody reads", "README.md", "# more\n"),
    ("a new file that nobody looks for", "docs/a.md", ""),
]


def _traced_anew(before: Assessment, after: Assessment) -> bool:
    """Tracing looks everything up again; retracing has the very set of what was looked up before."""
    was, now = (one.components["p", "train"].traced for one in (before, after))
    assert was is not None and now is not None
    return was.closure.looked_up is not now.closure.looked_up


@pytest.mark.parametrize(("what", "path", "content"), [*WALKED, *SPARED], ids=lambda value: str(value)[:30])
def test_it_agrees_with_tracing(reader: IsolatedReader, what: str, path: str, content: Content | None) -> None:
    changed = {name: one for name, one in {**FILES, path: content}.items() if one is not None}
    before, after = assessed(DECLARED, FILES, reader), assessed(DECLARED, changed, reader)
    again = reassessed(before, FILES, DECLARED, changed, reader)
    assert _traced_anew(before, again) == ((what, path, content) in WALKED), (
        "traced if and only if it may lead elsewhere"
    )
    assert again == after
    where = ("p", "train")
    assert again.components[where].traced == after.components[where].traced, "the next neighbour starts from it"
    assert reassessed(again, changed, DECLARED, FILES, reader) == before


def test_another_declaration_is_traced_anew(reader: IsolatedReader) -> None:
    before = assessed(DECLARED, FILES, reader)
    for declared in (single("python tool --all lib.py"), single("python tool", paths=("README.md",))):
        assert reassessed(before, FILES, declared, FILES, reader) == assessed(declared, FILES, reader)


@pytest.mark.parametrize(
    ("lib", "path", "content"),
    [
        ("import inspect, sys\nF = inspect.getsource(sys.modules[__name__])\n", "lib.py", "comment"),
        ("import core\nF = core.__doc__\n", "core/__init__.py", '"""Shown."""\n'),
        ("import glob\nF = glob.glob('*.json')\n", "new.json", "{}"),
    ],
    ids=["source text that is shown", "a docstring that is shown", "a glob at the root"],
)
def test_what_counts_besides_still_does(reader: IsolatedReader, lib: str, path: str, content: str) -> None:
    files: dict[str, Content] = {**FILES, "lib.py": lib}
    changed = {**files, path: f"{lib}# a comment\n" if content == "comment" else content}
    before, after = assessed(DECLARED, files, reader), assessed(DECLARED, changed, reader)
    assert before != after
    assert reassessed(before, files, DECLARED, changed, reader) == after
