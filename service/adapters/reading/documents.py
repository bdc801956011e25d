"""Owns YAML bytes → plain JSON values for the manifest, with what is odd about them; refuses to validate them."""

from __future__ import annotations

from typing import Any

import yaml

from service.adapters.reading.values import Unreadable, compose, pairs, yaml_11

_MOST_VALUES = 250_000
"""A manifest of a thousand pipelines, which is half a megabyte, has about 75,000."""


def read_document(content: bytes) -> dict[str, Any]:
    """``{"value": …, "odd": [...]}`` or ``{"error": "…"}``; keys keep their spelling, so that ``on:`` stays ``on``."""
    odd: list[str] = []
    try:
        root = compose(content, _MOST_VALUES)
        value = _value(root, [_MOST_VALUES], odd) if root is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        return {"error": f"is not valid YAML{where}: {error.problem}"}
    except (Unreadable, yaml.YAMLError, ValueError, RecursionError) as error:
        return {"error": str(error) if isinstance(error, Unreadable) else f"is not valid YAML ({error})"}
    return {"value": value, "odd": odd}


def _value(node: yaml.Node, budget: list[int], odd: list[str]) -> object:
    budget[0] -= 1
    if budget[0] < 0:
        raise Unreadable("expands to too much")
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _value(value, budget, odd) for key, value in pairs(node, budget, odd)}
    if isinstance(node, yaml.SequenceNode):
        return [_value(one, budget, odd) for one in node.value]
    value = yaml_11(node)
    return value if isinstance(value, str | int | float | bool) or value is None else str(node.value)
