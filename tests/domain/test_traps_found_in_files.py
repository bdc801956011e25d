"""Owns what an adversary found in parameters, environments, inputs and globs: changes that were skipped and cosmetic ones
that were run; refuses git."""

from __future__ import annotations

import pytest

from service.adapters.reading import IsolatedReader
from service.domain.errors import InvalidManifest
from service.domain.pipeline import RepositoryInput, UriInput
from tests.judge import SCRIPT, Judge
from tests.planning import single


@pytest.fixture
def judge(reader: IsolatedReader) -> Judge:
    return Judge(reader)


# parameters -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("{a: [64]}", "{a: {0: 64}}"),
        ("{a: {1: x}}", "{a: {'1': x}}"),
        ("{a: {null: x}}", "{a: {'null': x}}"),
        ("{a: {true: x}}", "{a: {'true': x}}"),
        ("{a: {1: {}}}", "{a: {'1': {}}}"),
        ("{a.b: 1}", "{a: {b: 1}}"),
        ("{a.b: 1, a: {b: 2}}", "{a.b: 3, a: {b: 2}}"),
        ("{a: !A {x: 1}}", "{a: !B {x: 1}}"),
        ("{a: {x: 1}}", "{a: !B {x: 1}}"),
        ("{a: !A [1]}", "{a: !B [1]}"),
        ("{a: {x: null}}", "{a: !!set {x: null}}"),
    ],
)
def test_values_that_look_alike_when_flattened_are_told_apart(judge: Judge, one: str, two: str) -> None:
    declared = single(SCRIPT, params=("train",))
    files = {SCRIPT: "", "params.yaml": f"train: {one}"}
    assert judge.runs(files, {"params.yaml": f"train: {two}"}, declared)


def test_a_tag_on_the_root_counts(judge: Judge) -> None:
    declared = single(SCRIPT, params=("train",))
    assert judge.runs({SCRIPT: "", "params.yaml": "!A\ntrain: 1"}, {"params.yaml": "!B\ntrain: 1"}, declared)


@pytest.mark.parametrize(
    ("path", "one", "two"),
    [
        ("p.json", '{"a": [5]}', '{"a": {"0": 5}}'),
        ("p.json", '{"a.b": 5}', '{"a": {"b": 5}}'),
        ("p.toml", '"a.b" = 1', "a.b = 1"),
    ],
)
def test_other_formats_tell_them_apart_too(judge: Judge, path: str, one: str, two: str) -> None:
    assert judge.runs({SCRIPT: "", path: one}, {path: two}, single(SCRIPT, params=(f"{path}:",)))


def test_a_flat_key_with_dots_can_be_named(judge: Judge) -> None:
    declared = single(SCRIPT, params=("train.lr",))
    files = {SCRIPT: "", "params.yaml": "train.lr: 0.1\nother: 1"}
    assert judge.runs(files, {"params.yaml": "train.lr: 0.2\nother: 1"}, declared)
    assert not judge.runs(files, {"params.yaml": "train.lr: 0.1\nother: 2"}, declared)
    assert judge.notes(files, declared) == ()


HYDRA = "conf/config.yaml"


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ("defaults:\n- db: mysql\n- x: ${db}_y\n", "conf/x/mysql_y.yaml"),
        ("defaults:\n- db: ${oc.env:DB}\n", "conf/db/any.yaml"),
        ("defaults:\n- db: mysql\nhydra:\n  searchpath: ['file://extra']\n", "extra/db/mysql.yaml"),
        ("defaults:\n- db: mysql\nhydra:\n  searchpath: ['pkg://lib.conf']\n", "src/lib/conf/db/mysql.yaml"),
        ("n: lib.Net\nm:\n  _target_: ${n}\n", "src/lib.py"),
        ("m:\n  _target_: ${oc.env:NET}\n", "src/lib.py"),
        ("m:\n  _target_: hydra.utils.get_method\n  path: lib.f\n", "src/lib.py"),
    ],
)
def test_what_hydra_composes_and_imports_by_reference(judge: Judge, config: str, path: str) -> None:
    files = {SCRIPT: "", HYDRA: config, path: "x = 1", "other.md": "1"}
    assert judge.runs(files, {path: "x = 2"}, single(SCRIPT, params=(f"{HYDRA}:",)))


