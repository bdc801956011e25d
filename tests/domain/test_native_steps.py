"""What a step of a native definition is made of: what its container gets, no more and no less."""

from __future__ import annotations

import pytest

from service.adapters.reading import IsolatedReader
from service.domain.assessment import Assessment
from service.domain.pipeline import Manifest, NativeStep
from service.domain.step_key import PartKind
from tests.planning import assessed, part_values, reassessed, single

FILES = {
    "ml/train.py": "import lib",
    "ml/lib.py": "x = 1",
    "ml/other.py": "y = 1",
    "ml/conf.json": "{}",
    "ml/README.md": "# r",
    "app.py": "z = 1",
}
SHIPS = tuple(path for path in FILES if path.startswith("ml/"))


def declaring(run: str = "python3 ml/train.py", **more: tuple[str, ...]) -> Manifest:
    native = NativeStep("Training", SHIPS, **more)
    return single(run, settings=(("image", "i:1"),), native=native, ignore=("**/*.md",))


def key(found: Assessment) -> str:
    return found.components["p", "train"].ingredients.static_key


@pytest.mark.parametrize(
    ("path", "text", "changes"),
    [
        ("ml/lib.py", "x = 2", True),
        ("ml/lib.py", "x = 1  # why", False),
        ("ml/other.py", "y = 2", False),
        ("ml/conf.json", "[]", True),
        ("ml/README.md", "# other", False),
        ("app.py", "z = 2", False),
    ],
)
@pytest.mark.parametrize("run", ["python3 ml/train.py", ""])
def test_an_edit_counts_as_far_as_the_container_can_notice(
    reader: IsolatedReader, run: str, path: str, text: str, changes: bool
) -> None:
    declared = declaring(run)
    before = assessed(declared, FILES, reader)
    after = assessed(declared, {**FILES, path: text}, reader)
    expected = changes or (run == "" and path == "ml/other.py")  # nobody knows what starts: all Python counts
    assert (key(before) != key(after)) == expected
    assert key(reassessed(before, FILES, declared, {**FILES, path: text}, reader)) == key(after)


def test_a_doubt_widens_to_what_is_shipped(reader: IsolatedReader) -> None:
    files = {**FILES, "ml/train.py": "import importlib, sys\nimportlib.import_module(sys.argv[1])"}
    declared = declaring()
    before = assessed(declared, files, reader)
    assert "every Python file that its container gets counts" in before.components["p", "train"].ingredients.notes[0]
    assert key(assessed(declared, {**files, "ml/other.py": "y = 2"}, reader)) != key(before)
    assert key(assessed(declared, {**files, "app.py": "z = 2"}, reader)) == key(before)


def test_settings_are_parameters_and_always_is_a_reason(reader: IsolatedReader) -> None:
    found = assessed(declaring(always=("its code is elsewhere",), notes=("twice",)), FILES, reader)
    assert part_values(found, PartKind.PARAMETER) == {"image": "i:1"}
    made = found.components["p", "train"].ingredients
    assert (made.unknowable, made.notes) == (("its code is elsewhere",), ("twice",))
