"""A submission is one real pipeline job: command components with the local runner's digests, Azure ML's own reuse said as such,
and one job however often it is asked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from service.adapters.backends.azureml.azure import Azure
from service.adapters.backends.azureml.backend import AzureMLBackend
from service.domain.errors import Refused
from service.domain.execution import Artifact, Observation, Seen
from service.domain.ingredients import Ingredients
from service.domain.pipeline import Limits
from tests import azureml
from tests.azureml import asked, job, jobs, models, opened
from tests.backends import Files, local
from tests.conftest import series
from tests.emulators.azureml.process import AzureML
from tests.sdks import azure_sdks
from tests.three_steps import COMMIT, FILES, component, dated, ended, made_alone, outputs, works

ROOT = Path(__file__).resolve().parents[2]
_numbers = count(1)


# what it becomes -------------------------------------------------------------------------------------------------------


def test_three_steps_are_one_job_with_the_digests_of_the_local_runner(
    azure: AzureML, backend: AzureMLBackend, name: str, tmp_path: Path
) -> None:
    given = [
        replace(one, ref="refs/heads/main", pull_request=7) for one in works(name, "preprocess", "train", "evaluate")
    ]
    handles = backend.submit(given)
    seen = ended(backend, handles)
    assert [one.seen for one in seen] == [Seen.SUCCEEDED] * 3, seen
    assert len({handle.partition("#")[0] for handle in handles}) == 1
    assert dict(seen[2].metrics) == {"r2": 0.8}

    known = made_alone(local(tmp_path / "local"), works(name, "preprocess", "train", "evaluate"))
    assert {key: (one.digest, one.size) for key, one in outputs(seen).items()} == {
        key: (one.digest, one.size) for key, one in known.items()
    }

    found = job(azure, handles[0])
    assert set(found["jobs"]) == {"preprocess", "train", "evaluate"}
    assert found["jobs"]["train"]["inputs"]["param_rate"]["value"] == "0.1"
    assert found["properties"]["mlflow.source.git.commit"] == COMMIT
    assert found["properties"]["mlflow.source.git.branch"] == "main"
    assert found["properties"]["mlflow.source.git.repoURL"] == "acme/diamonds"
    assert found["tags"]["refit.commit"] == COMMIT
    assert found["tags"]["refit.pull_request"] == "7"
    assert len(found["tags"]) <= 50
    assert COMMIT[:12] in found["displayName"]
    run = Azure(azureml.declared(azure)).history(
        "GET", f"/api/2.0/mlflow/runs/get?run_id={seen[2].job}", service="mlflow/v2.0"
    )
    assert [(one["key"], one["value"]) for one in run["run"]["data"]["metrics"]] == [("r2", 0.8)], (
        "as the Studio charts it"
    )


def test_a_model_is_registered_behind_its_gates_with_its_lineage(
    azure: AzureML, backend: AzureMLBackend, name: str
) -> None:
    before = {one["name"] for one in models(azure, "price") if one} if _has_model(azure, "price") else set()
    rate = f"0.{next(_numbers)}7"
    handles = backend.submit(works(name, "preprocess", "train", "evaluate", rate=rate))
    seen = ended(backend, handles)
    digest = outputs(seen)["model"].digest
    (version,) = [one for one in models(azure) if one["name"] not in before]
    assert version["name"] == digest.removeprefix("sha256:")[:12]
    tags = version["properties"]["tags"]
    assert (tags["refit.commit"], tags["refit.digest"], tags["refit.approval"]) == (COMMIT, digest, "pending")
    assert float(tags["metric.r2"]) == dict(seen[2].metrics)["r2"]
    assert "/model" in version["properties"]["modelUri"]
    spoken = {**version["properties"], "tags": {**tags, "refit.approval": "approved"}}
    asked(azure, "PUT", f"/models/price/versions/{version['name']}", {"properties": spoken})
    again = ended(backend, handles)
    assert [one.seen for one in again] == [Seen.SUCCEEDED] * 3, "a version that is there is no failure"
    (still,) = [one for one in models(azure) if one["name"] not in before]
    assert still["properties"]["tags"]["refit.approval"] == "approved", "what a person said stays"


def _has_model(azure: AzureML, model: str) -> bool:
    return any(one["name"] == model for one in asked(azure, "GET", "/models")["value"])


@pytest.mark.parametrize("gates", [["r2 >= 5"], ["r2 >= 0.5", "r2 >= baseline * 0.9"], []])
def test_what_does_not_hold_or_only_refit_can_judge_registers_nothing(
    azure: AzureML, backend: AzureMLBackend, name: str, gates: list[str]
) -> None:
    given = works(name, "preprocess", "train", "evaluate", gates=gates, rate=f"0.{next(_numbers)}9")
    model = f"model-{next(_numbers)}"
    assert given[0].register is not None
    named = [replace(one, register=replace(given[0].register, model=model)) for one in given]
    assert [one.seen for one in ended(backend, backend.submit(named))] == [Seen.SUCCEEDED] * 3
    assert not _has_model(azure, model)


def test_a_registration_that_azure_does_not_allow_fails_no_step(
    azure: AzureML, backend: AzureMLBackend, name: str
) -> None:
    azure.fault("models.put", 403, times=3)
    try:
        handles = backend.submit(works(name, "preprocess", "train", "evaluate", rate=f"0.{next(_numbers)}3"))
        assert [one.seen for one in ended(backend, handles)] == [Seen.SUCCEEDED] * 3
    finally:
        azure.clear()


def test_reused_outputs_are_injected_from_whatever_job_made_them(
    azure: AzureML, backend: AzureMLBackend, name: str
) -> None:
    made = outputs(ended(backend, backend.submit(works(name, "preprocess", "train"))))
    (alone,) = backend.submit(works(f"{name}-elsewhere", "evaluate", made=made))
    found = job(azure, alone)
    assert set(found["jobs"]) == {"evaluate"}
    given = {key: one["jobInputType"] for key, one in found["inputs"].items()}
    assert given == {"refit_bundle": "uri_file", "evaluate_in_model": "uri_folder", "evaluate_in_rows": "uri_folder"}
    (seen,) = ended(backend, [alone])
    assert (seen.seen, dict(seen.metrics)) == (Seen.SUCCEEDED, {"r2": 0.8}), seen.error
    assert {one.name: one.digest for one in seen.inputs} == {
        "model": made["model"].digest,
        "rows": made["rows"].digest,
    }


def test_an_input_that_is_gone_is_refused_before_anything_starts(
    azure: AzureML, backend: AzureMLBackend, name: str
) -> None:
    made = {one: Artifact(one, f"sha256:{digit * 64}", 1) for one, digit in (("model", "a"), ("rows", "b"))}
    with pytest.raises(Refused, match="no longer stored"):
        backend.submit(works(name, "evaluate", made=made))
    assert jobs(azure, name) == []


def test_what_its_failed_sibling_kept_from_beginning_is_skipped(backend: AzureMLBackend, name: str) -> None:
    broken = {"preprocess.py": "raise SystemExit('no data today')"}
    seen = ended(backend, backend.submit(works(name, "preprocess", "train", "evaluate", files=broken)))
    assert [one.seen for one in seen] == [Seen.FAILED, Seen.SKIPPED, Seen.SKIPPED]
    assert "no data today" in seen[0].error


def test_what_the_platform_fails_at_is_said_in_its_words(azure: AzureML, backend: AzureMLBackend, name: str) -> None:
    azure.trouble("preprocess", "image")
    (seen,) = ended(backend, backend.submit(dated(works(name, "preprocess"))))
    assert seen.seen is Seen.FAILED
    assert "image" in seen.error.lower()


# Azure ML's own reuse --------------------------------------------------------------------------------------------------


def test_what_azure_reuses_has_the_same_outputs_and_is_said(azure: AzureML, backend: AzureMLBackend, name: str) -> None:
    given = dated(works(name, "preprocess", "train", "evaluate"))
    first = ended(backend, backend.submit(given))
    again = [replace(one, submission="again.preprocess.1", token=f"again.{one.token}") for one in given]
    handles = backend.submit(again)
    second = ended(backend, handles)
    assert [one.seen for one in second] == [Seen.SUCCEEDED] * 3, second
    assert [one.job for one in second] == [one.job for one in first], "where it ran"
    assert [one.reused for one in second] == [one.job for one in first]
    assert [one.reused for one in first] == [""] * 3
    assert outputs(second) == outputs(first)
    assert [dict(one.metrics) for one in second] == [dict(one.metrics) for one in first]
    lines = backend.logs(handles[1], 0, 100)
    assert lines[0].stream == "refit"
    assert "Azure ML ran nothing: it reused" in lines[0].text
    assert [one.number for one in lines] == list(range(1, len(lines) + 1))
    assert "running train.py" in [one.text for one in lines]
    assert backend.logs(handles[1], 1, 100) == lines[1:]
    assert backend.logs(handles[1], 0, 1) == lines[:1]


def test_fresh_work_is_not_reused_by_azure(azure: AzureML, backend: AzureMLBackend, name: str) -> None:
    given = dated(works(name, "preprocess"))
    (first,) = ended(backend, backend.submit(given))
    again = [replace(one, submission="fresh.preprocess.2", token="fresh.preprocess.2", fresh=True) for one in given]
    (second,) = ended(backend, backend.submit(again))
    assert (first.seen, second.seen) == (Seen.SUCCEEDED, Seen.SUCCEEDED)
    assert first.job != second.job, "it ran"


def test_a_reuse_whose_outputs_are_gone_is_lost_and_not_believed(
    azure: AzureML, backend: AzureMLBackend, name: str
) -> None:
    given = dated(works(name, "preprocess"))
    (first,) = ended(backend, backend.submit(given))
    azureml.remove(azure, f"azureml/{first.job}/refit_report/report.json")
    again = [replace(one, submission="gone.preprocess.1", token="gone.preprocess.1") for one in given]
    (second,) = ended(backend, backend.submit(again))
    assert second.seen is Seen.LOST
    assert "it left no report" in second.error


# one job for one submission --------------------------------------------------------------------------------------------


def test_an_answer_that_was_lost_starts_no_second_job(azure: AzureML, backend: AzureMLBackend, name: str) -> None:
    given = works(name, "preprocess")
    azure.fault("jobs.put", drop=True, after=True, times=1)
    (handle,) = backend.submit(given)
    assert len(jobs(azure, name)) == 1
    assert ended(backend, [handle])[0].seen is Seen.SUCCEEDED
    assert backend.submit(given) == [handle]
    assert len(jobs(azure, name)) == 1


def test_a_name_that_is_taken_by_other_content_is_adopted(azure: AzureML, backend: AzureMLBackend, name: str) -> None:
    """As after an upgrade of Refit between the start and the restart: the document is no longer the same."""
    given = works(name, "preprocess")
    (handle,) = backend.submit(given)
    changed = [replace(one, source=Files({**FILES, "other.py": ""})) for one in given]
    assert backend.submit(changed) == [handle]
    assert len(jobs(azure, name)) == 1
    azure.fault("jobs.get", 404, times=1)  # a restart that asked before the first submission had arrived
    assert backend.submit(changed) == [handle]
    assert len(jobs(azure, name)) == 1


CHILD = """
import subprocess, sys
from pathlib import Path
from service.adapters.backends.azureml.backend import AzureMLBackend
from service.adapters.backends.azureml.datastores import Datastores
from service.adapters.backends.azureml.declared import Declared
from service.adapters.backends.azureml.submitting import Submitter
from tests.dying import die, die_at
from tests.sdks import azure_sdks
from tests.three_steps import works