def test_hydras_search_path_comes_after_the_folder(judge: Judge) -> None:
    config = "defaults:\n- db: mysql\nhydra:\n  searchpath: ['file://extra']\n"
    files = {SCRIPT: "", HYDRA: config, "extra/db/mysql.yaml": "x: 1"}
    declared = single(SCRIPT, params=(f"{HYDRA}:",))
    assert judge.runs(files, {"conf/db/mysql.yaml": "x: 1"}, declared)
    both = {**files, "conf/db/mysql.yaml": "x: 1"}
    assert not judge.runs(both, {"extra/db/mysql.yaml": "x: 2"}, declared)


# environments ---------------------------------------------------------------------------------------------------------

REQUIREMENTS = "requirements.txt"
PROJECT = "pyproject.toml"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("-r 'base.txt'", "base.txt"),
        ("-r 'my base.txt'", "my base.txt"),
        ("-r base", "base"),
        ("--requirem base.txt", "base.txt"),
        ("--no-binary :all: -r base.txt", "base.txt"),
        ("./wheels/a-1-py3-none-any.whl", "wheels/a-1-py3-none-any.whl"),
        ("wheels/a-1-py3-none-any.whl ; python_version > '3'", "wheels/a-1-py3-none-any.whl"),
        ("a @ file:wheels/a.tar.gz", "wheels/a.tar.gz"),
        ("a @ file:///${ROOT}/wheels/a.tar.gz", "wheels/a.tar.gz"),
        ("--find-links wheels\na", "wheels/a-1-py3-none-any.whl"),
        ("-f ./wheels\na", "wheels/a-1-py3-none-any.whl"),
        ("lib/pkg", "lib/pkg/setup.cfg"),
        ("a @ file:./lib", "lib/setup.cfg"),
        ("--editable=lib[gpu]", "lib/setup.cfg"),
    ],
)
def test_what_requirements_name_in_the_repository_counts(judge: Judge, text: str, path: str) -> None:
    files = {SCRIPT: "", REQUIREMENTS: text, path: "one"}
    assert judge.runs(files, {path: "two"}, single(SCRIPT, environment=(REQUIREMENTS,)))


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a @ https://x/y.whl",
        "-e git+https://x/y",
        "-r https://x/y.txt",
        "a @ file:///opt/a.whl",
        "a[b] ; c == 'd/e'",
    ],
)
def test_what_requirements_take_from_elsewhere_widens_nothing(judge: Judge, text: str) -> None:
    files = {SCRIPT: "", REQUIREMENTS: text, "lib/a.py": "x = 1"}
    declared = single(SCRIPT, environment=(REQUIREMENTS,))
    assert judge.notes(files, declared) == ()
    assert not judge.runs(files, {"lib/a.py": "x = 2"}, declared)


def test_packages_that_an_included_file_searches(judge: Judge) -> None:
    files = {
        SCRIPT: "",
        "req/all.txt": "-f wheels\n-r base",
        "req/base": "-r more",
        "req/more": "a",
        "wheels/a.whl": "1",
    }
    declared = single(SCRIPT, environment=("req/all.txt",))
    assert judge.runs(files, {"wheels/a.whl": "2"}, declared)
    assert judge.runs(files, {"wheels/b.whl": "1"}, declared)
    assert judge.runs(files, {"req/more": "b"}, declared)
    assert not judge.runs(files, {"req/more": "a  # why"}, declared)


@pytest.mark.parametrize(
    ("one", "two", "runs"),
    [
        ("# why \\\nnumpy==1", "# why \\\nnumpy==2", True),
        ("numpy==1 \\\n  --hash=sha256:a", "numpy==1 --hash=sha256:a  # why", False),
        ("numpy==1 \\", "numpy==1", False),
    ],
)
def test_lines_are_joined_as_pip_joins_them(judge: Judge, one: str, two: str, runs: bool) -> None:
    declared = single(SCRIPT, environment=(REQUIREMENTS,))
    assert judge.runs({SCRIPT: "", REQUIREMENTS: one}, {REQUIREMENTS: two}, declared) is runs


def test_requirements_in_other_encodings(judge: Judge) -> None:
    declared = single(SCRIPT, environment=(REQUIREMENTS,))
    plain = {SCRIPT: "", REQUIREMENTS: "numpy==1\n-r base.txt", "base.txt": "a"}
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        encoded = "numpy==1  # why\n-r base.txt".encode(encoding)
        assert not judge.runs(plain, {REQUIREMENTS: encoded}, declared)
        assert judge.runs({**plain, REQUIREMENTS: encoded}, {"base.txt": "b"}, declared)


