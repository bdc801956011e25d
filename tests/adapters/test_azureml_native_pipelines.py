"""The reference pipeline in Azure ML's two forms, through real git: which steps a commit changes, and what is converted again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.adapters.backends.azureml.native.converting import SandboxConverter
from service.adapters.backends.azureml.native.definitions import NativeDefinitions
from service.adapters.git.checkout import Checkout
from service.adapters.reading import IsolatedReader
from service.domain.errors import Refused
from tests.desks import Desk, changed, git, keys
from tests.sdks import azure_sdks

REPOSITORY = Path(__file__).resolve().parents[2] / "pipelines" / "diamonds_azureml"
MODULE = "dsl/diamonds.py"
NAMES = {"preprocess": "cleaned", "train": "fitted", "evaluate": "measured"}
"""The same steps in both forms."""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conversions are kept from test to test, as from process to process."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def converter(state: Path) -> SandboxConverter:
    return SandboxConverter(azure_sdks().python, state, unconfined=True)


@pytest.fixture
def desk(tmp_path: Path, converter: SandboxConverter) -> Iterator[Desk]:
    folder = tmp_path / "diamonds"
    shutil.copytree(REPOSITORY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    with IsolatedReader() as reader:
        yield Desk(folder, NativeDefinitions(reader, converter), reader)


def both(*steps: str) -> set[str]:
    return {f"diamonds/{step}" for step in steps} | {f"diamonds-dsl/{NAMES[step]}" for step in steps}


def yaml_only(desk: Desk) -> None:
    desk.write("refit.yaml", (desk.folder / "refit.yaml").read_text().partition("  diamonds-dsl:")[0])


def test_steps_edges_scripts_and_parameters_come_from_either_form(desk: Desk) -> None:
    found = desk.at(desk.commit())
    declared, written = found.manifest.pipelines
    assert [one.name for one in declared.components] == list(NAMES)
    assert [one.name for one in written.components] == list(NAMES.values())
    for one, other in zip(declared.components, written.components, strict=True):
        assert one.run == other.run == f"python3 src/{one.name}.py"
        assert [NAMES[name] for name in one.upstream] == list(other.upstream)
        settings = {name: text for name, text in one.settings if not name.startswith("input.")}
        assert settings.items() <= dict(other.settings).items(), "the same image, packages, command and outputs"
    train = declared.component("train")
    assert dict(train.settings)["input.learning_rate"] == "0.1"
    assert dict(train.settings)["input.data"] == "preprocess.train"
    assert train.outputs == ("model",)
    assert {one.ingredients.unknowable for one in found.components.values()} == {()}, "all of it can be reused"
    assert {one.ingredients.notes for one in found.components.values()} == {()}


EDITS: dict[str, tuple[Callable[[Desk], None], set[str]]] = {
    "a script": (lambda d: d.edit("src/preprocess.py", "held_out = round", "held_out = int"), both("preprocess")),
    "what one script imports": (lambda d: d.edit("src/cleaning.py", "< 5", "< 4"), both("preprocess")),
    "a sibling in the same code folder": (lambda d: d.edit("src/evaluate.py", "indent=2", "indent=4"), both("evaluate")),
    "what all import": (
        lambda d: d.edit("src/table.py", "def read_table", "DELIMITER = ','\n\n\ndef read_table"), both(*NAMES)
    ),
    "the data": (lambda d: (d.folder / "data/diamonds.csv.gz").write_bytes(b"x") and None, both("preprocess")),
    "a file that code opens": (lambda d: d.write("src/notes.json", "{}"), both(*NAMES)),
    "packages": (lambda d: d.edit("environment/conda.yml", "numpy==2.3.5", "numpy==2.3.4"), both(*NAMES)),
    "an input's value": (lambda d: d.edit("pipeline.yml", "learning_rate: 0.1", "learning_rate: 0.2"), {"diamonds/train"}),
    "a function's default": (lambda d: d.edit(MODULE, "float = 0.1", "float = 0.2"), {"diamonds-dsl/fitted"}),
    "a component's default": (
        lambda d: d.edit("components/train.yml", "default: 300", "default: 200"), {"diamonds/train"}
    ),
    "a default that the pipeline overrides": (
        lambda d: d.edit("components/train.yml", "default: 0.1", "default: 0.9"), set()
    ),
    "a component's image": (
        lambda d: d.edit("components/train.yml", "20250623.v1", "20250701.v1"), {"diamonds/train"}
    ),
    "a command's flag": (
        lambda d: d.edit("components/evaluate.yml", "/metrics.json", "/other.json"), {"diamonds/evaluate"}
    ),
    "which output is read": (
        lambda d: d.edit("pipeline.yml", "preprocess.outputs.test", "preprocess.outputs.train"), {"diamonds/evaluate"}
    ),
    "a comment in a script": (lambda d: d.edit("src/train.py", "import argparse", "# why\nimport argparse"), set()),
    "a comment in conda.yml": (lambda d: d.edit("environment/conda.yml", "  - pip\n", "  - pip # why\n"), set()),
    "a comment in pipeline.yml": (lambda d: d.edit("pipeline.yml", "jobs:", "# why\njobs:"), set()),
    "a comment in the module": (lambda d: d.edit(MODULE, "ROOT =", "# why\nROOT ="), set()),
    "a machine": (lambda d: d.edit("pipeline.yml", "cpu-cluster", "gpu-cluster"), set()),
    "a display name": (lambda d: d.edit("components/train.yml", "Fit boosted trees", "Fit"), set()),
    "a README": (lambda d: d.write("src/README.md", "other"), set()),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_exactly_its_steps(desk: Desk, name: str) -> None:
    edit, expected = EDITS[name]
    before, after, anew = desk.across(edit)
    assert changed(before, after) == expected
    assert keys(anew) == keys(after), "from nothing it is the same"


def test_what_a_conversion_does_not_see_converts_nothing(desk: Desk, converter: SandboxConverter) -> None:
    desk.write("notebooks/a.txt", "x")
    desk.at(desk.commit())
    first = converter.compiles
    for path in ("README.md", "src/train.py", "pipeline.yml", "notebooks/a.txt"):
        desk.write(path, (desk.folder / path).read_text() + "\n")
    desk.at(desk.commit())
    assert converter.compiles == first, "the SDK does not open the code that it would upload"
    desk.edit("environment/conda.yml", "numpy==2.3.5", "numpy==2.3.3")
    desk.at(desk.commit())
    assert converter.compiles == first + 1


def test_arguments_are_inputs_in_either_form(desk: Desk) -> None:
    before = desk.at(desk.commit())
    text = (desk.folder / "refit.yaml").read_text()
    desk.write("refit.yaml", text.replace("backend: azure\n", "backend: azure\n    with: {learning_rate: 0.3}\n"))
    desk.edit(MODULE, "def diamonds_pipeline():", "def diamonds_pipeline(learning_rate=0.1):")
    desk.edit(MODULE, '"diamonds.csv.gz")))', '"diamonds.csv.gz")), learning_rate=learning_rate)')
    assert changed(before, desk.at(desk.commit())) == both("train")
    desk.write("refit.yaml", text.replace("backend: azure\n", "backend: azure\n    with: {learning_rat: 0.3}\n", 1))
    with pytest.raises(
        Refused, match=r"`with: learning_rat` in refit.yaml is no input of it.*did you mean 'learning_rate'"
    ):
        desk.at(desk.commit())
    desk.write("refit.yaml", f"{text}    with: {{depth: 3}}\n")
    with pytest.raises(Refused, match="`with: depth` is no argument of diamonds_pipeline; it takes learning_rate"):
        desk.at(desk.commit())


def test_a_time_in_a_value_makes_its_step_run_and_says_so(desk: Desk) -> None:
    desk.edit(MODULE, "from pathlib import Path", "from datetime import date\nfrom pathlib import Path")
    desk.edit(MODULE, '"max_iter": Input(type="integer", default=300)',
              '"max_iter": Input(type="integer", default=date.today().toordinal())')  # fmt: skip
    found = desk.at(desk.commit())
    why = {name: one.ingredients.unknowable for name, one in found.components.items() if one.ingredients.unknowable}
    assert list(why) == [("diamonds-dsl", "fitted")]
    assert "input.max_iter is different at every compile" in why["diamonds-dsl", "fitted"][0]


def test_what_does_not_convert_is_refused_with_its_own_words(desk: Desk) -> None:
    desk.edit(MODULE, "def diamonds_pipeline():", 'def diamonds_pipeline():\n    raise ValueError("no such table")')
    with pytest.raises(
        Refused, match=r"dsl/diamonds.py:diamonds_pipeline: dsl/diamonds.py:\d+: ValueError: no such table"
    ):
        desk.at(desk.commit())


def test_yaml_is_read_where_no_code_may_run(desk: Desk) -> None:
    head = desk.commit()
    with Checkout(desk.folder) as repository:
        with pytest.raises(Refused, match="it is on no branch, and its native definition is code"):
            desk.assessor.findings("acme/diamonds", repository, head, None, may_compile=False)
        yaml_only(desk)
        head = desk.commit()
        found = desk.assessor.findings("acme/diamonds", repository, head, None, may_compile=False)
    assert [name for _, name in found.after.components] == list(NAMES)


def test_a_forks_definition_is_not_believed(desk: Desk) -> None:
    base = desk.commit()
    before = desk.at(base)
    git(desk.folder, "checkout", "-q", "-b", "fork")
    desk.edit(MODULE, "ROOT =", "raise SystemExit('run me')\nROOT =")
    desk.edit("pipeline.yml", "learning_rate: 0.1", "learning_rate: 0.7")
    desk.edit("src/evaluate.py", "indent=2", "indent=4")
    after = desk.at(desk.commit(), manifest_at=base)
    assert changed(before, after) == both("evaluate")
