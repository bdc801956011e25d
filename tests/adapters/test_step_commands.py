"""The words of a step's command: what a bare script is given, what placeholders become, and that no shell reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.adapters.backends.steps.commands import Unrunnable, arguments

PYTHON = Path("/env/bin/python")
INPUTS = {"data": "/in/a b'c", "raw": "data/x.csv"}
OUTPUTS = {"model": "/out/model", "metrics": "/out/m.json"}
FLAGS = [("rate", ["1e-3"]), ("layers", ["8", "-4"]), ("name", ["$(touch x); `y` ${{inputs.data}}"]), ("none", [])]


def words(run: str, work: Path = Path("/nowhere")) -> list[str]:
    return arguments(run, PYTHON, INPUTS, OUTPUTS, FLAGS, work)


def test_a_bare_script_gets_every_flag() -> None:
    assert words("src/train.py") == [
        "/env/bin/python",
        "src/train.py",
        "--data",
        "/in/a b'c",
        "--raw",
        "data/x.csv",
        "--model",
        "/out/model",
        "--metrics",
        "/out/m.json",
        "--rate",
        "1e-3",
        "--layers",
        "8",
        "-4",
        "--name",
        "$(touch x); `y` ${{inputs.data}}",
        "--none",
    ]


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("python a.py", ["/env/bin/python", "a.py"]),
        ("python3 -m a.b", ["/env/bin/python", "-m", "a.b"]),
        ("python3.12 a.py", ["/env/bin/python", "a.py"]),
        ("a.py x", ["/env/bin/python", "a.py", "x"]),
        ("./tool a.py", ["./tool", "a.py"]),
        ("pythonic a.py", ["pythonic", "a.py"]),
        ("tool ${{inputs.data}}", ["tool", "/in/a b'c"]),
        ("tool --x=${{ inputs.data }}:${{ outputs.model }}", ["tool", "--x=/in/a b'c:/out/model"]),
        ("tool '${{inputs.data}} and more'", ["tool", "/in/a b'c and more"]),
        ("tool ${{params.layers}}", ["tool", "8 -4"]),
        ("tool ${{params.train.rate}} ${{params.rate}}", ["tool", "1e-3", "1e-3"]),
        ("tool ${{metrics}} ${{ metrics }}", ["tool", "/out/m.json", "/out/m.json"]),
        ("tool ${{params.name}}", ["tool", "$(touch x); `y` ${{inputs.data}}"]),
        ("tool $HOME `x` $(y) | z > w", ["tool", "$HOME", "`x`", "$(y)", "|", "z", ">", "w"]),
        ("tool $ {{inputs.data}} ${inputs.data}", ["tool", "$", "{{inputs.data}}", "${inputs.data}"]),
        ("tool '' \"a b\" c\\ d", ["tool", "", "a b", "c d"]),
    ],
)
def test_placeholders_become_single_words(run: str, expected: list[str]) -> None:
    assert words(run) == expected


@pytest.mark.parametrize(
    "run",
    [
        "tool ${{inputs.absent}}",
        "tool ${{outputs.data}}",
        "tool ${{params.absent}}",
        "tool ${{inputs.rate}}",
        "tool ${{ params.a.absent }}",
    ],
)
def test_a_placeholder_names_something_declared(run: str) -> None:
    with pytest.raises(Unrunnable, match="names nothing that the component declares"):
        words(run)


@pytest.mark.parametrize("run", ["a.py && b.py", "tool || true"])
def test_what_only_a_shell_would_join_is_refused(run: str) -> None:
    with pytest.raises(Unrunnable, match="no shell"):
        words(run)
    assert words(f"bash -c '{run}'") == ["bash", "-c", run]


def test_a_notebook_is_its_code_cells(tmp_path: Path) -> None:
    cells = [
        ("markdown", "%magic in prose"),
        ("code", ["x = 1\n", "y = 2"]),
        ("raw", "no"),
        ("code", "print(x + y, 'größer')"),
    ]
    notebook = {"cells": [{"cell_type": kind, "source": source} for kind, source in cells]}
    (tmp_path / "n.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    assert words("n.ipynb", tmp_path)[:3] == ["/env/bin/python", "n.ipynb.py", "--data"]
    assert (tmp_path / "n.ipynb.py").read_text(encoding="utf-8") == "x = 1\ny = 2\n\nprint(x + y, 'größer')\n"
    assert words("n.ipynb --x 1", tmp_path) == ["/env/bin/python", "n.ipynb.py", "--x", "1"]


@pytest.mark.parametrize(
    ("content", "words_said"),
    [
        (None, "not a notebook"),
        ("", "not a notebook"),
        ("[]", "not a notebook"),
        ('{"cells": 1}', "not a notebook"),
        ('{"cells": [{}]}', "not a notebook"),
        ('{"cells": [{"cell_type": "code", "source": "  !ls"}]}', "magics"),
        ('{"cells": [{"cell_type": "code", "source": ["x = 1\\n", "%matplotlib inline"]}]}', "magics"),
    ],
)
def test_other_notebooks_cannot_be_run(tmp_path: Path, content: str | None, words_said: str) -> None:
    if content is not None:
        (tmp_path / "n.ipynb").write_text(content)
    with pytest.raises(Unrunnable, match=words_said):
        words("n.ipynb", tmp_path)
