"""Owns what is noted of a native submission, in the operator's bucket and by content, for whoever looks at its steps later;
refuses to change a note."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from service.adapters.backends.cloud.names import digest
from service.adapters.backends.sagemaker.aws import Bucket, calling
from service.adapters.backends.sagemaker.native.steps import Branch
from service.domain.errors import Retry

_LARGEST = 4 * 1024 * 1024
_MOST_KEPT = 256


@dataclass(frozen=True)
class Noted:
    """One step of a submission: its type, the digests that stand for its outputs, its reports (output, path below it), and the
    branches around it."""

    kind: str
    outputs: Mapping[str, str]
    reports: tuple[tuple[str, str], ...] = ()
    inside: tuple[Branch, ...] = ()


class Submissions:
    """Notes of submissions, by the SHA-256 of their content. Thread-safe."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Mapping[str, Noted]] = OrderedDict()

    def keep(self, steps: Mapping[str, Noted]) -> str:
        """The name of the notes."""
        text = json.dumps({name: asdict(one) for name, one in steps.items()}, sort_keys=True)
        name = digest(text)
        self._bucket.keep(_key(name), text.encode())
        return name

    def step(self, name: str, step: str) -> Noted:
        """What was noted of a step. ``Retry`` while the notes cannot be had: nothing may be given up for that."""
        with self._lock:
            known = self._known.get(name)
        if known is None:
            known = self._read(name)
            with self._lock:
                self._known[name] = known
                while len(self._known) > _MOST_KEPT:
                    self._known.popitem(last=False)
        if step not in known:
            raise Retry(f"following {step}: it is not in the notes of its submission")
        return known[step]

    def _read(self, name: str) -> Mapping[str, Noted]:
        uri = self._bucket.uri(_key(name))
        with calling("reading the notes of a submission"):
            content = self._bucket.read(uri, _LARGEST)
        if content is None or digest(content.decode("utf-8", "replace")) != name:
            raise Retry(
                f"following a native step: {uri} is gone or was changed; put it back, or cancel the execution", 60.0
            )
        return {step: _noted(value) for step, value in json.loads(content).items()}


def _noted(value: Mapping[str, object]) -> Noted:
    made: dict[str, object] = dict(value)
    made["reports"] = tuple((output, path) for output, path in value["reports"])  # type: ignore[attr-defined]
    made["inside"] = tuple(Branch(**one) for one in value["inside"])  # type: ignore[attr-defined]
    return Noted(**made)  # type: ignore[arg-type]


def _key(name: str) -> str:
    return f"submissions/{name}.json"
