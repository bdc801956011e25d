"""A native pipeline is carried out on Azure ML: the jobs that must run and all that depends on them, as one pipeline job of their
own; what they read of others is given by the place where it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.adapters.backends.azureml.azure import Azure
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.domain.execution import Execution, State, Status
from tests import azureml
from tests.emulators.azureml.process import AzureML
from tests.flow.workshop import Workshop, states
from tests.native_azureml import FILES, MANIFEST, STEPS, edited, errors, printed, workshop
from tests.origins import Origin

RAN, REUSED = dict.fromkeys(STEPS, "succeeded"), dict.fromkeys(STEPS, "reused")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureML]:
    with azureml.reachable(tmp_path_factory.mktemp("azureml")) as made:
        yield made


@pytest.fixture
def store(sqlite: Database) -> Database:
    return sqlite


@pytest.fixture
def make(
    cloud: AzureML, store: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path
) -> Callable[..., Workshop]:  # fmt: skip
    def made(**more: Any) -> Workshop:
        return workshop(cloud, store, pushed, hosts, reader, tmp_path, f"refit/{tmp_path.name}", **more)

    return made


@pytest.fixture
def shop(make: Callable[..., Workshop]) -> Workshop:
    return make()


def nodes(cloud: AzureML, execution: Execution) -> dict[str, Any]:
    """The job of an execution's last submission, as the workspace has it."""
    handles = [a.handle for step in execution.steps for a in step.attempts if a.handle]
    (job,) = {handle.partition("#")[0] for handle in handles}
    return dict(Azure(azureml.declared(cloud)).manager("GET", f"/jobs/{job}")["properties"])


def test_what_changed_runs_with_all_that_depends_on_it(shop: Workshop, cloud: AzureML) -> None:
    first = shop.carry_out(shop.push(FILES))
    assert (states(first), first.status) == (RAN, Status.SUCCEEDED), errors(first)
    assert "total 82" in printed(shop, first, "check")
    whole = nodes(cloud, first)
    assert len(whole["jobs"]) == 4
    assert whole["experimentName"] == "sums"
    assert whole["tags"]["refit.commit"] == first.commit

    same = shop.carry_out(shop.push(edited("ml/src/check.py", "import sys", "# why\nimport sys")))
    assert states(same) == REUSED

    checked = shop.carry_out(shop.push(last := edited("ml/src/check.py", "'total'", "'all of it'")))
    assert states(checked) == {**REUSED, "check": "succeeded"}
    assert "all of it 82" in printed(shop, checked, "check")
    alone = nodes(cloud, checked)
    assert len(alone["jobs"]) == 1
    (given,) = alone["inputs"].values()
    assert given["jobInputType"] == "uri_folder", "the reader's own type"
    made = next(one for one in first.step("both-join").result.outputs if one == "sum")  # type: ignore[union-attr]
    assert made == "sum"

    right = shop.carry_out(shop.push(edited("ml/pipeline.yml", "more: 2", "more: 3", last)))
    assert states(right) == {"left": "reused", "right": "succeeded", "both-join": "succeeded", "check": "succeeded"}
    assert "all of it 83" in printed(shop, right, "check"), "with what the first commit's left made"


def test_a_machine_that_the_operator_does_not_offer_is_refused(shop: Workshop) -> None:
    execution = shop.carry_out(shop.push(edited("ml/pipeline.yml", "azureml:cpu-cluster", "azureml:gpu-cluster")))
    assert execution.status is Status.FAILED
    assert "does not offer the compute gpu-cluster; it has cpu-cluster" in errors(execution)[0]


def test_what_refit_keeps_is_nobodys_to_write(shop: Workshop, tmp_path: Path) -> None:
    place = f"azureml://datastores/workspaceblobstore/paths/refit/{tmp_path.name}/outputs"
    files = edited("ml/pipeline.yml", "total: {type: uri_folder}", f"total: {{type: uri_folder, path: '{place}'}}")
    execution = shop.carry_out(shop.push(files))
    assert execution.status is Status.FAILED
    assert "submitting both-join: its output sum goes to refit/" in errors(execution)[0]


