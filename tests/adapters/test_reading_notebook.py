"""Notebooks: code cells only (trap 12)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.adapters.reading.notebook import read_notebook
from service.domain.facts import Import, PythonFacts


def cell(source: str, kind: str = "code", **rest: Any) -> dict[str, Any]:
    return {"cell_type": kind, "source": source.splitlines(keepends=True), "metadata": {}, **rest}


def facts(*cells: dict[str, Any] | str, **rest: Any) -> PythonFacts:
    made = [one if isinstance(one, dict) else cell(one) for one in cells]
    return read_notebook(json.dumps({"cells": made, "nbformat": 4, **rest}).encode())


def test_outputs_markdown_and_metadata_do_not_count() -> None:
    plain = facts("import a\nx = 1")
    dressed = facts(
        cell("# Title", "markdown"),
        cell("import a\nx = 1", outputs=[{"text": "1"}], execution_count=7),
        metadata={"kernelspec": {"name": "python3"}},
    )
    assert plain == dressed
    assert plain.imports == (Import("a"),)


def test_code_and_its_order_count() -> None:
    assert facts("x = 1", "y = 2").kept != facts("y = 2", "x = 1").kept
    assert facts("x = 1").kept != facts("x = 2").kept


def test_a_source_may_be_one_string() -> None:
    assert facts({"cell_type": "code", "source": "import a\nx = 1"}) == facts("import a\nx = 1")


@pytest.mark.parametrize(
    "source",
    [
        "%matplotlib inline\nimport a",
        "%%time\nimport a",
        "%%capture out\n%load_ext x\nimport a",
        "import a\na.f?",
        "?a.f\nimport a",
        "import a\nx = %sql select 1",
        "import a\nx = (7\n     % 3)",
        "text = '''\n%not magic\n'''\nimport a",
    ],
)
def test_magics_do_not_hide_imports(source: str) -> None:
    assert facts(source).imports == (Import("a"),)
    assert not facts(source).doubts


def test_magics_count_as_text() -> None:
    assert facts("%env A=1").kept != facts("%env A=2").kept
    assert facts("%%html\n<b>").kept != facts("%%html\n<i>").kept


@pytest.mark.parametrize("source", ["!python tools/a.py", "%run tools/a.py --x", "%%bash\necho", "x = 1\n!make"])
def test_other_programs_are_doubted(source: str) -> None:
    assert [doubt.widen for doubt in facts(source).doubts] == ["all"]


def test_scripts_that_magics_run_are_named() -> None:
    assert facts("!python tools/a.py", "%run b.py").scripts == ("tools/a.py", "b.py")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"cells": 1}', b'{"cells": [{}]}', b"\xff", b"[" * 100_000])
def test_what_is_no_notebook_is_doubted(content: bytes) -> None:
    found = read_notebook(content)
    assert [doubt.widen for doubt in found.doubts] == ["python"]
    assert found.kept.startswith("bytes ")
