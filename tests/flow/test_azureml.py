"""Declared pipelines on Azure ML, from commit to lineage: one job for what must run, what is reused injected, a forced step truly
run, and a model that is approved in one place is approved in both."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.adapters.backends.azureml.azure import Azure
from service.adapters.backends.azureml.backend import AzureMLBackend
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.domain.execution import Execution, Status
from service.domain.lineage import ModelVersion
from service.domain.model_status import Act, ModelStatus
from service.flow.mirror import Mirror
from service.flow.release import release
from service.ports.queues import Lease, Queue
from tests import azureml
from tests.backends import FLAGS
from tests.emulators.azureml.process import AzureML
from tests.flow.conftest import NAME
from tests.flow.workshop import Workshop, states
from tests.origins import Origin
from tests.sdks import azure_sdks

MANIFEST = """\
version: 1
pipelines:
  prices:
    backend: azure
    components:
      prepare: {run: prepare.py, inputs: {raw: data.csv}, outputs: [rows]}
      train: {run: train.py, inputs: {rows: prepare.rows}, outputs: [model], params: [train]}
      evaluate: {run: evaluate.py, inputs: {model: train.model}, metrics: metrics.json}
    gates: [r2 >= 0.5]
    register: {model: train.model, as: price}
"""
FIRST = {
    "refit.yaml": MANIFEST,
    "params.yaml": "train: {rate: 2}\n",
    "data.csv": "1,2,3",
    "flags.py": FLAGS,
    "prepare.py": "from flags import *\nwrite('rows', read('raw').replace(',', ' '))\n",
    "train.py": "from flags import *\nwrite('model', read('rows') + ' x ' + flags['rate'])\n",
    "evaluate.py": "from flags import *\nimport json\njson.dump({'r2': len(read('model')) / 10}, open(flags['metrics'], 'w'))\n",
}


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[AzureML]:
    """An emulator of the test's own: all that it holds is the test's."""
    with azureml.reachable(tmp_path / "azureml") as made:
        yield made


@pytest.fixture
def store(sqlite: Database) -> Database:
    return sqlite


@pytest.fixture
def backend(azure: AzureML, tmp_path: Path) -> AzureMLBackend:
    return AzureMLBackend(azureml.declared(azure), tmp_path / "state", sdks=azure_sdks(), poll=(0.1, 0.3))


@pytest.fixture
def shop(
    backend: AzureMLBackend, store: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path
) -> Workshop:
    return Workshop(store, pushed, hosts, reader, tmp_path, more={"azure": backend})


@pytest.fixture
def workspace(azure: AzureML) -> Azure:
    """As a person at the Studio."""
    return Azure(azureml.declared(azure))


def jobs(workspace: Azure) -> list[dict[str, Any]]:
    """Oldest first: the steps of each."""
    return [dict(one["properties"]["jobs"]) for one in reversed(workspace.manager("GET", "/jobs")["value"])]


def job_of(execution: Execution, store: Database, step: str) -> str:
    result = execution.step(step).result
    assert result is not None
    with store.begin() as work:
        record = work.lineage.get(result.id)
    assert record is not None
    return record.job


def test_what_a_push_changes_is_one_job_and_the_rest_is_injected(shop: Workshop, workspace: Azure) -> None:
    first = shop.push(FIRST)
    assert shop.carry_out(first).status is Status.SUCCEEDED
    assert [set(one) for one in jobs(workspace)] == [{"prepare", "train", "evaluate"}]
    (job,) = workspace.manager("GET", "/jobs")["value"]
    assert job["properties"]["tags"]["refit.ref"] == "refs/heads/main"

    second = shop.push({**FIRST, "params.yaml": "train: {rate: 3}\n"}, parents=(first,))
    done = shop.carry_out(second, base=first)
    assert (done.status, states(done)["prepare"]) == (Status.SUCCEEDED, "reused")
    assert [set(one) for one in jobs(workspace)][1:] == [{"train"}, {"evaluate"}], "early cutoff is decided in between"

    third = shop.push({**FIRST, "params.yaml": "train: {rate: 3}\n", "README.md": "words"}, parents=(second,))
    assert states(shop.carry_out(third, base=second)) == dict.fromkeys(("prepare", "train", "evaluate"), "reused")
    assert len(jobs(workspace)) == 3


def test_a_forced_step_truly_runs(shop: Workshop, workspace: Azure) -> None:
    """Azure ML itself would have reused the equal job."""
    head = shop.push(FIRST)
    first = shop.carry_out(head)
    again = shop.carry_out(head, forced=("prepare",))
    assert states(again)["prepare"] == "succeeded"
    assert job_of(first, shop.store, "prepare") != job_of(again, shop.store, "prepare")


def test_what_azure_reuses_is_among_the_reasons(
    shop: Workshop, backend: AzureMLBackend, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path
) -> None:
    """As of a server that lost its database: it runs what it knows nothing of, and Azure ML knows an equal job."""
    head = shop.push(FIRST)
    first = shop.carry_out(head)
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    other.migrate()
    try:
        again = Workshop(other, pushed, hosts, reader, tmp_path, more={"azure": backend})
        second = again.carry_out(head)
        assert states(second) == dict.fromkeys(("prepare", "train", "evaluate"), "succeeded")
        for step in ("prepare", "train", "evaluate"):
            reason = second.step(step).reasons[-1]
            assert reason.kind == "vendor"
            assert job_of(first, shop.store, step) in reason.detail
            assert "vendor" not in [one.kind for one in first.step(step).reasons]
    finally:
        other.close()


def test_a_handle_that_was_lost_leads_to_the_same_job(shop: Workshop, workspace: Azure) -> None:
    """As if the service had died between the submission and storing its handles."""
    execution = shop.begin(shop.push(FIRST))
    while not jobs(workspace):
        shop.drive()
    lease = claimed(shop)
    found = shop.look(execution.id)
    assert all(step.current.handle for step in found.steps if step.current), "it has them"
    lost = tuple(
        replace(step, attempts=tuple(replace(one, handle=None) for one in step.attempts)) for step in found.steps
    )
    with shop.store.begin() as work:
        work.executions.save(replace(found, steps=lost), lease)
        work.jobs.defer(lease, 0.0, counts=False)
    assert shop.finish(execution.id).status is Status.SUCCEEDED
    assert len(jobs(workspace)) == 1


def claimed(shop: Workshop) -> Lease:
    """The execution's, as soon as it is due."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with shop.store.begin() as work:
            leases = work.jobs.claim(Queue.EXECUTIONS, 10, 60.0)
        if leases:
            return leases[0]
        shop.store.wait(0.1)
    raise AssertionError("it is never due")


