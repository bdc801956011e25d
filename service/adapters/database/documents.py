"""Owns domain values ↔ JSON text for what is stored whole; refuses columns, which the repositories map one by one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from service.domain.assessment import Ingredients
from service.domain.delivery import Closed, Event, Nothing, PullRequest, Push
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
from service.domain.step_key import Part, PartKind, Parts, Reason

_EVENTS: dict[str, type[Push] | type[PullRequest] | type[Closed] | type[Nothing]] = {
    "push": Push,
    "pull_request": PullRequest,
    "closed": Closed,
    "nothing": Nothing,
}
_KINDS = {kind.value: kind for kind in PartKind}
"""An enumeration's own lookup costs several times as much, and a large plan reads tens of thousands of parts."""
_FIELDS = tuple(one.name for one in fields(Component) if one.name not in ("inputs", "limits", "native"))
_INPUTS: dict[str, type[RepositoryInput] | type[UriInput] | type[UpstreamInput]] = {
    "path": RepositoryInput,
    "uri": UriInput,
    "upstream": UpstreamInput,
}


def dumps(value: object) -> str:
    """JSON in ASCII: whatever a path or a message holds survives the way to the database and back."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), sort_keys=True)


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
    return dumps([asdict(reason) for reason in reasons])


def reasons_of(text: str) -> tuple[Reason, ...]:
    return tuple(Reason(**value) for value in loads(text))


def parts_text(parts: Parts) -> str:
    return dumps([[part.kind.value, part.subject, part.value] for part in parts])


def parts_of(text: str) -> Parts:
    return _parts(loads(text))


def _parts(rows: Iterable[Sequence[str]]) -> Parts:
    return tuple(Part(_KINDS[kind], subject, value) for kind, subject, value in rows)


def ingredients_text(one: Ingredients) -> str:
    return dumps(
        {
            "component": _component_value(one.component),
            "parts": [[part.kind.value, part.subject, part.value] for part in one.parts],
            "flags": one.flags,
            "notes": one.notes,
            "unknowable": one.unknowable,
        }
    )


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


def _component_value(component: Component) -> dict[str, Any]:
    return {
        **{name: getattr(component, name) for name in _FIELDS},
        "limits": asdict(component.limits),
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
    return {"is": name, **asdict(source)}


def _input_of(value: dict[str, Any]) -> Input:
    rest = {name: item for name, item in value.items() if name != "is"}
    return _INPUTS[value["is"]](**rest)
