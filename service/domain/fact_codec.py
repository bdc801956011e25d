"""Owns facts ↔ JSON values, for the database and for the reading process; refuses any other type."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from service.domain.facts import Doubt, Fact, Import, Leaf, PythonFacts, Read, TextFacts, ValuesFacts

_NAMES: dict[type, str] = {PythonFacts: "python", ValuesFacts: "values", TextFacts: "text"}
_FIELDS = {kind: tuple(one.name for one in fields(kind)) for kind in (*_NAMES, Doubt, Import, Leaf, Read)}


def to_json(fact: Fact) -> dict[str, Any]:
    """JSON-able and complete; text may hold lone surrogates, so encode with ``ensure_ascii``."""
    return {"is": _NAMES[type(fact)], **_plain(fact)}


def _plain(value: Any) -> dict[str, Any]:
    """As ``dataclasses.asdict``, which takes five times as long, for what facts consist of."""
    found = {name: getattr(value, name) for name in _FIELDS[type(value)]}
    for name, item in found.items():
        if type(item) is tuple and item and type(item[0]) in _FIELDS:
            found[name] = list(map(_plain, item))
    return found


def from_json(value: dict[str, Any]) -> Fact:
    """The fact again; ``KeyError`` or ``TypeError`` on anything that ``to_json`` did not make."""
    rest = {name: item for name, item in value.items() if name != "is"}
    doubts = tuple(Doubt(**doubt) for doubt in rest.pop("doubts"))
    match value["is"]:
        case "python":
            imports = tuple(Import(i["module"], tuple(i["names"]), i["level"]) for i in rest.pop("imports"))
            exports, scripts = tuple(rest.pop("exports")), tuple(rest.pop("scripts"))
            reads = tuple(Read(**read) for read in rest.pop("reads", ()))
            return PythonFacts(**rest, imports=imports, exports=exports, scripts=scripts, reads=reads, doubts=doubts)
        case "values":
            leaves = tuple(Leaf(tuple(leaf["path"]), leaf["text"], leaf["reading"]) for leaf in rest["leaves"])
            targets = tuple((tuple(path), name) for path, name in rest["targets"])
            return ValuesFacts(leaves, targets, tuple(rest["defaults"]), doubts)
        case "text":
            return TextFacts(rest["value"], tuple(rest["includes"]), doubts)
        case other:
            raise KeyError(other)
