"""Which key parts a component has: what it declares, what it reaches, what cannot be known; from nothing and from the
neighbour's."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from service.adapters.reading import IsolatedReader
from service.domain.assessment import Assessment, assess, is_pinned
from service.domain.facts import VERSION
from service.domain.pipeline import (
    Component,
    Limits,
    Manifest,
    Pipeline,
    RepositoryInput,
    UpstreamInput,
    UriInput,
)
from service.domain.step_key import PartKind
from tests.builders import Commit, Content, Link, Program, empty_shelf, repository
from tests.planning import assessed, manifest, part_values, reassessed, single

FILES: dict[str, Content] = {
    "train.py": "import lib",
    "lib.py": "x = 1",
    "other.py": "y = 1",
    "params.yaml": "train: {lr: 0.1}\neval: {k: 3}\n",
    "requirements.txt": "numpy==1\n",
    "data.csv": "1,2\n",
    "conf/a.yaml": "a: 1",
    "conf/deep/b.yaml": "b: 1",
    "docs/a.md": "# a",
    "README.md": "# r",
}


def key(found: Assessment, component: str = "train") -> str:
    return found.components["p", component].ingredients.static_key


def notes(found: Assessment) -> tuple[str, ...]:
    return found.components["p", "train"].ingredients.notes


def without_lines(found: Assessment) -> set[str]:
    """The doubts of a component, as far as they count."""
    return set(part_values(found, PartKind.UNCERTAIN))


# the parts of a key ---------------------------------------------------------------------------------------------------


def test_everything_that_can_change_a_result_is_a_part(reader: IsolatedReader) -> None:
    component = Component(
        "train",
        "train.py",
        params=("train.lr",),
        paths=("conf/*.yaml",),
        inputs=(("data", RepositoryInput("data.csv")), ("prior", UriInput("s3://b/k?versionId=1")),
                ("rows", UpstreamInput("prep", "rows"))),
        outputs=("model", "log"),
        metrics="metrics.json",
        settings=(("framework", "2.1"),),
    )  # fmt: skip
    prep = Component("prep", "other.py", outputs=("rows",))
    declared = manifest(Pipeline("p", "local", (prep, component), environment=("requirements.txt",)))
    found = assessed(declared, FILES, reader)
    parts = found.components["p", "train"].parts
    assert [(part.kind.value, part.subject) for part in parts] == [
        ("algorithm", ""),
        ("declaration", "inputs.data"),
        ("declaration", "inputs.prior"),
        ("declaration", "inputs.rows"),
        ("declaration", "metrics"),
        ("declaration", "outputs"),
        ("declaration", "params"),
        ("declaration", "run"),
        ("declaration", "with.framework"),
        ("environment", "requirements.txt"),
        ("input", "data"),
        ("parameter", "train.lr"),
        ("path", "conf/a.yaml"),
        ("source", "lib.py"),
        ("source", "train.py"),
    ]
    assert part_values(found, PartKind.ALGORITHM) == {"": VERSION}
    assert part_values(found, PartKind.DECLARATION)["inputs.rows"] == "prep.rows"
    assert found.components["p", "train"].ingredients.flags == (("lr", ("0.1",)),)


@pytest.mark.parametrize(
    "changes",
    [
        {"run": "other.py"},
        {"run": "python train.py"},
        {"outputs": ("model", "log")},
        {"metrics": "metrics.json"},
        {"settings": (("image", "a"),)},
        {"params": ("train",)},
        {"inputs": (("data", RepositoryInput("conf/a.yaml")),)},
        {"inputs": (("renamed", RepositoryInput("data.csv")),)},
        {"environment": ("requirements.txt",)},
    ],
)
def test_a_declaration_that_can_change_a_result_changes_the_key(
    reader: IsolatedReader, changes: dict[str, object]
) -> None:
    plain: dict[str, object] = {
        "run": "train.py",
        "outputs": ("model",),
        "inputs": (("data", RepositoryInput("data.csv")),),
    }
    one, two = (assessed(single(**declared), FILES, reader) for declared in (plain, {**plain, **changes}))  # type: ignore[arg-type]
    assert key(one) != key(two)


@pytest.mark.parametrize(
    "changes",
    [
        {"limits": Limits(timeout=60, retries=3, instance="ml.m5.large")},
        {"outputs": ("log", "model")},
        {"ignore": ("**/*.md",)},
        {"paths": ("no/such/file*",)},
    ],
)
def test_what_cannot_change_a_result_is_no_part(reader: IsolatedReader, changes: dict[str, object]) -> None:
    plain: dict[str, object] = {"run": "train.py", "outputs": ("model", "log")}
    one, two = (assessed(single(**declared), FILES, reader) for declared in (plain, {**plain, **changes}))  # type: ignore[arg-type]
    assert key(one) == key(two)


def test_the_same_setting_has_another_key_with_another_value(reader: IsolatedReader) -> None:
    one, two = (assessed(single("train.py", settings=(("image", v),)), FILES, reader) for v in ("a", "b"))
    assert key(one) != key(two)


@pytest.mark.parametrize(
    ("path", "content", "changes"),
    [
        ("train.py", "import lib\nz = 1", True),
        ("lib.py", "x = 2", True),
        ("lib.py", "x = 1  # why", False),
        ("lib.py", Program("x = 1"), True),
        ("other.py", "y = 2", False),
        ("params.yaml", "train: {lr: 0.2}\neval: {k: 3}\n", True),
        ("params.yaml", "# formatted\neval:\n  k: 4\ntrain:\n  lr: 0.1\n", False),
        ("requirements.txt", "numpy==2\n", True),
        ("requirements.txt", "# why\nnumpy==1\n", False),
        ("data.csv", "1,3\n", True),
        ("data.csv", None, True),
        ("lib.py", None, True),
        ("README.md", "# other", False),
    ],
)
def test_what_a_file_means_to_a_component(
    reader: IsolatedReader, path: str, content: Content | None, changes: bool
) -> None:
    declared = single("train.py", params=("train.lr",), inputs=(("data", RepositoryInput("data.csv")),),
                      environment=("requirements.txt",))  # fmt: skip
    files = {name: text for name, text in {**FILES, path: content}.items() if text is not None}
    before = assessed(declared, FILES, reader)
    after = assessed(declared, files, reader)
    assert (key(before) != key(after)) == changes
    assert reassessed(before, FILES, declared, files, reader) == after


def test_the_text_that_a_step_is_given_counts_where_the_value_does_not_tell_it(reader: IsolatedReader) -> None:
    def of(text: str) -> tuple[str, object]:
        found = assessed(single("train.py", params=("v",)), {"train.py": "", "params.yaml": f"v: {text}\n"}, reader)
        return key(found), found.components["p", "train"].ingredients.flags

    for one, two in [("1.10", "1.1"), ("True", "true"), ("0x10", "16"), ("~", "null"), ("+1", "1")]:
        assert of(one)[1] != of(two)[1], "the step is given another text"
        assert of(one)[0] != of(two)[0]
    for one, two in [("'a'", '"a"'), ("a", "'a'"), ("0.1", "0.1  # why")]:
        assert of(one) == of(two)


# paths ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "ignore", "found"),
    [
        (["conf/*.yaml"], [], {"conf/a.yaml"}),
        (["conf/**"], [], {"conf/a.yaml", "conf/deep/b.yaml"}),
        (["conf/"], [], {"conf/a.yaml", "conf/deep/b.yaml"}),
        (["/conf"], [], {"conf/a.yaml", "conf/deep/b.yaml"}),
        (["*.yaml"], [], {"conf/a.yaml", "conf/deep/b.yaml", "params.yaml"}),
        (["/*.yaml"], [], {"params.yaml"}),
        (["b.yaml"], [], {"conf/deep/b.yaml"}),
        (["conf/**/b.yaml"], [], {"conf/deep/b.yaml"}),
        (["conf/a.yam?"], [], {"conf/a.yaml"}),
        (["conf/[ab].yaml"], [], {"conf/a.yaml"}),
        (["conf/a.yaml  "], [], {"conf/a.yaml"}),
        (["conf/**", "!conf/deep/**"], [], {"conf/a.yaml"}),
        (["conf/**", "docs/**"], ["**/*.md", "deep/"], {"conf/a.yaml"}),
        (["conf/**"], ["conf/**"], set()),
        (["no/such/**"], [], set()),
    ],
)
def test_globs_name_extra_files_and_ignore_prunes_them(
    reader: IsolatedReader, paths: list[str], ignore: list[str], found: set[str]
) -> None:
    declared = single("train.py", paths=tuple(paths), ignore=tuple(ignore))
    assert set(part_values(assessed(declared, FILES, reader), PartKind.PATH)) == found


def test_ignore_never_hides_what_is_imported_or_declared(reader: IsolatedReader) -> None:
    declared = single("train.py", inputs=(("data", RepositoryInput("data.csv")),), ignore=("*",))
    before = assessed(declared, FILES, reader)
    for path in ("train.py", "lib.py", "data.csv"):
        assert key(assessed(declared, {**FILES, path: f"{FILES[path]!s}\nz = 2"}, reader)) != key(before)


def test_python_files_that_globs_name_bring_their_imports_and_mind_no_comment(reader: IsolatedReader) -> None:
    files: dict[str, Content] = {"train.py": "", "plugins/a.py": "import lib", "lib.py": ""}
    declared = single("train.py", paths=("plugins/**",))
    before = assessed(declared, files, reader)
    assert set(part_values(before, PartKind.SOURCE)) == {"train.py", "lib.py"}
    assert key(assessed(declared, {**files, "plugins/a.py": "import lib  # why"}, reader)) == key(before)
    assert key(assessed(declared, {**files, "plugins/b.py": ""}, reader)) != key(before)


@pytest.mark.parametrize(("link", "target"), [("conf", "shared/conf"), ("a/conf", "../shared/conf")])
def test_globs_see_through_a_linked_folder(reader: IsolatedReader, link: str, target: str) -> None:
    files: dict[str, Content] = {
        "train.py": "",
        link: Link(target),
        "shared/conf/a.yaml": "1",
        "shared/conf/b.txt": "1",
    }
    declared = single("train.py", paths=(f"{link}/*.yaml",))
    before = assessed(declared, files, reader)
    for path, changes in [("shared/conf/a.yaml", True), ("shared/conf/c.yaml", True), ("shared/conf/b.txt", False)]:
        changed = {**files, path: "2"}
        after = assessed(declared, changed, reader)
        assert (key(after) != key(before)) == changes, path
        assert reassessed(before, files, declared, changed, reader) == after, path


def test_a_globs_link_that_leads_nowhere_yet_is_watched(reader: IsolatedReader) -> None:
    declared = single("train.py", paths=("conf/*",))
    later: dict[str, Content] = {"train.py": "", "conf": Link("shared"), "shared/a": "1"}
    after = assessed(declared, later, reader)
    for now in ({}, {"shared": "a file"}):
        files: dict[str, Content] = {"train.py": "", "conf": Link("shared"), **now}
        before = assessed(declared, files, reader)
        assert key(after) != key(before)
        assert reassessed(before, files, declared, later, reader) == after


def test_a_link_that_a_glob_names_itself_counts_with_all_that_it_leads_to(reader: IsolatedReader) -> None:
    files: dict[str, Content] = {"train.py": "", "conf": Link("shared"), "shared/a": "1"}
    declared = single("train.py", paths=("/conf",))
    before = assessed(declared, files, reader)
    after = assessed(declared, {**files, "shared/b": ""}, reader)
    assert key(after) != key(before)
    assert reassessed(before, files, declared, {**files, "shared/b": ""}, reader) == after


def test_a_submodule_below_a_glob_counts_by_its_commit(reader: IsolatedReader) -> None:
    declared = single("train.py", paths=("vendored/**/*.yaml",))
    one, two = (assessed(declared, {"train.py": "", "vendored": Commit(oid * 40)}, reader) for oid in "ab")
    assert key(one) != key(two)


# doubts that widen ----------------------------------------------------------------------------------------------------

COMPUTED = "import importlib\nimportlib.import_module(name)\n"
ANYTHING = "import os\nos.system('make')\n"


@pytest.mark.parametrize(
    ("source", "path", "content", "changes"),
    [
        (COMPUTED, "plugins/new.py", "", True),
        (COMPUTED, "other.py", "y = 2", True),
        (COMPUTED, "nb.ipynb", "{}", True),
        (COMPUTED, "native.so", b"\x7fELF", True),
        (COMPUTED, "native.pyc", b"\0", True),
        (COMPUTED, "plugins", Link("docs"), True),
        (COMPUTED, "vendored", Commit("a" * 40), True),
        (COMPUTED, "docs/a.md", "# b", False),
        (COMPUTED, "conf/a.yaml", "a: 2", False),
        (ANYTHING, "other.py", "y = 2", True),
        (ANYTHING, "conf/a.yaml", "a: 2", True),
        (ANYTHING, "Makefile", "", True),
        (ANYTHING, "docs/a.md", "# b", False),
    ],
)
def test_a_doubt_widens_to_what_may_be_reached(
    reader: IsolatedReader, source: str, path: str, content: Content, changes: bool
) -> None:
    files = {**FILES, "lib.py": source}
    declared = single("train.py", ignore=("**/*.md",))
    before = assessed(declared, files, reader)
    after = assessed(declared, {**files, path: content}, reader)
    assert (key(before) != key(after)) == changes
    assert reassessed(before, files, declared, {**files, path: content}, reader) == after
    gone = assessed(declared, files, reader)
    assert reassessed(after, {**files, path: content}, declared, files, reader) == gone


def test_a_mode_counts_where_anything_may_be_read(reader: IsolatedReader) -> None:
    files = {**FILES, "lib.py": ANYTHING}
    one, two = (assessed(single("train.py"), {**files, "run.sh": c}, reader) for c in ("x", Program("x")))
    assert key(one) != key(two)


def test_the_widest_doubt_decides(reader: IsolatedReader) -> None:
    files = {**FILES, "lib.py": COMPUTED + ANYTHING}
    declared = single("train.py")
    assert assessed(declared, files, reader).components["p", "train"].widened == "all"
    assert assessed(declared, {**FILES, "lib.py": COMPUTED}, reader).components["p", "train"].widened == "python"
    assert assessed(declared, FILES, reader).components["p", "train"].widened == ""


def test_a_doubt_says_where_and_what_follows(reader: IsolatedReader) -> None:
    assert notes(assessed(single("train.py"), {**FILES, "lib.py": COMPUTED}, reader)) == (
        "lib.py:2: computes the name of an import; every Python file counts until `paths` declares it",
    )
    assert notes(assessed(single("train.py"), {**FILES, "lib.py": ANYTHING}, reader)) == (
        "lib.py:2: runs another program; every file that is not ignored counts until `paths` declares it",
    )
    assert notes(assessed(single("train.py", paths=("conf/**",)), {**FILES, "lib.py": ANYTHING}, reader)) == (
        "lib.py:2: runs another program; `paths` declares it",
    )
    assert notes(assessed(single("gone.py"), FILES, reader)) == ("gone.py: the script is not in the repository",)


def test_declared_paths_narrow_a_doubt(reader: IsolatedReader) -> None:
    files = {**FILES, "lib.py": ANYTHING}
    declared = single("train.py", paths=("conf/**",))
    before = assessed(declared, files, reader)
    assert without_lines(before) == set()
    assert key(assessed(declared, {**files, "other.py": "y = 2"}, reader)) == key(before)
    assert key(assessed(declared, {**files, "conf/a.yaml": "a: 2"}, reader)) != key(before)


def test_a_line_number_is_in_the_note_and_not_in_the_key(reader: IsolatedReader) -> None:
    one = assessed(single("train.py"), {**FILES, "lib.py": COMPUTED}, reader)
    files = {**FILES, "lib.py": "# a comment above\n" + COMPUTED}
    two = assessed(single("train.py", ignore=("lib.py",)), files, reader)
    assert notes(one) != notes(two)
    assert without_lines(one) == without_lines(two)


def test_every_kind_of_reading_brings_its_doubts(reader: IsolatedReader) -> None:
    declared = single(
        "train.py", params=("lr",), inputs=(("d", RepositoryInput("gone.csv")),), environment=("gone.txt",)
    )
    assert notes(assessed(declared, {"train.py": ""}, reader)) == (
        "params.yaml: the parameter file is not in the repository",
        "gone.txt: the environment file is not in the repository",
        "gone.csv: the input is not in the repository, and no .dvc pointer stands for it",
    )


def test_an_opaque_command_counts_by_bytes_what_paths_declares(reader: IsolatedReader) -> None:
    files: dict[str, Content] = {"run.sh": "python tool.py", "tool.py": "x = 1", "other": ""}
    declared = single("bash run.sh tool.py", paths=("other",))
    changed = {**files, "tool.py": "x = 1  # a comment that the shell script may look for"}
    before, after = assessed(declared, files, reader), assessed(declared, changed, reader)
    assert key(before) != key(after)
    assert reassessed(before, files, declared, changed, reader) == after


# data outside git -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "pinned"),
    [
        ("s3://bucket/key?versionId=abc", True),
        ("s3://bucket/key?x=1&versionId=abc#f", True),
        ("azureml:diamonds:3", True),
        ("s3://bucket/key", False),
        ("s3://bucket/key?versionId=", False),
        ("s3://bucket/key?versionId=null", False),
        ("s3://bucket/versionId=3/part.csv", False),
        ("azureml:diamonds", False),
        ("azureml:diamonds@latest", False),
        ("azureml:diamonds:", False),
        ("azureml://datastores/x:y", False),
        ("https://example.com/data.csv", False),
    ],
)
def test_a_uri_is_pinned_if_it_names_one_version_for_ever(reader: IsolatedReader, uri: str, pinned: bool) -> None:
    assert is_pinned(uri) == pinned
    found = assessed(single("train.py", inputs=(("raw", UriInput(uri)),)), FILES, reader)
    unknowable = found.components["p", "train"].ingredients.unknowable
    assert unknowable == (() if pinned else (f"the version of {uri} cannot be resolved",))


def test_another_version_of_a_uri_is_another_key(reader: IsolatedReader) -> None:
    one, two = (assessed(single("train.py", inputs=(("d", UriInput(f"azureml:d:{v}")),)), FILES, reader) for v in "12")
    assert key(one) != key(two)


# from the neighbour's -------------------------------------------------------------------------------------------------


def two(**second: object) -> Manifest:
    """Components ``train`` (train.py) and ``other`` (other.py), whose declaration a test changes."""
    other = {"run": "other.py", **second}
    shared = {name: other.pop(name) for name in ("environment", "ignore") if name in other}
    return manifest(Pipeline("p", "local", (Component("train", "train.py"), Component("other", **other)), **shared))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("edits", "computed"),
    [
        ({"README.md": "# other"}, set()),
        ({"lib.py": "x = 1  # a comment"}, set()),
        ({"lib.py": "x = 2"}, {"train"}),
        ({"lib.py": None}, {"train"}),
        ({"lib/__init__.py": ""}, {"train"}),
        ({"lib/data.txt": ""}, {"train"}),
        ({"src/lib.py": ""}, {"train", "other"}),
        ({"sitecustomize.py": ""}, {"train", "other"}),
        ({"other.py": "y = 2", "lib.py": "x = 2"}, {"train", "other"}),
    ],
)
def test_only_what_a_change_can_touch_is_computed(
    reader: IsolatedReader, edits: Mapping[str, Content | None], computed: set[str]
) -> None:
    files = {name: text for name, text in {**FILES, **edits}.items() if text is not None}
    before = assessed(two(), FILES, reader)
    after = reassessed(before, FILES, two(), files, reader)
    kept = {name for name in ("train", "other") if after.components["p", name] is before.components["p", name]}
    assert kept == {"train", "other"} - computed
    assert after == assessed(two(), files, reader)


@pytest.mark.parametrize(
    "changed",
    [
        two(run="lib.py"),
        two(ignore=("**/*.md",)),
        two(environment=("requirements.txt",)),
        two(params=("train.lr",)),
        manifest(Pipeline("q", "local", (Component("train", "train.py"),))),
        single("train.py"),
    ],
)
def test_a_changed_declaration_is_assessed_whatever_files_changed(reader: IsolatedReader, changed: Manifest) -> None:
    before = assessed(two(), FILES, reader)
    assert reassessed(before, FILES, changed, FILES, reader) == assessed(changed, FILES, reader)


@pytest.mark.parametrize("edit", ["data/new.csv", "data/deep/new.csv", "README.md"])
@pytest.mark.parametrize("folder", ["data", "."])
def test_a_new_file_in_an_input_folder_is_noticed(reader: IsolatedReader, folder: str, edit: str) -> None:
    files = {**FILES, "data/old.csv": "1"}
    declared = single("train.py", inputs=(("raw", RepositoryInput(folder)),))
    before = assessed(declared, files, reader)
    after = assessed(declared, {**files, edit: "1"}, reader)
    assert (key(before) != key(after)) == (folder == "." or edit.startswith("data/"))
    assert reassessed(before, files, declared, {**files, edit: "1"}, reader) == after


def test_a_missing_input_that_comes_as_a_folder_is_noticed(reader: IsolatedReader) -> None:
    for path, more in [("data", {}), ("link", {"link": Link("data")}), ("dir", {"dir/l": Link("../data")})]:
        files: dict[str, Content] = {**FILES, **more}
        declared = single("train.py", inputs=(("raw", RepositoryInput(path)),))
        before = assessed(declared, files, reader)
        after = assessed(declared, {**files, "data/new.csv": "1"}, reader)
        assert key(before) != key(after), path
        assert reassessed(before, files, declared, {**files, "data/new.csv": "1"}, reader) == after, path


def test_the_answer_is_provisional_until_its_facts_are_loaded() -> None:
    tree, _ = repository(FILES)
    shelf = empty_shelf()
    provisional = assess(single("train.py", params=("train.lr",)), tree, shelf)
    assert shelf.wanted
    assert set(part_values(provisional, PartKind.SOURCE)) == {"train.py"}
