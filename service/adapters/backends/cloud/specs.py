"""Owns a work → what its container is told to run, and which inputs must arrive there; refuses any cloud's words, and works that
the operator does not admit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.adapters.backends.cloud.names import token
from service.adapters.backends.cloud.outputs import Kept
from service.domain.errors import Refused
from service.domain.gates import Gate, parse_gate
from service.domain.pipeline import RepositoryInput, UpstreamInput, UriInput
from service.ports.backend import Work


def admit(works: Sequence[Work], serves: Callable[[str], bool]) -> None:
    """``Refused`` for a token that is none, and for a repository to which the operator has not opened the backend."""
    first = works[0]
    for text in (*(work.token for work in works), first.submission):
        token(text)
    if not serves(first.repository):
        raise Refused(f"submitting {first.pipeline}: the operator has not opened this backend to {first.repository}")


@dataclass(frozen=True)
class Arrival:
    """An input that some job makes: output ``output`` of ``component``, where ``kept`` is if an earlier job made it."""

    name: str
    component: str
    output: str
    kept: Kept | None


def spec_of(
    work: Work, together: Collection[str], kept: Mapping[str, Kept], where: str
) -> tuple[dict[str, Any], tuple[Arrival, ...]]:
    """``together`` are the components of the submission; ``kept`` says by digest where the outputs lie that earlier jobs made,
    in ``where``. ``Refused`` if one of them is gone."""
    component = work.ingredients.component
    given: dict[str, dict[str, Any]] = {}
    arrivals: list[Arrival] = []
    for name, source in component.inputs:
        match source:
            case RepositoryInput(path=path):
                given[name] = {"path": path}
            case UriInput(uri=uri):
                given[name] = {"uri": uri}
            case UpstreamInput(component=upstream, output=output) if upstream in together:
                given[name] = {"output": output, "digest": None}
                arrivals.append(Arrival(name, upstream, output, None))
            case UpstreamInput(component=upstream, output=output):
                artifact = work.inputs[name]
                found = kept.get(artifact.digest)
                if found is None:
                    raise Refused(
                        f"submitting {component.name}: input {name}: the object {artifact.digest} is no longer stored in "
                        f"{where}; run the step again that made it"
                    )
                given[name] = {"output": found.name, "digest": artifact.digest}
                arrivals.append(Arrival(name, upstream, output, found))
    return {
        "run": component.run, "flags": [[key, list(texts)] for key, texts in work.ingredients.flags],
        "inputs": given, "outputs": list(component.outputs), "metrics": component.metrics,
        "timeout": component.limits.timeout, "environment": list(work.environment),
    }, tuple(arrivals)  # fmt: skip


def plain_gates(work: Work) -> Sequence[Gate] | None:
    """The pipeline's gates if each is a bound by a number for one metric, and there is one; else ``None``: only Refit knows the
    baseline."""
    gates = [parse_gate(text) for text in work.gates]
    plain = [gate for gate in gates if isinstance(gate, Gate) and not gate.of_baseline and "." not in gate.metric]
    return plain if plain and len(plain) == len(gates) else None
