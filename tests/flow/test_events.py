"""EventBridge's events wake whoever follows an execution; without them everything is found by looking, only later."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.adapters.backends.sagemaker.aws import Cloud
from service.adapters.backends.sagemaker.backend import SageMakerBackend
from service.adapters.backends.sagemaker.compiler import Compiler
from service.adapters.backends.sagemaker.examining import examine
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.domain.execution import Status
from service.worker.listener import Listener
from tests.emulators.sagemaker.process import SageMaker, reachable
from tests.flow.workshop import Workshop
from tests.origins import Origin
from tests.sdks import sdks

NAME = "events"
FILES = {
    "refit.yaml": "version: 1\ntriggers: {push: ['**']}\npipelines:\n  p:\n    backend: aws\n    components:\n"
    "      one: {run: 'python one.py ${{outputs.x}}', outputs: [x]}\n",
    "one.py": "import sys, time\ntime.sleep(3)\nopen(sys.argv[1], 'w').write('1')\n",
}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SageMaker]:
    with reachable(tmp_path / "sagemaker", "--queue", NAME) as made:
        made.client("sqs").create_queue(QueueName=NAME)
        yield made


def queue(cloud: SageMaker) -> str:
    return str(cloud.client("sqs").get_queue_url(QueueName=NAME)["QueueUrl"])


@pytest.fixture
def backend(cloud: SageMaker, tmp_path: Path) -> Iterator[SageMakerBackend]:
    """Whose looks are good for ten minutes."""
    compiler = Compiler(sdks(), tmp_path / "compiler")
    declared = cloud.declared(events_queue=queue(cloud))
    yield SageMakerBackend(declared, tmp_path / "aws", compiler=compiler, poll=(600.0, 600.0))
    compiler.close()


def test_an_event_is_heard_and_the_execution_is_looked_at_at_once(
    cloud: SageMaker, backend: SageMakerBackend, sqlite: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader,
    tmp_path: Path,
) -> None:  # fmt: skip
    shop = Workshop(sqlite, pushed, hosts, reader, tmp_path, more={"aws": backend})
    cloud.client("sqs").send_message(QueueUrl=queue(cloud), MessageBody="not JSON")
    cloud.client("sqs").send_message(
        QueueUrl=queue(cloud), MessageBody=json.dumps({"detail": {"pipelineExecutionArn": 7}})
    )
    listener = Listener(sqlite, shop.scheduler.backends)
    listener.start()
    try:
        began = time.monotonic()
        execution = shop.carry_out(shop.push(FILES))
        assert execution.status is Status.SUCCEEDED
        assert time.monotonic() - began < 60, "a look alone would be good for ten minutes"
    finally:
        listener.stop()
    assert cloud.calls()["ListPipelineExecutionSteps"] <= 8
    attributes = cloud.client("sqs").get_queue_attributes(QueueUrl=queue(cloud), AttributeNames=["All"])["Attributes"]
    assert int(attributes["ApproximateNumberOfMessages"]) <= 2, "what was heard is taken away"


def test_a_queue_that_is_not_there_is_named_by_the_doctor(cloud: SageMaker) -> None:
    assert examine(Cloud(cloud.declared(events_queue=queue(cloud)))) == []
    missing = queue(cloud).replace(NAME, "nowhere")
    (found,) = examine(Cloud(cloud.declared(events_queue=missing)))
    assert missing in found
