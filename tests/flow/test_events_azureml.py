"""Event Grid's events, from a storage queue, wake whoever follows a pipeline job; without them everything is found by looking,
only later."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.adapters.backends.azureml.backend import AzureMLBackend
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.domain.execution import Status
from service.worker.listener import Listener
from tests import azureml
from tests.emulators.azureml.process import AzureML
from tests.flow.test_events import FILES
from tests.flow.workshop import Workshop
from tests.origins import Origin
from tests.sdks import azure_sdks

SLOW = (600.0, 600.0)
"""A look is good for ten minutes."""


@pytest.fixture
def azure(tmp_path: Path) -> Iterator[AzureML]:
    with azureml.reachable(tmp_path / "azureml", queue="events") as made:
        yield made


def test_an_event_is_heard_and_the_job_is_looked_at_at_once(
    azure: AzureML, sqlite: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path
) -> None:
    declared = azureml.declared(azure, events_queue=azure.events_queue)
    backend = AzureMLBackend(declared, tmp_path / "state", sdks=azure_sdks(), poll=SLOW)
    shop = Workshop(sqlite, pushed, hosts, reader, tmp_path, more={"aws": backend})
    azure.events.put("not JSON")
    azure.events.put(json.dumps({"topic": declared.scope, "eventType": 7, "data": {"runId": ["refit-x"]}}))
    listener = Listener(sqlite, shop.scheduler.backends)
    listener.start()
    try:
        began = time.monotonic()
        execution = shop.carry_out(shop.push(FILES))
        assert execution.status is Status.SUCCEEDED
        assert time.monotonic() - began < 100, "a look alone would be good for ten minutes"
        deadline = time.monotonic() + 15
        while azure.events.waiting() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert azure.events.waiting() == 0, "what was heard, and what nobody understands, is taken away"
    finally:
        listener.stop()
    assert azure.unknown() == []


def test_without_a_queue_nobody_asks_for_events(azure: AzureML, sqlite: Database, tmp_path: Path) -> None:
    backend = AzureMLBackend(azureml.declared(azure), tmp_path / "state", sdks=azure_sdks(), poll=SLOW)
    listener = Listener(sqlite, {"azure": backend})
    listener.start()
    try:
        assert not backend.hears
        assert backend.heard(0.0) == ()
        time.sleep(1.0)
    finally:
        listener.stop()
    assert not [name for name in azure.calls() if name.startswith("queue.")]
