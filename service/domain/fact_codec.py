"""Owns facts ↔ JSON values, for the database and for the reading process; refuses any other type."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from service.domain.facts import Doubt, Fact, Import, Leaf, PythonFacts, Read, TextFacts, ValuesFacts

_NAMES = {PythonFacts: "python", ValuesFacts: "values", TextFacts: "text"}


def to_json(fact: Fact) -> dict[str, Any]:
    """JSON-able and complete; text may hold lone surrogates, so encode with ``ensure_ascii``."""
    return {"is": _NAMES[type(fact)], **asdict(fact)}


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
