"""What things are called in Azure ML, what of its failures is told to whom, and how a container finds what its job was given."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from service.adapters.backends.azureml import names
from service.adapters.backends.azureml.composing import MODULES
from service.adapters.backends.azureml.failures import Problem, translated, without_secrets
from service.adapters.backends.cloud.archives import write_bundle, zipped
from service.domain.errors import Refused, Retry

ODD = [
    "a/b",
    "a-b",
    "a_b",
    "A_b",
    "../..",
    "é" * 300,
    "x" * 300,
    "x" * 301,
    "a b\n",
    "-",
    "1",
    "refit_report",
    "${{x}}",
]
SPEC = {
    "run": "step.py", "flags": [["rate", ["0.1"]]], "inputs": {"rows": {"output": "rows", "digest": None}},
    "outputs": ["o"], "metrics": "out/m.json", "timeout": None, "environment": [],
    "ports": {"own": {"bundle": "refit_bundle", "report": "refit_report"}, "inputs": {"rows": "in_rows"},
              "outputs": {"o": "o", "metrics": "metrics"}},
}  # fmt: skip


def test_names_keep_azures_rules_and_stay_apart() -> None:
    jobs = [names.job_name(one, two, "ex.1") for one in ("acme/x", "acme-x") for two in ODD]
    assert [name for name in jobs if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}", name)] == []
    assert len(set(jobs)) == 2 * len(ODD)
    for made in (names.node_name, names.output_port, names.input_port):
        found = [made(one) for one in ODD]
        assert [one for one in found if not (one.isidentifier() and re.fullmatch(r"[a-z_][a-z0-9_]{0,63}", one))] == []
        assert len({one.lower() for one in found}) == len(ODD)
    outputs = {names.output_port(one) for one in ODD}
    assert outputs.isdisjoint({names.input_port(one) for one in ODD} | {names.REPORT_PORT, names.BUNDLE_PORT})
    assert names.job_name("a", "p", "ex.1") != names.job_name("a", "p", "ex.2") != names.job_name("a", "q", "ex.2")
    assert "\n" not in names.tag("a\nb") and len(names.tag("x" * 999)) <= 256


def test_a_handle_is_found_again_and_another_refused() -> None:
    handle = names.Handle(names.job_name("acme/x", "p", "ex.1"), names.node_name("Train-1"))
    assert names.handle_of(str(handle)) == handle
    assert names.handle_of("ex1.train.1") is None
    for text in ("refit-x#../y", "x#y", "refit-x#y#z", "../refit-x", "refit-x/../y#z"):
        with pytest.raises(Refused):
            names.handle_of(text)


@pytest.mark.parametrize(
    "uri",
    [
        "azureml://datastores/store/paths/azureml/run/port/",
        "azureml://subscriptions/1/resourcegroups/g/workspaces/w/datastores/store/paths/azureml/run/port",
        "azureml://subscriptions/1/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w/datastores/store"
        "/paths/azureml/run/port",
    ],
)
def test_every_form_of_a_datastores_uri(uri: str) -> None:
    assert names.parts_of(uri) == ("store", "azureml/run/port")


@pytest.mark.parametrize(
    "uri",
    ["https://x/y", "azureml:asset:1", "azureml://datastores/a/paths/x/../y", "azureml://datastores/../paths/x", ""],
)
def test_what_is_no_datastores_uri(uri: str) -> None:
    with pytest.raises(ValueError, match="no path of a datastore"):
        names.parts_of(uri)


def test_no_signature_and_no_token_is_told() -> None:
    said = "https://x.blob/y?sv=2021&sig=abc%2Bdef&se=2026 Bearer eyJhbGciOi.eyJhdWQi.c2ln and more"
    told = without_secrets(said)
    assert "abc" not in told and "eyJhdWQi" not in told and "c2ln" not in told
    assert told.endswith("and more")


@pytest.mark.parametrize(
    ("status", "code", "said", "starts", "kind", "words"),
    [
        (429, "", "", True, Retry, "patience"),
        (0, "", "ConnectTimeout", True, Retry, "cannot be reached"),
        (502, "BadGateway", "", True, Retry, "Azure failed"),
        (409, "BlobAlreadyExists", "", True, Retry, "Azure failed"),  # two uploads of the same code at once
        (401, "", "AADSTS7000222: expired", True, Retry, "renew them"),
        (403, "AuthorizationFailed", "does not have authorization to perform action 'M.M/workspaces/jobs/write' over scope",
         True, Refused, "does not allow M.M/workspaces/jobs/write; add it to the role"),
        (403, "AuthorizationFailed", "no", False, Retry, "does not allow"),
        (400, "UserError", "Quota of cores exceeded", True, Refused, "ask Azure to raise it"),
        (400, "UserError", "Unable to find compute x", True, Refused, "Azure refuses"),
    ],
)  # fmt: skip
def test_a_failure_says_what_happens_next(
    status: int, code: str, said: str, starts: bool, kind: type[Exception], words: str
) -> None:
    made = translated("submitting", Problem("PUT /jobs/x", status, code, said), starts=starts)
    assert isinstance(made, kind)
    assert words in made.reason


def test_azure_is_given_the_time_it_asks_for_within_reason() -> None:
    def wait(after: float | None) -> float | None:
        made = translated("x", Problem("GET /jobs", 429, after=after), starts=True)
        assert isinstance(made, Retry)
        return made.after

    assert (wait(17.0), wait(None), wait(0.0), wait(1e9)) == (17.0, 5.0, 1.0, 300.0)


def test_the_code_runs_a_step_where_nothing_of_refit_is_installed(tmp_path: Path) -> None:
    """With paths from its command line, as Azure ML fills them in."""
    repository, arrived = tmp_path / "repository", tmp_path / "rows"
    for folder in (repository, arrived):
        folder.mkdir()
    (repository / "step.py").write_text(
        "import sys, json\nflags = dict(zip((w[2:] for w in sys.argv[1::2]), sys.argv[2::2]))\nprint('hi')\n"
        "open(flags['o'], 'w').write(open(flags['rows']).read() + flags['rate'])\n"
        "json.dump({'r2': 0.5}, open(flags['metrics'], 'w'))\n"
    )
    (arrived / "rows").write_text("rows")
    receipt = {"name": "rows", "entry": "rows", "kind": "file", "rows": [], "digest": "", "size": 4}
    (arrived / "refit.json").write_text(json.dumps({"outputs": [receipt]}))
    with (tmp_path / "b.tar.gz").open("wb") as file:
        write_bundle(repository, file)
    (tmp_path / "entry.pyz").write_bytes(zipped(SPEC, MODULES))
    places = {
        "refit_bundle": "b.tar.gz",
        "in_rows": "rows",
        "o": "made/o",
        "metrics": "made/m",
        "refit_report": "made/r",
    }
    given = [f"{port}={tmp_path / path}" for port, path in places.items()]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "entry.pyz", *given], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 (.*)", line) for line in done.stdout.splitlines()
    ]
    assert [line.group(1) for line in lines if line] == ["[refit] running step.py", "hi"]
    report = json.loads((tmp_path / "made/r/report.json").read_text())
    assert {one["name"] for one in report["outputs"]} == {"o", "metrics"}
    assert report["metrics"] == {"r2": 0.5}
    assert (tmp_path / "made/o/o").read_text() == "rows0.1"
    assert (tmp_path / "made/m/m.json").exists()


def test_code_is_the_same_bytes_each_time_and_another_for_another_step() -> None:
    assert zipped(SPEC, MODULES) == zipped(dict(reversed(SPEC.items())), MODULES)
    assert zipped(SPEC, MODULES) != zipped({**SPEC, "run": "other.py"}, MODULES)
    with zipfile.ZipFile(io.BytesIO(zipped(SPEC, MODULES))) as archive:
        assert not [name for name in archive.namelist() if name.startswith("/") or ".." in name]