def test_a_model_that_is_approved_in_one_place_is_approved_in_both(
    shop: Workshop, backend: AzureMLBackend, workspace: Azure
) -> None:
    assert shop.carry_out(shop.push(FIRST)).status is Status.SUCCEEDED
    mirror = Mirror(shop.store, {"azure": backend, "local": shop.backend})
    model = known(shop)
    there = f"/models/price/versions/{model.digest.removeprefix('sha256:')[:12]}"
    assert model.status == ModelStatus.CANDIDATE
    assert mirror.look(NAME) == [], "both say the same"

    with shop.store.begin() as work:
        release(work, "price", 1, Act.APPROVE, "ada", "good")
    assert mirror.look(NAME) == ["price/1 is approved in the registry too"]
    said = workspace.manager("GET", there)["properties"]
    assert (said["tags"]["refit.approval"], said["stage"]) == ("approved", "Production")
    assert said["tags"]["refit.approval.why"] == "good (ada, in Refit)"
    assert mirror.look(NAME) == []

    tags = {**said["tags"], "refit.approval": "rejected", "refit.approval.why": "drifts"}
    workspace.manager("PUT", there, {"properties": {**said, "tags": tags}})
    assert len(mirror.look(NAME)) == 1
    last = known(shop).events[-1]
    assert known(shop).status == ModelStatus.ROLLED_BACK
    assert "drifts" in last.why
    assert last.by
    assert mirror.look(NAME) == []


def known(shop: Workshop) -> ModelVersion:
    with shop.store.begin() as work:
        (model,) = work.models.all("price")
    return model