@pytest.mark.parametrize(
    ("path", "one", "two"),
    [
        ("poetry.lock", '[[package]]\nurl = "x #1"', '[[package]]\nurl = "x #2"'),
        ("Pipfile.lock", '{"a": "x #1"}', '{"a": "x #2"}'),
        ("conda.lock", "packages:\n- 'x #1'", "packages:\n- 'x #2'"),
    ],
)
def test_a_hash_sign_in_another_tools_lock_is_no_comment(judge: Judge, path: str, one: str, two: str) -> None:
    assert judge.runs({SCRIPT: "", path: one}, {path: two}, single(SCRIPT, environment=(path,)))


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        ("# why\n[project]\ndependencies = ['a']", False),
        ("[project]\ndependencies = ['a']\ndescription = 'b'\n[tool.ruff]\nline-length = 100", False),
        ("[project]\ndependencies = ['b']", True),
        ("[project]\ndependencies = ['a']\n[tool.uv]\nprerelease = 'allow'", True),
        ("[project]\ndependencies = ['a']\n[dependency-groups]\ndev = ['c']", True),
        ("[project]\ndependencies = ['a'", True),
    ],
)
def test_a_project_file_counts_as_far_as_it_is_installed_from(judge: Judge, change: str, runs: bool) -> None:
    files = {SCRIPT: "", PROJECT: "[project]\ndependencies = ['a']"}
    assert judge.runs(files, {PROJECT: change}, single(SCRIPT, environment=(PROJECT,))) is runs


def test_a_folder_may_be_an_environment(judge: Judge) -> None:
    files = {SCRIPT: "", "docker/Dockerfile": "FROM a"}
    declared = single(SCRIPT, environment=("docker",))
    assert judge.runs(files, {"docker/Dockerfile": "FROM b"}, declared)
    assert judge.notes(files, declared) == ()


# inputs ---------------------------------------------------------------------------------------------------------------

LOCK = "schema: '2.0'\nstages:\n  prep:\n    cmd: python p.py\n    outs:\n    - {path: %s, md5: %s, size: 1}\n"


@pytest.mark.parametrize(
    ("lock", "out"),
    [("dvc.lock", "data/d.csv"), ("dvc.lock", "data"), ("data/dvc.lock", "d.csv"), ("data/dvc.lock", "../data")],
)
def test_what_a_dvc_pipeline_made_counts_by_its_lock(judge: Judge, lock: str, out: str) -> None:
    declared = single(SCRIPT, inputs=(("d", RepositoryInput("data/d.csv")),))
    files = {SCRIPT: "", lock: LOCK % (out, "a" * 32)}
    assert judge.notes(files, declared) == ()
    assert judge.runs(files, {lock: LOCK % (out, "b" * 32)}, declared)
    assert not judge.runs(files, {lock: LOCK % (out, "a" * 32) + "    - {path: other, md5: c}\n"}, declared)


@pytest.mark.parametrize("lock", ["stages: {prep: {outs: [{path: data}]}}", "stages: [", "stages: {a: 1}\n---\nb: 1"])
def test_a_lock_that_names_no_digest_counts_by_its_bytes(judge: Judge, lock: str) -> None:
    declared = single(SCRIPT, inputs=(("d", RepositoryInput("data/d.csv")),))
    assert judge.runs({SCRIPT: "", "dvc.lock": lock}, {"dvc.lock": f"{lock}\n# why"}, declared)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            "data/*.csv",
            "pipelines.p.components.c.inputs.d: 'data/*.csv' is a pattern; an input is one file or one folder",
        ),
        (
            "data/?.csv",
            "pipelines.p.components.c.inputs.d: 'data/?.csv' is a pattern; an input is one file or one folder",
        ),
    ],
)
def test_a_pattern_is_no_input(reader: IsolatedReader, given: str, problem: str) -> None:
    text = f"version: 1\npipelines: {{p: {{components: {{c: {{run: a.py, inputs: {{d: '{given}'}}}}}}}}}}"
    with pytest.raises(InvalidManifest) as refused:
        reader.manifest(text.encode(), ("local",))
    assert [str(mistake) for mistake in refused.value.mistakes] == [problem]


def test_a_scheme_may_be_in_capitals(reader: IsolatedReader) -> None:
    text = "version: 1\npipelines: {p: {components: {c: {run: a.py, inputs: {d: 'S3://b/k?versionId=1'}}}}}"
    (component,) = reader.manifest(text.encode(), ("local",)).pipelines[0].components
    assert component.inputs == (("d", UriInput("S3://b/k?versionId=1")),)
