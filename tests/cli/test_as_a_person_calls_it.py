"""`refit` as its own process in a checkout: what goes to stdout and stderr, exit codes, and the schema for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.cli.conftest import FILES, Checkout

REFERENCE = Path(__file__).resolve().parents[2] / "pipelines" / "diamonds" / "refit.yaml"


def planned(checkout: Checkout) -> dict[str, Any]:
    (pipeline,) = json.loads(checkout.refit("plan", "--json").stdout)["pipelines"]
    return {step["component"]: step for step in pipeline["steps"]}


def test_a_pending_step_names_only_the_upstream_that_runs(checkout: Checkout) -> None:
    checkout.commit("params.yaml", "scale: 3\n")
    steps = planned(checkout)
    assert {name: step["decision"] for name, step in steps.items()} == {
        "prepare": "reuse",
        "train": "run",
        "report": "pending",
    }
    assert [reason["subject"] for reason in steps["report"]["reasons"]] == ["train"]


def test_exit_code_3_only_when_asked_and_only_when_something_would_run(checkout: Checkout) -> None:
    checkout.commit("README.md", "ranks\n")
    assert checkout.refit("plan", "--exit-code").returncode == 0
    checkout.commit("params.yaml", "scale: 3\n")
    assert checkout.refit("plan").returncode == 0
    assert checkout.refit("plan", "--exit-code").returncode == 3


def test_run_says_by_its_exit_code_whether_a_step_or_only_a_gate_failed(checkout: Checkout) -> None:
    assert checkout.refit("run").returncode == 0
    checkout.commit("raw.csv", "a\n")
    gate = checkout.refit("run")
    assert (gate.returncode, "gate size >= 2: size = 1 is not >= 2" in gate.stdout) == (4, True), gate.stdout
    checkout.commit("src/report.py", "print('so far')\nraise SystemExit('not today')\n")
    step = checkout.refit("run")
    assert (step.returncode, "not today" in step.stdout) == (5, True), step.stdout


def test_the_local_history_answers_on_stdout_with_nothing_else(checkout: Checkout) -> None:
    checkout.commit("src/prepare.py", "import sys\nprint('one')\nprint('two', file=sys.stderr)\nsys.exit(3)\n")
    checkout.refit("run")
    (execution,) = json.loads(checkout.refit("status", "--json").stdout)["items"]
    lines = checkout.refit("logs", execution["id"], "prepare").stdout.splitlines()
    assert {"out   one", "err   two"} < {line[13:] for line in lines}, lines
    unknown = checkout.refit("status", "none")
    assert (unknown.returncode, unknown.stdout) == (1, "")


def test_every_failure_is_one_message_on_stderr(checkout: Checkout) -> None:
    for words in (("plan", "--head", "nowhere"), ("validate", "nothing.yaml"), ("init",)):
        done = checkout.refit(*words)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert done.stderr.startswith("refit: "), words
    assert checkout.refit("plan", "--no-such-option").returncode == 2


def test_the_schema_is_draft_07_and_agrees_with_validate(checkout: Checkout) -> None:
    schema = json.loads(checkout.refit("validate", "--schema").stdout)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(schema)
    judge = jsonschema.Draft7Validator(schema)
    assert judge.is_valid(yaml.safe_load(REFERENCE.read_text(encoding="utf-8")))
    assert judge.is_valid(yaml.safe_load(FILES["refit.yaml"]))


@pytest.mark.parametrize(
    "text",
    [
        "version: 2\npipelines: {p: {components: {a: {run: a.py}}}}",
        "version: 1\npipelines: {p: {components: {1a: {run: a.py}}}}",
        "version: 1\npipelines: {p: {components: {a: {run: a.py, outptus: [x]}}}}",
        "version: 1\npipelines: {p: {components: {a: {run: a.py, with: {retries: 11}}}}}",
        "version: 1\npipelines: {p: {components: {}}}",
    ],
)
def test_what_the_schema_refuses_validate_refuses_too(checkout: Checkout, text: str) -> None:
    schema = json.loads(checkout.refit("validate", "--schema").stdout)
    assert not jsonschema.Draft7Validator(schema).is_valid(yaml.safe_load(text))
    checkout.commit("refit.yaml", text)
    assert checkout.refit("validate").returncode == 1


def test_init_names_the_schema_only_if_it_lies_beside_the_manifest(checkout: Checkout) -> None:
    written = checkout.folder / "refit.yaml"
    assert checkout.refit("init", "--force").returncode == 0
    assert written.read_text(encoding="utf-8").startswith("version: 1\n")
    (checkout.folder / "refit.schema.json").write_text(checkout.refit("validate", "--schema").stdout, encoding="utf-8")
    assert checkout.refit("init", "--force").returncode == 0
    first = written.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=./refit.schema.json"
    assert checkout.refit("validate").stdout == "ranks: prepare → train\n"
