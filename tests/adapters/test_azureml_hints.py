"""What is heard from the operator's storage queue: jobs of Refit's in this workspace, whatever else lies there; what nobody
understands is taken away; what is not allowed is named with the role."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from service.adapters.backends.azureml.azure import Azure
from service.adapters.backends.azureml.backend import AzureMLBackend
from service.adapters.backends.azureml.datastores import Datastores
from service.adapters.backends.azureml.examining import examine
from service.adapters.backends.azureml.hints import jobs_of
from service.domain.errors import Retry
from tests import azureml
from tests.emulators.azureml.events import event
from tests.emulators.azureml.messages import WORKSPACE_ID
from tests.emulators.azureml.process import AzureML
from tests.sdks import azure_sdks

JOB = "refit-prices-0123456789abcdef0123456789abcdef"
RUN: dict[str, Any] = {"id": JOB, "experiment": "acme-prices", "status": "Completed", "properties": {}, "tags": {}}
STEP = {**RUN, "id": "83dd2dc9-1d4c-4f4b-b9c4-6d2ba3b3b4a6", "properties": {"azureml.rootpipelinerunid": JOB}}
STATUS, COMPLETED = "RunStatusChanged", "RunCompleted"
MESSAGES = "Microsoft.Storage/storageAccounts/queueServices/queues/messages"


def said(run: dict[str, Any] = RUN, kind: str = STATUS, **more: Any) -> str:
    return json.dumps(event(run, kind) | more)


def as_cloud_event(run: dict[str, Any]) -> str:
    """The other schema, with the names of data in the other case."""
    one = event(run, COMPLETED)
    data = {name[:1].upper() + name[1:]: value for name, value in one["data"].items()}
    return json.dumps({"source": one["topic"], "type": one["eventType"], "specversion": "1.0", "data": data})


def heard_in(text: str) -> list[str]:
    return list(jobs_of(text, WORKSPACE_ID.lower()))


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureML]:
    with azureml.reachable(tmp_path_factory.mktemp("azureml"), queue="events") as made:
        yield made


@pytest.fixture
def backend(azure: AzureML, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureMLBackend]:
    declared = azureml.declared(azure, events_queue=azure.events_queue)
    yield AzureMLBackend(declared, tmp_path_factory.mktemp("state"), sdks=azure_sdks())
    azure.clear()


@pytest.mark.parametrize(
    "text",
    [
        said(),
        said(kind=COMPLETED),
        said(topic=WORKSPACE_ID.upper()),
        said(STEP),
        said({**STEP, "properties": {"azureml.pipelinerunid": JOB}}),
        f"[{said()}]",
        f" \n{said()}",
        as_cloud_event(RUN),
        as_cloud_event(STEP),
        base64.b64encode(said().encode()).decode(),
        base64.b64encode(as_cloud_event(STEP).encode()).decode(),
    ],
)
def test_a_job_is_heard_in_every_form(text: str) -> None:
    assert heard_in(text) == [JOB]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not JSON",
        "null",
        "[7, null, []]",
        "[" * 30_000,
        "{" + '"a":{' * 10_000,
        f"[{'9' * 5_000}]",
        base64.b64encode(b"\xff\xfe\x00").decode(),
        said(topic=WORKSPACE_ID + "-of-another"),
        said(topic=None),
        said(topic=[WORKSPACE_ID]),
        said(kind="ModelRegistered"),
        said(eventType=[STATUS]),
        said(data=[JOB]),
        said(data={"runId": [JOB]}),
        said(data={"runId": "x", "runProperties": [JOB]}),
        said({**RUN, "id": "AutoML_5"}),
        said({**RUN, "id": f"{JOB}\n"}),
        said({**RUN, "id": f"{JOB}#%"}),
        said({**RUN, "id": "refit-" + "x" * 200}),
        said(padding="x" * 65_536),
    ],
)
def test_anything_else_names_nothing(text: str) -> None:
    assert heard_in(text) == []


def test_what_was_put_there_is_heard_once_and_taken_away(azure: AzureML, backend: AzureMLBackend) -> None:
    for text in (said(STEP), "<poison> & \\u0000", said(), base64.b64encode(said().encode()).decode(), "A" * 40_000):
        azure.events.put(text)
    assert backend.hears
    assert backend.heard(5.0) == [f"{JOB}#"]
    assert azure.events.waiting() == 0
    assert backend.heard(0.0) == []


def test_an_empty_queue_is_asked_less_and_less_often(azure: AzureML, backend: AzureMLBackend) -> None:
    before, began = azure.calls().get("queue.get", 0), time.monotonic()
    assert backend.heard(3.0) == []
    assert backend.heard(3.0) == []
    assert 5.9 < time.monotonic() - began < 30
    assert 3 <= azure.calls()["queue.get"] - before <= 7


def test_what_cannot_be_taken_away_is_heard_all_the_same(azure: AzureML, backend: AzureMLBackend) -> None:
    azure.events.put(said())
    azure.fault("queue.delete", 503)
    assert backend.heard(5.0) == [f"{JOB}#"]
    assert azure.events.waiting() == 1, "it comes again, and changes nothing then"


def test_what_is_not_allowed_is_told_with_the_role_and_not_with_the_message(
    azure: AzureML, backend: AzureMLBackend
) -> None:
    azure.events.put("a-hostile-word")
    azure.deny(f"{MESSAGES}/process/action")
    with pytest.raises(Retry) as told:
        backend.heard(0.0)
    assert "Storage Queue Data Message Processor" in told.value.reason
    azure.clear()
    azure.fault("queue.delete", 403)
    with pytest.raises(Retry) as told:
        backend.heard(0.0)
    assert "Storage Queue Data Message Processor" in told.value.reason
    assert "hostile" not in told.value.reason


def found(azure: AzureML, queue: str) -> list[str]:
    made = Azure(azureml.declared(azure, events_queue=queue))
    return list(examine(made, Datastores(made)))


@pytest.mark.usefixtures("backend")
def test_the_doctor_finds_nothing_where_all_is_well_and_takes_no_message(azure: AzureML) -> None:
    azure.events.put(said())
    before = azure.events.waiting()
    assert found(azure, azure.events_queue) == []
    assert azure.events.waiting() == before
    assert azure.unknown() == []


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("action", ["read", "process/action"])
def test_the_doctor_names_the_action_that_is_not_allowed(azure: AzureML, action: str) -> None:
    azure.deny(f"{MESSAGES}/{action}")
    (problem,) = found(azure, azure.events_queue)
    assert f"{MESSAGES}/{action} on the queue {azure.events_queue}" in problem
    assert "Storage Queue Data Message Processor" in problem


@pytest.mark.usefixtures("backend")
def test_the_doctor_names_a_queue_that_is_not_there(azure: AzureML) -> None:
    missing = azure.events_queue.replace("events", "nowhere")
    (problem,) = found(azure, missing)
    assert f"there is no queue {missing}" in problem
