"""Owns what an adversary found in refit.yaml itself: edits that do not matter and ran, and patterns that hid a change;
refuses git."""

from __future__ import annotations

import pytest

from service.adapters.reading import IsolatedReader
from service.domain.errors import InvalidManifest
from tests.judge import SCRIPT, Judge
from tests.planning import single


@pytest.fixture
def judge(reader: IsolatedReader) -> Judge:
    return Judge(reader)


def test_the_order_of_params_does_not_count(judge: Judge) -> None:
    files = {SCRIPT: "", "params.yaml": "a: 1\nb: 2"}
    assert not judge.runs(files, {}, single(SCRIPT, params=("a", "b")), single(SCRIPT, params=("b", "a")))
    assert judge.runs(files, {}, single(SCRIPT, params=("a", "b")), single(SCRIPT, params=("a",)))


def test_the_order_of_params_counts_where_it_gives_out_the_flags(judge: Judge) -> None:
    files = {SCRIPT: "", "params.yaml": "p: {seed: 1}\nq: {seed: 2}"}
    assert judge.runs(
        files, {}, single(SCRIPT, params=("p.seed", "q.seed")), single(SCRIPT, params=("q.seed", "p.seed"))
    )


@pytest.mark.parametrize("command", ["bash run.sh", "make"])
def test_a_comment_in_refit_yaml_is_nothing_to_a_command_that_may_run_any_file(judge: Judge, command: str) -> None:
    files = {"run.sh": "python a.py", "a.py": "x = 1", "refit.yaml": "version: 1"}
    assert not judge.runs(files, {"refit.yaml": "version: 1  # why"}, single(command))
    assert judge.runs(files, {"a.py": "x = 2"}, single(command))
    assert judge.runs(files, {}, single(command), single(f"{command} --fast"))


def test_paths_that_name_nothing_declare_nothing(judge: Judge) -> None:
    files = {SCRIPT: "import sys\nsys.path.insert(0, 'lib')\nimport util", "lib/util.py": "x = 1", "src/a.md": ""}
    misspelt, right = single(SCRIPT, paths=("libs/**",)), single(SCRIPT, paths=("lib/**",))
    assert judge.runs(files, {"lib/util.py": "x = 2"}, misspelt)
    assert any("no file that is not ignored matches libs/**" in note for note in judge.notes(files, misspelt))
    assert judge.runs(files, {"lib/util.py": "x = 2"}, right)
    assert not judge.runs(files, {"other.py": "x = 2"}, right)
    assert not any("matches" in note for note in judge.notes(files, right))


def test_each_pattern_that_names_nothing_is_told(judge: Judge) -> None:
    declared = single(SCRIPT, paths=("conf/**", "!conf/a.md", "cnof/**"), ignore=("*.md",))
    notes = judge.notes({SCRIPT: "", "conf/a.yaml": "", "cnof/b.md": ""}, declared)
    assert notes == ("refit.yaml: `paths` of train: no file that is not ignored matches cnof/**",)


@pytest.mark.parametrize(
    ("pattern", "read"),
    [("./conf/**", "/conf/**"), ("!./conf/a", "!/conf/a"), (".//a", "/a"), ("conf/./a", "conf/./a")],
)
def test_a_pattern_may_start_from_here(reader: IsolatedReader, pattern: str, read: str) -> None:
    text = f"version: 1\nignore: ['{pattern}']\npipelines: {{p: {{components: {{c: {{run: a.py, paths: ['{pattern}']}}}}}}}}"
    (pipeline,) = reader.manifest(text.encode(), ("local",)).pipelines
    assert pipeline.ignore == (read,)
    assert pipeline.components[0].paths == (read,)


@pytest.mark.parametrize(
    ("component", "mistake"),
    [
        (
            "{run: '  '}",
            "pipelines.p.components.c.run: '  ' is no command: it is blank, or a quotation mark is missing",
        ),
        (
            "{run: 'python \"a.py'}",
            "pipelines.p.components.c.run: 'python \"a.py' is no command: it is blank, or a quotation mark is missing",
        ),
        ("{run: ''}", "pipelines.p.components.c.run: must not be empty"),
    ],
)
def test_what_is_no_command_is_a_mistake(reader: IsolatedReader, component: str, mistake: str) -> None:
    text = f"version: 1\npipelines: {{p: {{components: {{c: {component}}}}}}}"
    with pytest.raises(InvalidManifest) as refused:
        reader.manifest(text.encode(), ("local",))
    assert [str(one) for one in refused.value.mistakes] == [mistake]


@pytest.mark.parametrize("text", ["version: 1\npipelines: {}", "version: 1\npipelines: {p: {components: {}}}"])
def test_nothing_declared_is_a_mistake_in_plain_words(reader: IsolatedReader, text: str) -> None:
    with pytest.raises(InvalidManifest) as refused:
        reader.manifest(text.encode(), ("local",))
    assert [one.what for one in refused.value.mistakes] == ["must have at least one entry"]
