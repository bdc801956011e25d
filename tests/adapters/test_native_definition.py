"""A compiled definition → components, for what the reference pipeline has not: archives, generated scripts, outside code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from service.adapters.backends.sagemaker.native.choosing import sdk_of
from service.adapters.backends.sagemaker.native.compiler import Account, Compiled, Upload
from service.adapters.backends.sagemaker.native.definition import components_of
from service.adapters.backends.sagemaker.native.relocating import relocated
from service.adapters.backends.sandbox.footprint import Seen, agrees, footprint
from service.domain.errors import Refused
from service.domain.names import Entry
from service.domain.pipeline import Component, Hint, RepositoryInput, UriInput
from service.domain.tree import Tree


def oid(text: str) -> str:
    return hashlib.sha1(b"blob %d\0%s" % (len(text), text.encode())).hexdigest()


def tree(**files: str) -> Tree:
    return Tree({path: Entry("100644", oid(text)) for path, text in {**FILES, **files}.items()})


FILES = {
    "ml/train.py": "train",
    "ml/deep/start.py": "deep",
    "ml/requirements.txt": "numpy",
    "ml/README.md": "words",
    "ml/unused.py": "unused",
    "copies/train.py": "train",
    "data/raw.csv": "1,2",
}
SEEN = Seen(read=tuple(one for one in FILES if one.startswith(("ml/", "data/"))), listed=(), asked=(), escaped=())


def upload(uri: str, text: str) -> Upload:
    return Upload(uri, hashlib.sha256(text.encode()).hexdigest(), len(text), (oid(text),), None, text)


def archive(uri: str, **members: str) -> Upload:
    return Upload(uri, "0" * 64, 1, (), {name: (oid(text),) for name, text in members.items()})


SOURCE = archive("s3://b/p/code/1/sourcedir.tar.gz", **{k[3:]: v for k, v in FILES.items() if k.startswith("ml/")})


def compiled(*steps: Mapping[str, Any], uploads: tuple[Upload, ...] = (), again: Any = None, **more: Any) -> Compiled:
    definition = {"Version": "2020-12-01", "Steps": list(steps), **more}
    other = definition if again is None else {**definition, "Steps": again}
    return Compiled(definition, other, uploads, uploads, SEEN, "")


def read(found: Compiled, hints: Mapping[str, Hint] | None = None) -> dict[str, Component]:
    return {one.name: one for one in components_of(found, tree(), Account(bucket="b"), hints or {}, "pipeline.py")}


def training(name: str = "Train", program: str = "train.py", **more: Any) -> dict[str, Any]:
    own = {"sagemaker_program": f'"{program}"', "sagemaker_submit_directory": f'"{SOURCE.uri}"', **more}
    return {"Name": name, "Type": "Training", "Arguments": {
        "AlgorithmSpecification": {"TrainingImage": "image:1"}, "HyperParameters": own,
        "OutputDataConfig": {"S3OutputPath": "s3://b/"}, "TrainingJobName": "train-1",
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1}, "RoleArn": "r",
    }}  # fmt: skip


def test_an_archive_is_the_folder_that_has_its_files() -> None:
    (train,) = read(compiled(training(), uploads=(SOURCE,))).values()
    assert train.run == "python3 ml/train.py", "the copy elsewhere was not read"
    assert train.native is not None
    assert sorted(train.native.ships) == sorted(one for one in FILES if one.startswith("ml/"))
    assert train.inputs == (), "that models go to the bucket makes nothing in it an input"
    assert dict(train.settings) == {
        "image": "image:1", "type": "Training", "hyperparameters.sagemaker_program": '"train.py"',
        "hyperparameters.sagemaker_submit_directory": '"upload:sourcedir.tar.gz"',
    }  # fmt: skip


def test_a_file_that_lies_elsewhere_in_the_repository_counts_by_its_bytes() -> None:
    """``dependencies=[…]`` puts it where an import finds it in the container, and not in the repository."""
    members = {"train.py": "train", "requirements.txt": "numpy", "common/raw.csv": FILES["data/raw.csv"]}
    (train,) = read(compiled(training(), uploads=(archive(SOURCE.uri, **members),))).values()
    assert train.run == "python3 ml/train.py"
    assert train.inputs == (("code/data/raw.csv", RepositoryInput("data/raw.csv")),)


def test_two_files_of_one_name_are_two_inputs() -> None:
    one, two = upload("s3://b/p/in/x/train.py", "train"), upload("s3://b/p/in/y/train.py", "deep")
    (prep,) = read(compiled(processing("s3://b/p/in"), uploads=(one, two))).values()
    assert [path for _, path in prep.inputs] == [RepositoryInput("ml/deep/start.py"), RepositoryInput("ml/train.py")]


def test_a_place_in_s3_that_an_argument_names_may_be_read() -> None:
    said = {"AppSpecification": {"ImageUri": "i", "ContainerArguments": ["--input-data", "s3://elsewhere/abalone.csv"]}}
    step = {"Name": "Prep", "Type": "Processing", "Arguments": {**said, "Environment": {"Other": "s3://elsewhere/o"}}}
    (prep,) = read(compiled(step)).values()
    assert prep.inputs == (
        ("arguments", UriInput("s3://elsewhere/abalone.csv")), ("environment.Other", UriInput("s3://elsewhere/o")),
    )  # fmt: skip
    hints = {"Prep": Hint(constant_inputs=("arguments", "environment.Other"))}
    assert read(compiled(step), hints)["Prep"].inputs == ()
    transform = {"Name": "T", "Type": "Transform", "Arguments": {
        "ModelName": "by-hand", "TransformOutput": {"S3OutputPath": "s3://elsewhere/out"},
        "TransformInput": {"DataSource": {"S3DataSource": {"S3Uri": "s3://elsewhere/in"}}}}}  # fmt: skip
    (found,) = read(compiled(transform)).values()
    assert found.inputs == (("TransformInput", UriInput("s3://elsewhere/in")),)
    assert dict(found.settings)["ModelName"] == "by-hand"


def test_a_program_in_a_subfolder_may_import_from_the_top_so_all_of_it_counts() -> None:
    (train,) = read(compiled(training(program="deep/start.py"), uploads=(SOURCE,))).values()
    assert train.run == ""
    assert train.native is not None
    assert "ml/unused.py" in train.native.ships


def test_a_generated_shell_script_names_the_program() -> None:
    shell = upload(
        "s3://b/p/code/2/runproc.sh", '#!/bin/bash\ncd /opt/ml/processing/input/code\npython3 train.py "$@"\n'
    )
    step = {"Name": "Prep", "Type": "Processing", "Arguments": {
        "AppSpecification": {"ImageUri": "i", "ContainerEntrypoint":
                             ["/bin/bash", "/opt/ml/processing/input/entrypoint/runproc.sh"]},
        "ProcessingInputs": [
            {"InputName": "code", "S3Input": {"S3Uri": SOURCE.uri, "LocalPath": "/opt/ml/processing/input/code/"}},
            {"InputName": "entrypoint",
             "S3Input": {"S3Uri": shell.uri, "LocalPath": "/opt/ml/processing/input/entrypoint"}},
        ]}}  # fmt: skip
    (prep,) = read(compiled(step, uploads=(SOURCE, shell))).values()
    assert prep.run == "python3 ml/train.py"
    assert shell.sha256 in dict(prep.settings)["generated"]


def processing(uri: Any, **more: Any) -> dict[str, Any]:
    at = {"InputName": "raw", "S3Input": {"S3Uri": uri, "LocalPath": "/opt/ml/processing/input/raw"}}
    return {"Name": "Prep", "Type": "Processing", "Arguments": {
        "AppSpecification": {"ImageUri": "i"}, "ProcessingInputs": [at], **more}}  # fmt: skip


def test_data_is_a_file_of_the_repository_a_uri_or_declared_constant() -> None:
    raw = upload("s3://b/p/Prep/input/raw/raw.csv", FILES["data/raw.csv"])
    (prep,) = read(compiled(processing(raw.uri), uploads=(raw,))).values()
    assert prep.inputs == (("raw/data/raw.csv", RepositoryInput("data/raw.csv")),)
    (prep,) = read(compiled(processing("s3://elsewhere/raw.csv"))).values()
    assert prep.inputs == (("raw", UriInput("s3://elsewhere/raw.csv")),)
    default = {"Parameters": [{"Name": "Raw", "Type": "String", "DefaultValue": "s3://elsewhere/raw.csv"}]}
    (prep,) = read(compiled(processing({"Get": "Parameters.Raw"}), **default)).values()
    assert prep.inputs == (("raw", UriInput("s3://elsewhere/raw.csv")),)
    hints = {"Prep": Hint(constant_inputs=("raw",))}
    (prep,) = read(compiled(processing("s3://elsewhere/raw.csv")), hints).values()
    assert prep.inputs == ()


@pytest.mark.parametrize(("kind", "words"), [("Lambda", "Lambda function"), ("Magic", "type Magic are not understood")])
def test_what_lies_outside_always_runs_and_says_so(kind: str, words: str) -> None:
    (step,) = read(compiled({"Name": "x", "Type": kind, "Arguments": {}})).values()
    assert step.native is not None
    assert words in step.native.always[0]


def test_code_that_nobody_uploaded_always_runs() -> None:
    step = training()
    step["Arguments"]["HyperParameters"]["sagemaker_submit_directory"] = '"s3://elsewhere/code.tar.gz"'
    (train,) = read(compiled(step)).values()
    assert train.native is not None
    assert train.native.always == ("its code at s3://elsewhere/code.tar.gz is outside the repository",)


def test_conditions_hold_what_is_in_their_branches_and_depends_on_waits() -> None:
    fail = {"Name": "Fail", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}
    gate = {"Name": "Gate", "Type": "Condition", "Arguments": {
        "Conditions": [{"Type": "Equals", "LeftValue": {"Get": "Steps.Train.ModelArtifacts.S3ModelArtifacts"},
                        "RightValue": "x"}], "IfSteps": [], "ElseSteps": [fail]}}  # fmt: skip
    after = {**training("After"), "DependsOn": ["Gate"]}
    found = read(compiled(after, gate, training(), uploads=(SOURCE,)))
    assert list(found) == ["Train", "Gate", "After", "Fail"]
    assert (found["Gate"].upstream, found["Fail"].upstream, found["After"].upstream) == (
        ("Train",),
        ("Gate",),
        ("Gate",),
    )


def test_a_value_that_differs_at_every_compile_is_named() -> None:
    (train,) = read(compiled(training(day="1"), uploads=(SOURCE,), again=[training(day="2")])).values()
    assert train.native is not None
    assert train.native.always[0].startswith("hyperparameters.day is different at every compile")
    assert "hyperparameters.day" not in dict(train.settings)


@pytest.mark.parametrize(
    ("found", "hints", "words"),
    [
        (compiled(training("a-1"), again=[training("a-2")]), {}, "step name a-1 differs at every compile"),
        (compiled(training("a b")), {}, "'a b' is no name of a step"),
        (compiled(training()), {"Trian": Hint()}, "hints for Trian, which is no step; there is Train"),
        (compiled({**training("a"), "DependsOn": ["b"]}, {**training("b"), "DependsOn": ["a"]}), {}, "cycle: a, b"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(found: Compiled, hints: Mapping[str, Hint], words: str) -> None:
    with pytest.raises(Refused, match=words):
        read(found, hints)


@pytest.mark.parametrize(
    ("source", "pins", "expected"),
    [
        ("from sagemaker.workflow.pipeline import Pipeline", {"requirements.txt": "sagemaker==3.1"}, "v2"),
        ("    from sagemaker.mlops.workflow.pipeline import Pipeline", {"requirements.txt": "sagemaker<3"}, "v3"),
        ("import sagemaker", {"requirements.txt": "boto3\nsagemaker>=3.0,<4"}, "v3"),
        ("import sagemaker", {"requirements.txt": "sagemaker~=2.200"}, "v2"),
        ("import sagemaker", {"pyproject.toml": 'dependencies = ["sagemaker-mlops"]'}, "v3"),
        ("import steps", {}, "v2"),
    ],
)
def test_the_sdk_is_what_the_repository_is_written_for(source: str, pins: dict[str, str], expected: str) -> None:
    assert sdk_of(source, pins) == expected


def test_uploads_move_to_the_operators_bucket_by_content() -> None:
    script, one, two = (
        upload(f"s3://b/p/{name}", name) for name in ("code/1/prep.py", "in/lib/a.py", "in/lib/sub/b.py")
    )
    step = {
        "Name": "x",
        "Arguments": {"S3Uri": script.uri, "Lib": "s3://b/p/in/lib", "Out": "s3://b/", "Hyper": f'"{SOURCE.uri}"'},
    }
    found = relocated({"Steps": [step]}, (script, one, two, SOURCE), "theirs", "refit/native")
    moved = json.loads(found.text)["Steps"][0]["Arguments"]
    assert moved["S3Uri"] == f"s3://theirs/refit/native/{script.sha256}/prep.py"
    assert moved["Out"] == "s3://b/"
    folder = moved["Lib"].removeprefix("s3://theirs/")
    assert {key: digest for key, digest in found.objects.items() if key.startswith(folder)} == {
        f"{folder}/a.py": one.sha256, f"{folder}/sub/b.py": two.sha256,
    }  # fmt: skip
    renamed = tuple(replace(each, uri=each.uri.replace("b/p/", "b/later/")) for each in (script, one, two))
    later = replace(SOURCE, uri="s3://b/later/x/sourcedir.tar.gz", sha256="1" * 64)
    text = json.dumps({"Steps": [step]}).replace(SOURCE.uri, later.uri).replace("b/p/", "b/later/")
    assert relocated(json.loads(text), (*renamed, later), "theirs", "refit/native").text == found.text


def test_a_footprint_knows_files_misses_and_listings() -> None:
    seen = Seen(read=("ml/train.py", "gone.py"), listed=("ml", "."), asked=("data", "maybe"), escaped=())
    known = footprint(seen, tree())
    assert agrees(known, tree())
    assert agrees(known, tree(**{"data/raw.csv": "3,4"})), "that it is there was asked, not what it holds"
    for path in ("ml/train.py", "gone.py", "ml/new.py", "new.py", "maybe", "maybe/x"):
        assert not agrees(known, tree(**{path: "other"})), path
    escaped = footprint(Seen((), (), (), ("subprocess.Popen",)), tree())
    assert agrees(escaped, tree())
    assert not agrees(escaped, tree(**{"data/raw.csv": "3,4"}))
    linked = Tree({"a": Entry("120000", oid("b"))})
    assert list(footprint(seen, linked)) == ["tree"]
