"""Owns where outputs lie, by digest, and what a job reported of them; refuses to believe a report that has another form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from service.adapters.backends.steps.digests import DIGEST
from service.adapters.backends.steps.metrics import is_number
from service.domain.execution import Artifact

_LARGEST_REPORT, _LARGEST_ENTRY = 4 * 1024 * 1024, 64 * 1024
_AT_ONCE = 8
_MOST_OBJECTS = 10_000
NO_REPORT = "it left no report; the log says what ran"


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


@dataclass(frozen=True)
class Kept:
    """Where an output lies that some earlier job made. ``name`` is what its receipt calls it there."""

    uri: str
    name: str


@dataclass(frozen=True)
class NativeOutput:
    """An output of a native step: the ``execution`` that made it, by its name in the cloud, and the ``step`` there; where it
    lies (``uri``, empty for what lies nowhere), and the ``fingerprint`` of what lay there when the step had ended: a definition
    may write to the same place each time."""

    execution: str
    step: str
    uri: str = ""
    fingerprint: str = ""


class Place(Protocol):
    """Where the operator lets Refit keep objects. Names given to it are Refit's own, never a repository's."""

    def has(self, uri: str) -> bool: ...

    def has_output(self, kept: Kept) -> bool:
        """Whether it is still there: an operator's lifecycle rules may have removed it."""
        ...

    def listed(self, uri: str, most: int) -> Mapping[str, tuple[int, str]]:
        """Of an object and of all that lies below it, at most ``most``: name below it → size and ETag."""
        ...

    def read(self, uri: str, most: int) -> bytes | None:
        """At most ``most`` bytes and one; ``None`` if it is not there."""
        ...

    def write(self, name: str, content: bytes) -> str:
        """Its URI."""
        ...

    def uri(self, name: str) -> str: ...

    def calling(self, act: str) -> AbstractContextManager[None]:
        """The block's failures, as ``Retry`` and ``Refused``."""
        ...


def fingerprint(place: Place, uri: str) -> tuple[str, int]:
    """Of all that lies at a place: names, sizes and ETags, and the bytes together; of the first objects where there are many.
    Empty if nothing is there."""
    found = place.listed(uri, _MOST_OBJECTS)
    text = json.dumps(sorted(found.items()))
    return hashlib.sha256(text.encode()).hexdigest() if found else "", sum(size for size, _ in found.values())


class Index:
    """Digest → where such an output lies, as small objects in the operator's place: what one server learnt, all know."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def write(self, artifacts: Sequence[Artifact]) -> None:
        """The newest place counts: it will be there for longest."""
        for artifact in artifacts:
            entry = {"uri": artifact.uri, "name": artifact.name, "size": artifact.size}
            self._place.write(_key(artifact.digest), json.dumps(entry, sort_keys=True).encode())

    def write_native(self, made: Mapping[str, NativeOutput]) -> None:
        """Digest → an output of a native step. The newest place counts here too."""
        for digest, output in made.items():
            self._place.write(_key(digest), json.dumps({"native": asdict(output)}, sort_keys=True).encode())

    def natives(self, digests: Sequence[str]) -> dict[str, NativeOutput]:
        """Those of native steps whose place is known."""
        return {digest: one for digest, one in self._found(digests).items() if isinstance(one, NativeOutput)}

    def find(self, digests: Sequence[str]) -> dict[str, Kept]:
        """Those of declared steps whose place is known."""
        return {digest: one for digest, one in self._found(digests).items() if isinstance(one, Kept)}

    def _found(self, digests: Sequence[str]) -> dict[str, Kept | NativeOutput]:
        valid = [digest for digest in dict.fromkeys(digests) if DIGEST.fullmatch(digest)]
        if not valid:
            return {}
        with self._place.calling("looking up outputs"), ThreadPoolExecutor(min(_AT_ONCE, len(valid))) as threads:
            found = zip(valid, threads.map(self._entry, valid), strict=True)
            return {digest: kept for digest, kept in found if kept is not None}

    def holds(self, digests: Sequence[str]) -> frozenset[str]:
        """Those that are still at their place: an operator's lifecycle rules may have removed some."""
        found = self._found(digests)
        if not found:
            return frozenset()
        with self._place.calling("looking for outputs"), ThreadPoolExecutor(min(_AT_ONCE, len(found))) as threads:
            there = threads.map(self._is_there, found.values())
            return frozenset(digest for digest, is_there in zip(found, there, strict=True) if is_there)

    def _is_there(self, kept: Kept | NativeOutput) -> bool:
        if isinstance(kept, Kept):
            return self._place.has_output(kept)
        return not kept.uri or fingerprint(self._place, kept.uri)[0] == kept.fingerprint

    def _entry(self, digest: str) -> Kept | NativeOutput | None:
        content = self._place.read(self._place.uri(_key(digest)), _LARGEST_ENTRY)
        if content is None:
            return None
        try:
            entry = json.loads(content)
            if "native" in entry:
                return NativeOutput(**{name: str(value) for name, value in entry["native"].items()})
            return Kept(str(entry["uri"]), str(entry["name"]))
        except (ValueError, KeyError, TypeError):
            return None


def _key(digest: str) -> str:
    return f"outputs/{digest.removeprefix('sha256:')}.json"