MODULE = """
from azure.ai.ml import Input, Output, command, dsl
from azure.ai.ml.entities import Environment

PLAIN = Environment(image="python:3.11")
number = command(name="number", inputs={"raw": Input(type="uri_file"), "add": Input(type="integer", default=0)},
                 outputs={"made": Output(type="uri_folder")}, code="./src", environment=PLAIN,
                 command="python number.py ${{inputs.raw}} ${{inputs.add}} ${{outputs.made}}")
join = command(name="join", inputs={"one": Input(type="uri_folder"), "two": Input(type="uri_folder")},
               outputs={"sum": Output(type="uri_folder")}, code="./src", environment=PLAIN,
               command="python join.py ${{inputs.one}} ${{inputs.two}} ${{outputs.sum}}")


@dsl.pipeline(compute="cpu-cluster")
def sums(raw, more: int = 2):
    left = number(raw=raw)
    right = number(raw=raw, add=more)
    both = join(one=left.outputs.made, two=right.outputs.made)
    return {"total": both.outputs.sum}


def make():
    return sums(Input(type="uri_file", path="./data/n.txt"))
"""


def test_a_module_runs_as_yaml_does(shop: Workshop) -> None:
    files = {**FILES, "refit.yaml": MANIFEST.replace("ml/pipeline.yml", "ml/flow.py:make"), "ml/flow.py": MODULE}
    first = shop.carry_out(shop.push(files))
    assert states(first) == dict.fromkeys(("left", "right", "both"), "succeeded"), errors(first)
    later = shop.carry_out(shop.push(edited("ml/flow.py", "more: int = 2", "more: int = 3", files)))
    assert states(later) == {"left": "reused", "right": "succeeded", "both": "succeeded"}, errors(later)


LOGGING = """
import json, os, sys, urllib.request
from pathlib import Path
total = float((Path(sys.argv[1]) / "n").read_text())
place = os.environ["MLFLOW_TRACKING_URI"].replace("azureml://", "https://").partition("?")[0].rstrip("/")
row = {"key": "total", "value": total, "timestamp": 0, "step": 0}
body = json.dumps({"run_id": os.environ["MLFLOW_RUN_ID"], "metrics": [row]}).encode()
headers = {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"], "Content-Type": "application/json"}
urllib.request.urlopen(urllib.request.Request(f"{place}/api/2.0/mlflow/runs/log-batch", body, headers, method="POST"))
"""


def test_what_a_step_logs_is_judged_by_gates(shop: Workshop) -> None:
    gated = MANIFEST + "    gates: ['total > 81']\n"
    first = shop.carry_out(shop.push({**FILES, "refit.yaml": gated, "ml/src/check.py": LOGGING}))
    assert first.status is Status.SUCCEEDED, errors(first)
    result = first.step("check").result
    assert result is not None
    assert [(one.gate, one.passed) for one in first.verdicts] == [("total > 81", True)]


def test_a_submission_that_is_repeated_is_one_job(shop: Workshop, cloud: AzureML) -> None:
    """As after a crash at any point of it."""
    first = shop.carry_out(shop.push(FILES))
    backend = shop.scheduler.backends["azure"]
    before = cloud.calls()
    running = replace(first, steps=tuple(replace(step, state=State.RUNNING) for step in first.steps))
    works = [shop.driver._work(running, step, set(STEPS)) for step in running.steps]
    assert list(backend.submit(works)) == [step.attempts[-1].handle for step in first.steps]
    again = cloud.calls()
    assert again.get("jobs.put", 0) == before.get("jobs.put", 0)


def test_a_step_that_fails_says_why_and_what_waited_does_not_run(shop: Workshop) -> None:
    execution = shop.carry_out(
        shop.push(edited("ml/src/join.py", "total = ", "raise SystemExit('no numbers')\ntotal = "))
    )
    assert states(execution) == {"left": "succeeded", "right": "succeeded", "both-join": "failed", "check": "blocked"}
    assert "no numbers" in " ".join(errors(execution))
    mended = shop.carry_out(shop.push(FILES))
    assert states(mended) == {"left": "reused", "right": "reused", "both-join": "succeeded", "check": "succeeded"}


def test_what_an_operators_rules_removed_is_made_again(shop: Workshop, cloud: AzureML) -> None:
    first = shop.carry_out(shop.push(FILES))
    backend = shop.scheduler.backends["azure"]
    result = first.step("right").result
    assert result is not None
    digest = result.outputs["made"]
    assert backend.holds([digest])
    uri = backend._index.natives([digest])[digest].uri  # type: ignore[attr-defined]
    azureml.remove(cloud, f"{uri.partition('/paths/')[2]}/n")
    assert not backend.holds([digest])
    again = shop.carry_out(shop.push(edited("ml/src/join.py", "total = ", "print(1)\ntotal = ")))
    assert states(again)["right"] == "succeeded"
    assert again.status is Status.SUCCEEDED
