"""Owns Event Grid's events about runs, from the operator's storage queue, as hints that a pipeline job moved; refuses to believe
what they say: whoever is told looks for himself."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Sequence

from service.adapters.backends.azureml import names
from service.adapters.backends.azureml.azure import calling
from service.adapters.backends.azureml.following import Jobs
from service.adapters.backends.azureml.queues import EventsQueue

_TYPES = frozenset(
    {"Microsoft.MachineLearningServices.RunStatusChanged", "Microsoft.MachineLearningServices.RunCompleted"}
)
_MOST_CHARACTERS = 65_536
"""Of a message: Azure's own bound."""
_ROOTS = ("azureml.rootpipelinerunid", "azureml.pipelinerunid")
"""Properties of a step's run that name the job that it is a part of."""
_SHORTEST_REST, _LONGEST_REST = 0.5, 4.0
"""Storage queues cannot be waited at, and every question costs: they are asked less often while nothing comes, in seconds."""


class Hints:
    """Reads the queue of the workspace with this resource id. Anything may have been put there, twice or never."""

    def __init__(self, queue: EventsQueue, workspace: str, jobs: Jobs) -> None:
        self._queue = queue
        self._workspace = workspace.lower()
        self._jobs = jobs
        self._rest = _SHORTEST_REST

    def heard(self, seconds: float) -> list[str]:
        """Beginnings of the handles of what moved; asks for it so long, at most. The next look at each is a new one."""
        until = time.monotonic() + seconds
        with calling("asking for events"):
            while not (messages := self._queue.take()):
                left = until - time.monotonic()
                if left <= 0:
                    return []
                time.sleep(min(self._rest, left))
                self._rest = min(self._rest * 2, _LONGEST_REST)
            self._rest = _SHORTEST_REST
            moved = dict.fromkeys(job for message in messages for job in jobs_of(message.text, self._workspace))
            for job in moved:
                self._jobs.forget(job)
            for message in messages:
                self._queue.remove(message)
        return [f"{job}#" for job in moved]


def jobs_of(text: str, workspace: str) -> Sequence[str]:
    """The pipeline jobs of Refit's that a message's events name, in this workspace (its resource id in lower case); none if it
    is none of ours to know. JSON, plain or in base64, of an event or several, in Event Grid's schema or as CloudEvents."""
    if len(text) > _MOST_CHARACTERS:
        return []
    try:
        plain = text if text.lstrip()[:1] in ("{", "[") else base64.b64decode(text, validate=True)
        found = json.loads(plain)
    except (ValueError, RecursionError):
        return []
    events = found if isinstance(found, list) else [found]
    return [job for event in events if isinstance(event, dict) and (job := _job_of(event, workspace))]


def _job_of(event: dict[str, object], workspace: str) -> str:
    source = event.get("topic") or event.get("source")
    kind, data = event.get("eventType") or event.get("type"), event.get("data")
    if not (isinstance(source, str) and source.lower() == workspace and isinstance(kind, str) and kind in _TYPES):
        return ""
    return next((one for one in _runs(data) if isinstance(one, str) and names.is_job(one)), "")


def _runs(data: object) -> Iterator[object]:
    """The run that moved, and what it is a part of. Azure writes these names in both cases."""
    if not isinstance(data, dict):
        return
    yield data.get("runId") or data.get("RunId")
    properties = data.get("runProperties") or data.get("RunProperties")
    if isinstance(properties, dict):
        yield from (properties.get(name) for name in _ROOTS)
