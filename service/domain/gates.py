"""Owns the grammar of gates, ``metric < number`` or ``metric <= baseline * factor``; refuses to evaluate expressions."""

from __future__ import annotations

import re
from dataclasses import dataclass

_GATE = re.compile(
    r"^\s*([A-Za-z_][\w.]*)\s*(<=|>=|<|>)\s*(?:(baseline)(?:\s*\*\s*([0-9]*\.?[0-9]+))?|([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?))\s*$"
)


@dataclass(frozen=True, slots=True)
class Gate:
    """A bound on a metric: a number, or a factor of the metric's value in the baseline."""

    metric: str
    operator: str
    value: float
    of_baseline: bool


def parse_gate(text: str) -> Gate | str:
    """The gate, or what is wrong with the text."""
    found = _GATE.match(text) if len(text) < 200 else None
    if not found:
        return f"{text[:80]!r} is not a gate such as `rmse < 560` or `rmse <= baseline * 1.01`"
    metric, operator, baseline, factor, number = found.groups()
    return Gate(metric, operator, float(factor or 1.0) if baseline else float(number), bool(baseline))