declared, folder, name, submission, point = sys.argv[1:]
backend = AzureMLBackend(Declared.model_validate_json(declared), Path(folder), sdks=azure_sdks())
if point == "submitting":
    class Cut(subprocess.Popen):
        def communicate(self, *given, **more):
            self.stdin.write(given[0])
            self.stdin.close()
            die()
    subprocess.Popen = Cut
elif point != "done":
    answer = (Submitter, "_answered")
    die_at(point, {"composed": answer}, {"uploaded": (Datastores, "keep"), "submitted": answer})
backend.submit(works(name, "preprocess", "train", submission=submission))
die()
"""


@pytest.mark.parametrize(
    "point", series(["uploaded", "composed", "submitting", "submitted", "done"], "composed", "submitting", "submitted")
)
def test_killed_anywhere_it_is_one_job(
    azure: AzureML, backend: AzureMLBackend, name: str, tmp_path: Path, point: str
) -> None:
    submission = f"killed-{point}.preprocess.1"
    given = azureml.declared(azure).model_dump_json()
    command = [sys.executable, "-c", CHILD, given, str(tmp_path / "child"), name, submission, point]
    died = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    handles = backend.submit(works(name, "preprocess", "train", submission=submission))
    assert [one.seen for one in ended(backend, handles)] == [Seen.SUCCEEDED] * 2
    assert len(jobs(azure, name)) == 1


def test_submissions_at_once_do_not_mix_their_code(azure: AzureML, name: str, tmp_path: Path) -> None:
    """Each step writes what only its own code says, and reads what only its own sibling wrote."""

    def run(number: int) -> tuple[int, list[Observation]]:
        backend = opened(azure, tmp_path / "shared")
        files = {
            "preprocess.py": f"from flags import *\nwrite('rows', 'rows {number}')\nwrite('half', '{number}')\n",
            "train.py": f"from flags import *\nassert read('rows') == 'rows {number}'\nwrite('model', 'model {number}')\n",
        }
        given = works(f"{name}-{number}", "preprocess", "train", files=files)
        return number, ended(backend, backend.submit(given))

    with ThreadPoolExecutor(5) as threads:
        for number, seen in threads.map(run, range(5)):
            assert [one.seen for one in seen] == [Seen.SUCCEEDED] * 2, (number, seen)
            assert outputs(seen)["model"].size == len(f"model {number}")
    assert list((tmp_path / "shared" / "submissions").iterdir()) == [], "nothing is left behind"
    assert list((tmp_path / "shared" / "exports").iterdir()) == []


# bounds ----------------------------------------------------------------------------------------------------------------


def test_only_what_the_operator_offers(azure: AzureML, name: str, tmp_path: Path) -> None:
    (given,) = works(name, "preprocess")
    backend = opened(azure, tmp_path, repositories=("acme/*",), computes=("gpu-cluster",))
    big = component("preprocess", limits=Limits(instance="huge"))
    with pytest.raises(Refused, match="does not offer the compute huge; it has cpu-cluster, gpu-cluster"):
        backend.submit([replace(given, ingredients=Ingredients(big, ()))])
    with pytest.raises(Refused, match="has not opened this backend to evil/diamonds"):
        backend.submit([replace(given, repository="evil/diamonds")])


def test_all_steps_of_a_job_share_a_look(azure: AzureML, name: str, tmp_path: Path) -> None:
    slow = AzureMLBackend(azureml.declared(azure), tmp_path, sdks=azure_sdks(), poll=(10.0, 10.0))
    handles = slow.submit(works(name, "preprocess", "train", "evaluate"))

    def looks() -> int:
        return azure.calls().get("runs.children", 0)

    before = looks()
    for _ in range(50):
        for handle in handles:
            slow.observe(handle)
    assert 0 < looks() - before <= 2


def test_a_value_that_looks_like_an_expression_reaches_the_step_as_it_is(
    azure: AzureML, backend: AzureMLBackend, name: str
) -> None:
    """And Azure ML, which would fill it in, does not see it."""
    hostile = "${{parent.inputs.refit_bundle}}"
    handles = backend.submit(works(name, "preprocess", "train", rate=hostile))
    seen = ended(backend, handles)
    assert [one.seen for one in seen] == [Seen.SUCCEEDED] * 2, seen
    assert "param_rate" not in job(azure, handles[1])["jobs"]["train"]["inputs"]
    assert outputs(seen)["model"].size == len("1 2 3" + hostile)
