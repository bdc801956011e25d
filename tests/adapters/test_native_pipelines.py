"""The reference pipeline in native form, compiled by the unmodified SDK: which steps a commit changes, and what is cached."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.adapters.backends.sagemaker.backend import SageMakerBackend
from service.adapters.backends.sagemaker.compiler import Compiler
from service.adapters.backends.sagemaker.declared import Declared
from service.adapters.backends.sagemaker.native.compiler import NativeCompiler
from service.adapters.backends.sagemaker.native.definitions import NativeDefinitions
from service.adapters.git.checkout import Checkout
from service.adapters.reading import IsolatedReader
from service.domain.errors import Refused
from service.domain.pipeline import NativeStep, downstream_of
from service.flow.assess import Assessor
from tests.backends import work
from tests.desks import Desk, Forgetful, changed, git, keys
from tests.emulators.sagemaker.process import ROLE
from tests.sdks import sdks

REPOSITORY = Path(__file__).resolve().parents[2] / "pipelines" / "diamonds_sagemaker"
PIPELINE = "pipelines/diamonds/pipeline.py"
MODEL = "pipelines/diamonds/steps/model"


def desk_of(folder: Path, compiler: NativeCompiler, reader: IsolatedReader, state: Path) -> Desk:
    shutil.copytree(REPOSITORY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    found = Desk(folder, NativeDefinitions(compiler, {}, state), reader)
    found.write("refit.yaml", (folder / "refit.yaml").read_text().partition("  diamonds-v3:")[0])
    return found


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> NativeCompiler:
    return NativeCompiler(sdks(), tmp_path_factory.mktemp("native"), unconfined=True)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiles are kept from test to test, as from process to process."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def desk(tmp_path: Path, compiler: NativeCompiler, state: Path) -> Iterator[Desk]:
    with IsolatedReader() as reader:
        yield desk_of(tmp_path / "diamonds", compiler, reader, state)


def test_steps_edges_code_and_hyperparameters_come_from_the_definition(desk: Desk) -> None:
    found = desk.at(desk.commit())
    (pipeline,) = found.manifest.pipelines
    assert [one.name for one in pipeline.components] == [
        "Preprocess", "Train", "Evaluate", "GoodEnough", "Register-RegisterModel", "TooWeak",
    ]  # fmt: skip
    train = pipeline.component("Train")
    assert (train.run, train.upstream, train.outputs) == (f"python3 {MODEL}/train.py", ("Preprocess",), ("model",))
    assert dict(train.settings)["hyperparameters.learning_rate"] == "0.1"
    evaluate = pipeline.component("Evaluate")
    assert (evaluate.upstream, evaluate.metrics) == (("Preprocess", "Train"), "evaluation.json")
    assert downstream_of(pipeline, ["Train"]) == {"Evaluate", "GoodEnough", "Register-RegisterModel", "TooWeak"}
    assert {one.ingredients.unknowable for one in found.components.values()} == {()}, "all of it can be reused"


EDITS: dict[str, tuple[Callable[[Desk], None], set[str]]] = {
    "a script": (lambda d: d.edit("pipelines/diamonds/steps/preprocess/preprocess.py", "< 5", "< 4"), {"Preprocess"}),
    "a sibling in the same source_dir": (
        lambda d: d.edit(f"{MODEL}/evaluate.py", "indent=2", "indent=4"), {"Evaluate"},
    ),
    "what both import": (lambda d: d.edit(f"{MODEL}/table.py", 'newline=""', 'newline="\\n"'), {"Train", "Evaluate"}),
    "a hyperparameter": (lambda d: d.edit(PIPELINE, '"learning_rate": 0.1', '"learning_rate": 0.2'), {"Train"}),
    "a parameter's default": (lambda d: d.edit(PIPELINE, "default_value=0.97", "default_value=0.96"), {"GoodEnough"}),
    "the data": (lambda d: (d.folder / "data/diamonds.csv.gz").write_bytes(b"x") and None, {"Preprocess"}),
    "a machine": (lambda d: d.edit(PIPELINE, 'default_value="ml.m5.large"', 'default_value="ml.m5.xlarge"'), set()),
    "a comment": (lambda d: d.edit(f"{MODEL}/train.py", "import argparse", "# why\nimport argparse"), set()),
    "a comment in pipeline.py": (lambda d: d.edit(PIPELINE, "import boto3", "# why\nimport boto3"), set()),
    "a README": (lambda d: d.write("README.md", "other"), set()),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_exactly_its_steps(desk: Desk, name: str) -> None:
    edit, expected = EDITS[name]
    before, after, anew = desk.across(edit)
    assert changed(before, after) == expected
    assert keys(anew) == keys(after), "from nothing it is the same"


def test_what_a_compile_does_not_see_compiles_nothing(desk: Desk) -> None:
    desk.write("notebooks/a/look.py", "x = 1")
    desk.at(desk.commit())
    first = desk.definitions.compiles
    desk.write("README.md", "other")
    desk.write("notebooks/a/look.py", "x = 2")
    desk.write("refit.yaml", (desk.folder / "refit.yaml").read_text().replace("[main]", "[main, more]"))
    desk.at(desk.commit())
    assert desk.definitions.compiles == first
    desk.write("surprise.py", "x = 1")  # the root is listed by whoever imports: a new name there may shadow another
    desk.at(desk.commit())
    assert desk.definitions.compiles == first + 1


def test_two_folders_and_two_processes_give_the_same_keys(tmp_path: Path, compiler: NativeCompiler) -> None:
    with IsolatedReader() as reader:
        one = desk_of(tmp_path / "one", compiler, reader, tmp_path / "a")
        other = desk_of(
            tmp_path / "elsewhere" / "other",
            NativeCompiler(sdks(), tmp_path / "n", unconfined=True),
            reader,
            tmp_path / "b",
        )
        first, second = one.at(one.commit()), other.at(other.commit())
        assert keys(first) == keys(second)
        again = NativeDefinitions(compiler, {}, tmp_path / "a")
        assert one.at(one.commit(), Assessor(reader, Forgetful(), ("aws",), again)).components  # type: ignore[arg-type]
        assert again.compiles == 0, "kept on disk"


def test_what_does_not_compile_is_refused_with_its_own_words(desk: Desk) -> None:
    desk.edit(
        PIPELINE,
        "    machine = ParameterString",
        '    raise ValueError("no such bucket")\n    machine = ParameterString',
    )
    with pytest.raises(
        Refused, match=r"compiling pipelines/diamonds/pipeline.py: .*pipeline.py:\d+: ValueError: no such bucket"
    ):
        desk.at(desk.commit())


def test_a_time_in_a_value_makes_its_step_run_and_says_so(desk: Desk) -> None:
    desk.edit(PIPELINE, "from pathlib import Path", "from datetime import date\nfrom pathlib import Path")
    desk.edit(PIPELINE, '"max_iter": 300', '"max_iter": 300, "day": date.today().isoformat()')
    found = desk.at(desk.commit())
    why = {
        name: one.ingredients.unknowable for (_, name), one in found.components.items() if one.ingredients.unknowable
    }
    assert list(why) == ["Train"]
    assert "hyperparameters.day is different at every compile" in why["Train"][0]


def test_a_fork_is_not_compiled(desk: Desk) -> None:
    base = desk.commit()
    before, compiled = desk.at(base), desk.definitions.compiles
    git(desk.folder, "checkout", "-q", "-b", "fork")
    desk.edit(PIPELINE, "import boto3", "raise SystemExit('run me')")
    desk.edit(f"{MODEL}/train.py", "random_state=0", "random_state=1")
    after = desk.at(desk.commit(), manifest_at=base)
    assert changed(before, after) == {"Train"}
    assert "a fork's is not compiled" in after.components["diamonds", "Train"].ingredients.notes[-1]
    assert desk.definitions.compiles == compiled


def test_what_may_not_be_compiled_is_refused_and_not_run(desk: Desk) -> None:
    head, before = desk.commit(), desk.definitions.compiles
    with (
        Checkout(desk.folder) as repository,
        pytest.raises(Refused, match="it is on no branch, and its native definition"),
    ):
        desk.assessor.findings("acme/diamonds", repository, head, None, may_compile=False)
    assert desk.definitions.compiles == before


def test_a_native_step_is_not_started_as_if_it_were_declared(tmp_path: Path) -> None:
    declared = Declared(
        type="sagemaker", region="eu-west-1", role=ROLE, bucket="refit-tests", endpoint_url="http://127.0.0.1:9"
    )
    backend = SageMakerBackend(declared, tmp_path, compiler=Compiler(sdks(), tmp_path / "compiler"))
    plain = work("print(1)")
    component = replace(plain.ingredients.component, native=NativeStep("Processing"))
    native = replace(plain, ingredients=replace(plain.ingredients, component=component))
    with pytest.raises(Refused, match="native definitions are not set up here"):
        backend.submit([native])
