"""SIGKILL at every point of submitting, following and cancelling a native pipeline on Azure ML: one job for each submission, one
attempt for each step, and the lineage of a run that nobody disturbed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.adapters.backends.azureml.azure import Azure
from service.adapters.backends.azureml.datastores import Datastores
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.domain.execution import Execution, State, Status
from service.domain.lineage import ResultRecord
from tests import azureml
from tests.conftest import series
from tests.emulators.azureml.process import AzureML
from tests.flow.conftest import NAME
from tests.flow.workshop import Workshop, states
from tests.native_azureml import FILES, STEPS, edited, errors, workshop
from tests.origins import Origin

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "refit/crashes"
SLOW = edited("ml/src/check.py", "print(", "import time; time.sleep(60)\nprint(")
CHILD = """
import sys
from pathlib import Path

from service.adapters.backends.azureml.azure import Azure
from service.adapters.backends.azureml.backend import AzureMLBackend
from service.adapters.backends.azureml.native.running import NativeRuns
from service.adapters.backends.azureml.observing import Observer
from service.adapters.backends.azureml.submitting import Submitter
from service.adapters.backends.cloud.outputs import Index
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.flow import conclude
from tests.dying import die_at
from tests.emulators.azureml.process import AzureML
from tests.flow.conftest import NAME
from tests.native_azureml import workshop
from tests.origins import Origin

root, prefix, execution, point, url = sys.argv[1:]
root = Path(root)

BEFORE = {"stored": (AzureMLBackend, "submit"), "written": (NativeRuns, "note"), "noted": (Submitter, "submit"),
          "measured": (Index, "write_native"), "asked": (AzureMLBackend, "cancel")}
AFTER = {"submitted": (Submitter, "submit"), "handed": (AzureMLBackend, "submit"), "looked": (Observer, "observation"),
         "indexed": (Index, "write_native"), "concluded": (conclude, "record"), "cancelled": (AzureMLBackend, "cancel")}
if point:
    die_at(point, BEFORE, AFTER)
cloud = AzureML(url, *[""] * 4, root, None, None)  # whom to ask; a client's identity is in the environment
store = Database(f"sqlite:///{root / 'refit.db'}")
hosts = MirrorHost(root / "mirrors", {NAME: str(root / "pushed.git")}, protocols=("file",))
with IsolatedReader() as reader:
    workshop(cloud, store, Origin(root / "pushed.git"), hosts, reader, root / "child", prefix).finish(execution)
