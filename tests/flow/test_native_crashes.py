"""SIGKILL at every point of starting and following a native pipeline, and answers that never arrive: one execution in the
cloud for each submission, one attempt for each step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.domain.errors import Retry
from service.domain.execution import Execution, Status
from tests.conftest import series
from tests.emulators.sagemaker.process import SageMaker, reachable
from tests.flow.workshop import Workshop, states
from tests.native import FILES, STEPS, edited, executions, ran, workshop
from tests.origins import Origin

ROOT = Path(__file__).resolve().parents[2]
AFTER_MERGE = ["Merge", "Enough", "Publish", "TooSmall"]
CHILD = """
import sys
from pathlib import Path

from service.adapters.backends.sagemaker.backend import SageMakerBackend
from service.adapters.backends.sagemaker.native.observing import NativeObserver
from service.adapters.backends.sagemaker.native.starting import NativeStarter
from service.adapters.backends.sagemaker.native.submissions import Submissions
from service.adapters.backends.cloud.outputs import Index
from service.adapters.backends.sagemaker.pipelines import Pipelines
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.flow import conclude
from tests.dying import die_at
from tests.emulators.sagemaker.process import SageMaker
from tests.flow.conftest import NAME
from tests.native import workshop
from tests.origins import Origin

url, root, state, execution, point = sys.argv[1:]
root = Path(root)

BEFORE = {"stored": (SageMakerBackend, "submit"), "compiled": (NativeStarter, "_upload"), "measured": (Index, "write_native"),
          "recorded": (conclude, "promote")}
AFTER = {"uploaded": (NativeStarter, "_upload"), "noted": (Submissions, "keep"), "pinned": (Pipelines, "_pinned"),
         "started": (Pipelines, "start"), "handed": (SageMakerBackend, "submit"), "looked": (NativeObserver, "observation"),
         "indexed": (Index, "write_native"), "concluded": (conclude, "record")}
die_at(point, BEFORE, AFTER)
store = Database(f"sqlite:///{root / 'refit.db'}")
hosts = MirrorHost(root / "mirrors", {NAME: str(root / "pushed.git")}, protocols=("file",))
with IsolatedReader() as reader:
    shop = workshop(SageMaker(url), store, Origin(root / "pushed.git"), hosts, reader, root / "child", Path(state))
    shop.finish(execution)
"""
POINTS = (
    "stored",
    "compiled",
    "uploaded",
    "noted",
    "pinned",
    "started",
    "handed",
    "looked",
    "measured",
    "indexed",
    "concluded",
)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SageMaker]:
    with reachable(tmp_path / "sagemaker") as made:
        yield made


@pytest.fixture
def shop(
    cloud: SageMaker, sqlite: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path,
    compiled: Path,
) -> Workshop:  # fmt: skip
    return workshop(cloud, sqlite, pushed, hosts, reader, tmp_path, compiled)


def second(shop: Workshop) -> Execution:
    """An execution that is about to start four steps of six, with a source; the first one has ended."""
    head = shop.push(FILES)
    shop.carry_out(head)
    return shop.begin(shop.push(edited("ml/merge.py", "'total', total", "'is', total"), parents=(head,)), base=head)


@pytest.mark.parametrize("point", series(POINTS, "stored", "noted", "started", "handed", "concluded"))
def test_killed_anywhere_it_is_one_execution(
    shop: Workshop, cloud: SageMaker, tmp_path: Path, compiled: Path, point: str
) -> None:
    execution = second(shop)
    command = [sys.executable, "-c", CHILD, cloud.url, str(tmp_path), str(compiled), execution.id, point]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    died = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=120)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-3000:]
    with shop.store.begin() as work:
        work.jobs.free_all()
    found = shop.finish(execution.id)
    assert found.status is Status.SUCCEEDED
    assert states(found) == {name: "succeeded" if name in AFTER_MERGE else "reused" for name in STEPS}
    assert {name: len(found.step(name).attempts) for name in AFTER_MERGE} == dict.fromkeys(AFTER_MERGE, 1)
    there = executions(cloud)
    assert len(there) == 2
    assert ran(cloud, there[1]) == {"Merge", "Enough", "Publish"}
    (name,) = [row["PipelineName"] for row in cloud.client().list_pipelines()["PipelineSummaries"]]
    versions = cloud.client().list_pipeline_versions(PipelineName=name)["PipelineVersionSummaries"]
    assert len(versions) == 2, "one for each definition"


@pytest.mark.parametrize("operation", ["UpdatePipeline", "StartPipelineExecution"])
def test_an_answer_that_never_arrived_is_asked_for_again(shop: Workshop, cloud: SageMaker, operation: str) -> None:
    """Without the token a second execution would come of it, and without the alias a third version."""
    execution = second(shop)
    cloud.fault(operation, "ServiceUnavailable", times=2, after=True)
    with pytest.raises(Retry, match=operation):
        shop.finish(execution.id)
    with shop.store.begin() as work:
        work.jobs.free_all()
    assert shop.finish(execution.id).status is Status.SUCCEEDED
    assert len(executions(cloud)) == 2
    (name,) = [row["PipelineName"] for row in cloud.client().list_pipelines()["PipelineSummaries"]]
    assert len(cloud.client().list_pipeline_versions(PipelineName=name)["PipelineVersionSummaries"]) <= 3
