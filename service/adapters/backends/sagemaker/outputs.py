"""Owns where outputs lie, by digest, and what a job reported of them; refuses to believe a report that has another form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from service.adapters.backends.sagemaker.aws import Bucket, calling
from service.adapters.backends.sagemaker.composing import Kept
from service.adapters.backends.sagemaker.container.places import RECEIPT
from service.adapters.backends.steps.digests import DIGEST
from service.adapters.backends.steps.metrics import is_number
from service.domain.execution import Artifact

_LARGEST_REPORT, _LARGEST_ENTRY = 4 * 1024 * 1024, 64 * 1024
_AT_ONCE = 8


class Unbelievable(Exception):
    """A report that the container's own code would not have written; the text says why."""


@dataclass(frozen=True)
class Report:
    """What a job says of itself. A step can write there too: it vouches for nobody else's content, since whoever reads an
    output compares it with its digest."""

    inputs: tuple[Artifact, ...] = ()
    outputs: tuple[Artifact, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    environment: str = ""
    exit_code: int | None = None


def read_report(content: bytes) -> Report:
    """``Unbelievable`` if it is none."""
    if len(content) > _LARGEST_REPORT:
        raise Unbelievable(f"its report is larger than {_LARGEST_REPORT} bytes")
    try:
        value = json.loads(content)
        return Report(
            inputs=tuple(Artifact(str(one["name"]), str(one["digest"]), int(one["size"])) for one in value["inputs"]),
            outputs=tuple(_made(one) for one in value["outputs"]),
            metrics={str(name): _number(one) for name, one in value["metrics"].items()},
            environment=str(value["environment"])[:200],
            exit_code=None if value["exit_code"] is None else int(value["exit_code"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unbelievable(f"its report cannot be read: {type(error).__name__}") from error


def _made(one: Mapping[str, Any]) -> Artifact:
    if not DIGEST.fullmatch(one["digest"]):
        raise ValueError("not a digest")
    return Artifact(str(one["name"]), one["digest"], int(one["size"]))


def _number(value: Any) -> float:
    if not is_number(value):
        raise ValueError("not a number")
    return float(value)


class Index:
    """Digest → where such an output lies, as small objects in the operator's bucket: what one server learnt, all know."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def write(self, artifacts: Sequence[Artifact]) -> None:
        """The newest place counts: it will be there for longest."""
        for artifact in artifacts:
            entry = {"uri": artifact.uri, "name": artifact.name, "size": artifact.size}
            self._bucket.write(_key(artifact.digest), json.dumps(entry, sort_keys=True).encode())

    def find(self, digests: Sequence[str]) -> dict[str, Kept]:
        """Those whose place is known."""
        valid = [digest for digest in dict.fromkeys(digests) if DIGEST.fullmatch(digest)]
        if not valid:
            return {}
        with calling("looking up outputs"), ThreadPoolExecutor(min(_AT_ONCE, len(valid))) as threads:
            found = zip(valid, threads.map(self._entry, valid), strict=True)
            return {digest: kept for digest, kept in found if kept is not None}

    def holds(self, digests: Sequence[str]) -> frozenset[str]:
        """Those that are still at their place: an operator's lifecycle rules may have removed some."""
        found = self.find(digests)
        if not found:
            return frozenset()
        with calling("looking for outputs"), ThreadPoolExecutor(min(_AT_ONCE, len(found))) as threads:
            there = threads.map(lambda kept: self._bucket.has(_witness(kept)), found.values())
            return frozenset(digest for digest, is_there in zip(found, there, strict=True) if is_there)

    def _entry(self, digest: str) -> Kept | None:
        content = self._bucket.read(self._bucket.uri(_key(digest)), _LARGEST_ENTRY)
        if content is None:
            return None
        try:
            entry = json.loads(content)
            return Kept(str(entry["uri"]), str(entry["name"]))
        except (ValueError, KeyError, TypeError):
            return None


def _key(digest: str) -> str:
    return f"outputs/{digest.removeprefix('sha256:')}.json"


def _witness(kept: Kept) -> str:
    """The object that is there if the output is."""
    return kept.uri if kept.is_model else f"{kept.uri}/{RECEIPT}"
