"""Owns what Event Grid delivers of the workspace's runs to a storage queue, which Azurite holds: at least once, some time later;
refuses to decide when a run moves."""

from __future__ import annotations

import base64
import json
import queue
import threading
import uuid
from xml.sax.saxutils import escape

import httpx

from tests.emulators.azureml.assets import now
from tests.emulators.azureml.blobs import ACCOUNT, Blobs
from tests.emulators.azureml.messages import WORKSPACE_ID
from tests.emulators.azureml.runs import experiment_id
from tests.emulators.azureml.state import Document

_PROVIDER = "Microsoft.MachineLearningServices"


class Events:
    """The queue ``name`` of the account, at Azurite's ``endpoint``."""

    def __init__(self, endpoint: str, name: str, blobs: Blobs) -> None:
        self._url = f"{endpoint}/{ACCOUNT}/{name}"
        self._blobs = blobs
        self._client = httpx.Client(timeout=60, trust_env=False)
        self._waiting: queue.Queue[Document] = queue.Queue()

    def start(self) -> None:
        """There is a queue of this name, and what moves is delivered to it."""
        answer = self._client.put(f"{self._url}?{self._blobs.account_signature()}")
        assert answer.status_code in (201, 204), answer.text
        threading.Thread(target=self._deliver, daemon=True, name="events").start()

    def moved(self, run: Document) -> None:
        """A run has another status. Returns at once."""
        self._waiting.put(run)

    def put(self, text: str) -> None:
        """As anybody with a key may."""
        body = f"<QueueMessage><MessageText>{escape(text)}</MessageText></QueueMessage>"
        answer = self._client.post(f"{self._url}/messages?{self._blobs.account_signature()}", content=body)
        assert answer.status_code == 201, answer.text

    def waiting(self) -> int:
        """How many messages there are, also those that somebody took and did not take away."""
        answer = self._client.get(f"{self._url}?comp=metadata&{self._blobs.account_signature()}")
        assert answer.status_code == 200, answer.text
        return int(answer.headers["x-ms-approximate-messages-count"])

    def _deliver(self) -> None:
        while True:
            run = self._waiting.get()
            kinds = ["RunStatusChanged", *(["RunCompleted"] if run["status"] == "Completed" else [])]
            for kind in kinds:
                self.put(base64.b64encode(json.dumps(event(run, kind)).encode()).decode())


def event(run: Document, kind: str) -> Document:
    """In Event Grid's schema."""
    experiment = experiment_id(run["experiment"])
    return {
        "topic": WORKSPACE_ID, "subject": f"experiments/{experiment}/runs/{run['id']}",
        "eventType": f"{_PROVIDER}.{kind}", "eventTime": now(), "id": str(uuid.uuid4()), "dataVersion": "1.0",
        "metadataVersion": "1",
        "data": {
            "experimentId": experiment, "experimentName": run["experiment"], "runId": run["id"],
            "runType": run["properties"].get("azureml.runsource"), "runTags": run["tags"],
            "runProperties": run["properties"], "runStatus": run["status"],
        },
    }  # fmt: skip