"""
POINTS = ("stored", "written", "noted", "submitted", "handed", "looked", "measured", "indexed", "concluded")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[AzureML]:
    """An emulator of the test's own: in another's, Azure ML would reuse what another ran."""
    with azureml.reachable(tmp_path / "azureml") as made:
        yield made


@pytest.fixture
def shop(
    cloud: AzureML, sqlite: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path
) -> Workshop:
    return workshop(cloud, sqlite, pushed, hosts, reader, tmp_path, PREFIX)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, reader: IsolatedReader) -> dict[str, Any]:
    """What a run that nobody kills leaves."""
    root = tmp_path_factory.mktemp("undisturbed")
    store = Database(f"sqlite:///{root / 'refit.db'}")
    store.migrate()
    origin = Origin(root / "pushed.git")
    hosts = MirrorHost(root / "mirrors", {NAME: str(origin.path)}, protocols=("file",))
    try:
        with azureml.reachable(root / "azureml") as cloud:
            shop = workshop(cloud, store, origin, hosts, reader, root, PREFIX)
            return left(shop, cloud, shop.carry_out(shop.push(FILES)))
    finally:
        hosts.close()
        store.close()


def started(cloud: AzureML, tmp_path: Path, execution: Execution, point: str = "") -> subprocess.Popen[bytes]:
    """A service of its own that carries the execution out, and dies at the ``point``."""
    command = [sys.executable, "-c", CHILD, str(tmp_path), PREFIX, execution.id, point, cloud.arm_url]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)


def killed(cloud: AzureML, tmp_path: Path, execution: Execution, point: str) -> None:
    child = started(cloud, tmp_path, execution, point)
    said = child.communicate(timeout=120)[1]
    assert child.returncode == -signal.SIGKILL, said.decode()[-3000:]


def finished(shop: Workshop, execution: Execution) -> Execution:
    """What the service makes of it that is started next; the leases of the dead one are over."""
    with shop.store.begin() as work:
        work.jobs.free_all()
    return shop.finish(execution.id)


def left(shop: Workshop, cloud: AzureML, execution: Execution) -> dict[str, Any]:
    """All that does not differ from run to run: what is recorded of each step, what its outputs hold, what the workspace has."""
    assert execution.status is Status.SUCCEEDED, errors(execution)
    (job,) = azureml.jobs(cloud, "sums")
    with shop.store.begin() as work:
        records = {step.name: work.lineage.get(step.result.id) for step in execution.steps if step.result is not None}
    ids = {record.id: name for name, record in records.items() if record is not None}
    return {
        "commit": execution.commit,
        "job": (sorted(job["properties"]["jobs"]), job["properties"]["status"], cloud.calls()["jobs.put"]),
        "steps": {name: told(cloud, record, ids) for name, record in records.items() if record is not None},
    }


def told(cloud: AzureML, record: ResultRecord, ids: dict[str, str]) -> dict[str, Any]:
    places = Datastores(Azure(azureml.declared(cloud)))
    sources = [re.sub("result:([^#]+)", lambda found: f"result:{ids[found[1]]}", one.source) for one in record.inputs]
    return {
        "key": record.key, "attempt": record.attempt, "metrics": dict(record.metrics),
        "inputs": [(one.name, source, one.digest) for one, source in zip(record.inputs, sources, strict=True)],
        "outputs": [(one.name, one.digest, one.size, places.read(f"{one.uri}/n", 10)) for one in record.outputs],
    }  # fmt: skip


@pytest.mark.parametrize("point", series(POINTS, "stored", "submitted", "concluded"))
def test_killed_anywhere_it_is_one_job_and_the_lineage_of_an_undisturbed_run(
    shop: Workshop, cloud: AzureML, tmp_path: Path, undisturbed: dict[str, Any], point: str
) -> None:
    execution = shop.begin(shop.push(FILES))
    killed(cloud, tmp_path, execution, point)
    found = finished(shop, execution)
    assert states(found) == dict.fromkeys(STEPS, "succeeded")
    assert left(shop, cloud, found) == undisturbed
    assert [one[3] for one in undisturbed["steps"]["both-join"]["outputs"]] == [b"82"], "as it should be"


@pytest.mark.parametrize("operation", series(["codes.put", "jobs.put"], "jobs.put"))
def test_killed_during_the_upload_the_sdks_process_that_lives_on_makes_no_second_job(
    shop: Workshop, cloud: AzureML, tmp_path: Path, undisturbed: dict[str, Any], operation: str
) -> None:
    """Held at ``jobs.put``, the orphan asks for the job when the next service has it already."""
    cloud.fault(operation, hold=10)
    execution = shop.begin(shop.push(FILES))
    child = started(cloud, tmp_path, execution)
    until(lambda: cloud.calls().get(operation, 0) > 0)
    child.kill()
    child.communicate()
    assert azureml.jobs(cloud, "sums") == [], "it was killed before there was a job"
    found = finished(shop, execution)
    until(lambda: cloud.calls().get("jobs.put", 0) == 2)
    assert states(found) == dict.fromkeys(STEPS, "succeeded")
    after = left(shop, cloud, found)
    assert after["job"] == (*undisturbed["job"][:2], 2), "asked for twice, and there once"
    assert after["steps"] == undisturbed["steps"]


@pytest.mark.parametrize("point", series(["stored", "noted", "submitted", "asked", "cancelled"], "submitted", "asked"))
def test_killed_while_cancelling_the_job_ends_and_is_the_only_one(
    shop: Workshop, cloud: AzureML, tmp_path: Path, point: str
) -> None:
    """Of what was cancelled before its handle was stored, nobody knows whether it was submitted."""
    execution = shop.begin(shop.push(SLOW))
    if point in ("asked", "cancelled"):
        while shop.look(execution.id).step("both-join").state is not State.SUCCEEDED:
            shop.drive()
        cancel(shop, execution)
        killed(cloud, tmp_path, execution, point)
    else:
        killed(cloud, tmp_path, execution, point)
        cancel(shop, execution)
    found = finished(shop, execution)
    assert found.status is Status.CANCELLED
    (job,) = azureml.jobs(cloud, "sums")
    until(lambda: azureml.job(cloud, job["name"])["status"] == "Canceled")
    assert {name: len(found.step(name).attempts) for name in STEPS} == dict.fromkeys(STEPS, 1)


def cancel(shop: Workshop, execution: Execution) -> None:
    with shop.store.begin() as work:
        work.executions.mark(execution.id, cancelled="not today")
        work.jobs.free_all()


def until(holds: Any) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never happens"
        time.sleep(0.05)
