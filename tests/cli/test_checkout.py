"""The command line in a checkout, without any server: init, validate, plan, explain, run, and what it says of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.cli import main
from service.cli.demo.git_server import run_git
from tests.e2e.conftest import FILES


class Checkout:
    """A repository of the small pipeline, in which one stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        for name, text in FILES.items():
            self.write(name, text)
        self.git("init", "--quiet", "--initial-branch=main")
        for key, value in (("user.name", "Ada"), ("user.email", "a@example.org")):
            self.git("config", key, value)

    def git(self, *words: str) -> str:
        return run_git(*words, cwd=self.path)

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def commit(self, message: str = "a commit") -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    folder = tmp_path / "sums"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("REFIT_HOME", str(tmp_path / "home"))
    return Checkout(folder)


def refit(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(words)
    said = capsys.readouterr()
    return code, said.out, said.err


def decisions(text: str) -> dict[str, str]:
    (pipeline,) = json.loads(text)["pipelines"]
    return {step["component"]: step["decision"] for step in pipeline["steps"]}


def test_plan_takes_the_base_as_if_it_had_succeeded(here: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    first = here.commit()
    code, out, err = refit(capsys, "plan", "--json")
    assert (code, set(decisions(out).values())) == (0, {"run"})
    assert "no base to compare with" in err
    here.write("params.yaml", FILES["params.yaml"].replace("factor: 3", "factor: 4"))
    code, out, err = refit(capsys, "plan", "--json")
    assert "1 file is changed and not committed: a plan is of a commit" in err
    here.commit()
    expected = {"preprocess": "reuse", "train": "run", "evaluate": "pending"}
    for words in ((), ("--base", first), ("--base", "HEAD~1", "--head", "main"), ("--repo", str(here.path / "src"))):
        code, out, err = refit(capsys, "plan", "--json", *words)
        assert (code, decisions(out), err) == (0, expected, "")
    (pipeline,) = json.loads(out)["pipelines"]
    reasons = {step["component"]: step["reasons"] for step in pipeline["steps"]}
    assert reasons["train"] == [
        {
            "kind": "parameter",
            "subject": "train.factor",
            "detail": "parameter train.factor: 3 → 4",
            "old": "3",
            "new": "4",
        }
    ]
    assert all(reasons.values())
    assert refit(capsys, "plan", "--exit-code")[0] == 3
    here.write("README.md", "other words\n")
    here.commit()
    assert refit(capsys, "plan", "--exit-code")[0] == 0


def test_plan_works_in_a_bare_repository(here: Checkout, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    here.commit()
    here.write("src/helper.py", FILES["src/helper.py"] + "\n# a comment\n")
    here.commit()
    bare = tmp_path / "bare.git"
    here.git("clone", "--quiet", "--bare", str(here.path), str(bare))
    code, out, _ = refit(capsys, "plan", "--json", "--repo", str(bare))
    assert (code, set(decisions(out).values())) == (0, {"reuse"})


def test_explain_shows_every_part_of_a_key(here: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    here.commit()
    here.write("src/helper.py", FILES["src/helper.py"].replace("* scale", "+ scale"))
    here.commit()
    code, out, _ = refit(capsys, "explain", "sums/preprocess", "--json")
    assert code == 0
    (step,) = json.loads(out)
    subjects = {(part["kind"], part["subject"]) for part in step["parts"]}
    assert {
        ("source", "src/helper.py"),
        ("source", "src/flags.py"),
        ("parameter", "scale"),
        ("input", "raw"),
    } <= subjects
    code, out, _ = refit(capsys, "explain", "preprocess")
    assert code == 0
    assert "src/helper.py" in out
    code, _, err = refit(capsys, "explain", "nope")
    assert (code, err) == (
        1,
        "refit: explaining nope: refit.yaml has no such component; it has preprocess, train, evaluate\n",
    )


def test_a_plan_is_carried_out_here_and_its_history_can_be_asked(
    here: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = here.commit()
    code, out, _ = refit(capsys, "run", "--json")
    (ran,) = json.loads(out)
    assert (code, ran["status"], {step["state"] for step in ran["steps"]}) == (0, "succeeded", {"succeeded"})
    code, out, _ = refit(capsys, "run", "--json")
    assert {step["state"] for step in json.loads(out)[0]["steps"]} == {"reused"}
    code, out, _ = refit(capsys, "status", "--json")
    assert [one["commit"] for one in json.loads(out)["items"]] == [commit, commit]
    code, out, _ = refit(capsys, "logs", ran["id"], "train")
    assert (code, out.rstrip().endswith("training")) == (0, True)
    code, out, _ = refit(capsys, "lineage", commit, "--json")
    kinds = {node["kind"] for node in json.loads(out)["nodes"]}
    assert kinds == {"commit", "file", "result", "artifact", "metric", "model"}
    here.write("src/train.py", "raise SystemExit('no')\n")
    here.commit()
    code, out, _ = refit(capsys, "run", "--json")
    states = {step["component"]: step["state"] for step in json.loads(out)[0]["steps"]}
    assert (code, states) == (5, {"preprocess": "reused", "train": "failed", "evaluate": "blocked"})
    here.write("src/train.py", FILES["src/train.py"])
    here.write("refit.yaml", FILES["refit.yaml"].replace("    register:", "    gates: [total < 1]\n    register:"))
    here.commit()
    code, out, _ = refit(capsys, "run")
    assert code == 4
    assert "gate total < 1: total = 36 is not < 1" in out


def test_init_proposes_what_runs_and_names_its_flags(here: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    (here.path / "refit.yaml").unlink()
    here.write("src/features.py", '"""Only defines."""\n\nSIZE = 3\n\n\ndef features():\n    return SIZE\n')
    here.write(
        "src/evaluate.py", "import argparse\np = argparse.ArgumentParser()\np.add_argument('--model')\np.parse_args()\n"
    )
    here.commit()
    assert "the commit has none; `refit init` writes a first one, then commit it" in refit(capsys, "plan")[2]
    code, _, err = refit(capsys, "init")
    assert code == 0, err
    text = (here.path / "refit.yaml").read_text()
    assert "features:" not in text
    assert "# its flags: --model" in text
    code, out, _ = refit(capsys, "validate", "--json")
    assert (code, json.loads(out)["pipelines"]) == (0, {"sums": ["preprocess", "train", "evaluate"]})
    assert refit(capsys, "init")[0] == 1
    assert refit(capsys, "init", "--force")[0] == 0


def test_init_names_native_definitions_as_they_are(
    here: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here.path / "refit.yaml").unlink()
    here.write("pipelines/churn/pipeline.py", "def get_pipeline(region, role=None):\n    pass\n")
    here.write("pipelines/other/pipeline.py", "steps = []\n")
    assert refit(capsys, "init")[0] == 0
    code, out, err = refit(capsys, "validate")
    assert code == 1
    assert "pipelines.churn.backend: unknown backend 'aws'" in err, "it must be declared first"
    backends = tmp_path / "backends.yaml"
    role = "arn:aws:iam::123456789012:role/refit"
    backends.write_text(f"aws: {{type: sagemaker, region: eu-west-1, role: '{role}', bucket: acme-refit}}\n")
    monkeypatch.setenv("REFIT_BACKENDS", str(backends))
    code, out, err = refit(capsys, "validate")
    assert (code, out.strip()) == (0, "churn: as pipelines/churn/pipeline.py declares it"), err


def test_init_names_azure_ml_pipelines_as_they_are(
    here: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here.path / "refit.yaml").unlink()
    here.write("mlops/train/pipeline.yml", "type: pipeline\njobs: {}\n".replace("jobs: {}", "jobs:\n  a: {command: x}"))
    here.write("mlops/train/train.yml", "type: command\nname: jobs\ncommand: x\n")
    here.write(
        "flows/rank.py", "from azure.ai.ml import dsl\n@dsl.pipeline(compute='c')\ndef rank(data, depth=3):\n    pass\n"
    )
    here.write(
        "flows/price.py",
        "from azure.ai.ml.dsl import pipeline\n@pipeline\ndef inner(data):\n    pass\n"
        "def price():\n    return inner(1)\ndef main():\n    inner(2)\n",
    )
    backends = tmp_path / "backends.yaml"
    backends.write_text(
        "azure: {type: sagemaker, region: eu-west-1, role: 'arn:aws:iam::123456789012:role/r', bucket: acme-refit}\n"
    )
    monkeypatch.setenv("REFIT_BACKENDS", str(backends))
    assert refit(capsys, "init")[0] == 0
    assert "with: {data: TODO} # arguments of rank()" in (here.path / "refit.yaml").read_text()
    code, out, err = refit(capsys, "validate")
    assert (code, sorted(out.splitlines())) == (0, [
        "price: as flows/price.py:price declares it", "rank: as flows/rank.py:rank declares it",
        "train: as mlops/train/pipeline.yml declares it",
    ]), err  # fmt: skip


def test_validate_shows_every_mistake_with_its_place(here: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    text = FILES["refit.yaml"].replace("run: src/train.py", "runs: src/train.py").replace("train.model", "train.modle")
    here.write("refit.yaml", text)
    code, out, err = refit(capsys, "validate")
    assert (code, out) == (1, "")
    assert "pipelines.sums.components.train.run: is missing" in err
    assert "pipelines.sums.components.train.runs: unknown key; did you mean 'run'?" in err
    assert "did you mean 'model'?" in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("plan", "--head", "nowhere"), 1, "refit: resolving nowhere: there is no such commit, branch or tag here"),
        (("plan", "--head", "--output=/tmp/x"), 1, "there is no such commit, branch or tag here"),
        (("plan", "--repo", "/"), 1, "refit: opening /: it is not in a git repository; --repo names one"),
        (("plan", "--pipeline", "nope"), 1, "refit: planning nope: refit.yaml at "),
        (("plan", "--nope"), 2, "No such option"),
        (
            ("validate", "nowhere.yaml"),
            1,
            "refit: reading nowhere.yaml: No such file or directory; `refit init` writes",
        ),
        (("status", "--server", "http://127.0.0.1:1"), 1, "is `refit serve` running?"),
    ],
)
def test_mistakes_are_one_message(
    here: Checkout, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str
) -> None:
    here.commit()
    got, out, err = refit(capsys, *words)
    assert (got, out) == (code, "")
    assert said in " ".join(err.split())
    assert "Traceback" not in err


def test_a_commit_without_a_usable_manifest_says_so(here: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    here.write("refit.yaml", "version: 2\n")
    here.commit()
    code, _, err = refit(capsys, "plan", "--json")
    assert code == 1
    assert "refit: refit.yaml cannot be used:\n  version: " in err
