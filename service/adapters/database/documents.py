"""Owns domain values ↔ JSON text for what is stored whole; refuses columns, which the repositories map one by one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from functools import lru_cache
from itertools import starmap
from typing import Any

from service.domain.delivery import Closed, Event, Nothing, PullRequest, Push
from service.domain.ingredients import Ingredients
from service.domain.pipeline import (
    Component,
    Hint,
    Input,
    Limits,
    Native,
    NativeStep,
    Pipeline,
    Registration,
    RepositoryInput,
    UpstreamInput,
    UriInput,
)
from service.domain.step_key import Part, PartKind, Parts, Reason, rows_of

_EVENTS: dict[str, type[Push] | type[PullRequest] | type[Closed] | type[Nothing]] = {
    "push": Push,
    "pull_request": PullRequest,
    "closed": Closed,
    "nothing": Nothing,
}
_KINDS = {kind.value: kind for kind in PartKind}
"""An enumeration's own lookup costs several times as much, and a large plan reads tens of thousands of parts."""
_FIELDS = tuple(one.name for one in fields(Component) if one.name not in ("inputs", "limits", "native"))
_LIMITS = tuple(one.name for one in fields(Limits))
_REASON = tuple(one.name for one in fields(Reason))
_INPUTS: dict[str, type[RepositoryInput] | type[UriInput] | type[UpstreamInput]] = {
    "path": RepositoryInput,
    "uri": UriInput,
    "upstream": UpstreamInput,
}
_INPUT_FIELDS = {name: tuple(one.name for one in fields(kind)) for name, kind in _INPUTS.items()}
_ENCODER = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), sort_keys=True)
_PARTS_KNOWN, _TEXTS_KNOWN, _DEFINITIONS_KNOWN = 65_536, 1_024, 4_096
"""What is remembered of JSON that was read or written: a push reads the same results twice, and the next one most of them again;
what a pipeline declares stays for months."""


def dumps(value: object) -> str:
    """JSON in ASCII: whatever a path or a message holds survives the way to the database and back."""
    return _ENCODER.encode(value)


def loads(text: str) -> Any:
    return json.loads(text)


def seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC)


def certain(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def event_text(event: Event) -> str:
    name = next(name for name, kind in _EVENTS.items() if type(event) is kind)
    return dumps({"is": name, **asdict(event)})


def event_of(text: str) -> Event:
    value = loads(text)
    return _EVENTS[value.pop("is")](**value)


def reasons_text(reasons: Iterable[Reason]) -> str:
    return dumps([_flat(reason, _REASON) for reason in reasons])


def reasons_of(text: str) -> tuple[Reason, ...]:
    return tuple(Reason(**value) for value in loads(text))


def parts_text(parts: Parts) -> str:
    return dumps(rows_of(parts))


@lru_cache(_TEXTS_KNOWN)
def parts_of(text: str) -> Parts:
    return _parts(loads(text))


def _parts(rows: Iterable[Sequence[str]]) -> Parts:
    return tuple(starmap(_part, rows))


@lru_cache(_PARTS_KNOWN)
def _part(kind: str, subject: str, value: str) -> Part:
    """The same object for the same part: results share nearly all of theirs with their neighbours."""
    return Part(_KINDS[kind], subject, value)


def ingredients_text(one: Ingredients) -> str:
    rest = dumps({"flags": one.flags, "notes": one.notes, "unknowable": one.unknowable})
    return f'{{"component":{_component_text(one.component)},"parts":{one.text},{rest[1:]}'


def ingredients_of(text: str) -> Ingredients:
    value = loads(text)
    return Ingredients(
        component=_component_of(value["component"]),
        parts=_parts(value["parts"]),
        flags=tuple((name, tuple(texts)) for name, texts in value["flags"]),
        notes=tuple(value["notes"]),
        unknowable=tuple(value["unknowable"]),
    )


def pipeline_text(pipeline: Pipeline) -> str:
    return _declared_text(pipeline) if pipeline.native is None else _pipeline_text(pipeline)


def _pipeline_text(pipeline: Pipeline) -> str:
    return dumps(
        {
            "name": pipeline.name,
            "backend": pipeline.backend,
            "components": [_component_value(component) for component in pipeline.components],
            "environment": pipeline.environment,
            "ignore": pipeline.ignore,
            "gates": pipeline.gates,
            "register": asdict(pipeline.register) if pipeline.register else None,
            "native": asdict(pipeline.native) if pipeline.native else None,
        }
    )


_declared_text = lru_cache(_DEFINITIONS_KNOWN)(_pipeline_text)


def pipeline_of(text: str) -> Pipeline:
    value = loads(text)
    return Pipeline(
        name=value["name"],
        backend=value["backend"],
        components=tuple(_component_of(component) for component in value["components"]),
        environment=tuple(value["environment"]),
        ignore=tuple(value["ignore"]),
        gates=tuple(value["gates"]),
        register=Registration(**value["register"]) if value["register"] else None,
        native=_native_of(value["native"]) if value.get("native") else None,
    )


@lru_cache(_DEFINITIONS_KNOWN)
def _component_text(component: Component) -> str:
    return dumps(_component_value(component))


def _component_value(component: Component) -> dict[str, Any]:
    return {
        **{name: getattr(component, name) for name in _FIELDS},
        "limits": _flat(component.limits, _LIMITS),
        "inputs": [[name, _input_value(source)] for name, source in component.inputs],
        "native": asdict(component.native) if component.native else None,
    }


def _component_of(value: dict[str, Any]) -> Component:
    return Component(
        name=value["name"],
        run=value["run"],
        params=tuple(value["params"]),
        paths=tuple(value["paths"]),
        inputs=tuple((name, _input_of(source)) for name, source in value["inputs"]),
        outputs=tuple(value["outputs"]),
        metrics=value["metrics"],
        settings=tuple((name, item) for name, item in value["settings"]),
        limits=Limits(**value["limits"]),
        native=_native_step_of(value["native"]) if value.get("native") else None,
    )


def _native_step_of(value: dict[str, Any]) -> NativeStep:
    ships, always, notes, starts = (tuple(value.get(name, ())) for name in ("ships", "always", "notes", "starts"))
    return NativeStep(value["kind"], ships, always, notes, starts, value.get("root"))


def _native_of(value: dict[str, Any]) -> Native:
    hints = ((step, {name: tuple(items) for name, items in hint.items()}) for step, hint in value["hints"])
    return Native(
        value["vendor"],
        value["path"],
        tuple((name, text) for name, text in value["arguments"]),
        tuple((step, Hint(**hint)) for step, hint in hints),
        value.get("taken_from", ""),
    )


def _input_value(source: Input) -> dict[str, Any]:
    name = next(name for name, kind in _INPUTS.items() if type(source) is kind)
    return {"is": name, **_flat(source, _INPUT_FIELDS[name])}


def _flat(value: object, names: Iterable[str]) -> dict[str, Any]:
    """A dataclass of plain values as a dictionary: ``asdict`` copies each of them, and takes ten times as long."""
    return {name: getattr(value, name) for name in names}


def _input_of(value: dict[str, Any]) -> Input:
    rest = {name: item for name, item in value.items() if name != "is"}
    return _INPUTS[value["is"]](**rest)
