"""Owns gates, ``metric < number`` or ``metric <= baseline * factor``: their grammar and their verdicts, with the figures;
refuses to evaluate any other expression."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
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
    if not found or math.isinf(float(found.group(5) or 0)):
        return f"{text[:80]!r} is not a gate such as `rmse < 560` or `rmse <= baseline * 1.01`"
    metric, operator, baseline, factor, number = found.groups()
    return Gate(metric, operator, float(factor or 1.0) if baseline else float(number), bool(baseline))


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a gate compares with: the last success on the target branch, and what it measured."""

    execution: str
    commit: str
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate said. ``value`` is the metric, ``bound`` what it was held against (``None``: there was none),
    ``baseline`` the execution that the bound comes from, ``detail`` the same in words."""

    gate: str
    passed: bool
    detail: str
    value: float | None = None
    bound: float | None = None
    baseline: str = ""


def judge(gates: Sequence[str], metrics: Mapping[str, float], baseline: Baseline | None) -> tuple[Verdict, ...]:
    """One verdict for each gate. A metric that nobody measured fails it: a gate that cannot be seen to hold does not.
    Without a baseline a comparison passes, since somebody must be first, and says so."""
    return tuple(_verdict(text, metrics, baseline) for text in gates)


def _verdict(text: str, metrics: Mapping[str, float], baseline: Baseline | None) -> Verdict:
    gate = parse_gate(text)
    if isinstance(gate, str):
        return Verdict(text, False, gate)
    value = metrics.get(gate.metric)
    if value is None:
        measured = ", ".join(sorted(metrics)) or "nothing"
        return Verdict(text, False, f"no step measured {gate.metric}; measured: {measured}")
    if not gate.of_baseline:
        return _held(text, gate, value, gate.value, f"{gate.value:.6g}", "")
    if baseline is None:
        return Verdict(
            text, True, f"{gate.metric} = {value:.6g}; no success on the target branch to compare with", value
        )
    known = baseline.metrics.get(gate.metric)
    if known is None:
        return Verdict(
            text, True, f"{gate.metric} = {value:.6g}; the baseline {baseline.execution} did not measure it", value
        )
    bound = known * gate.value
    factor = "" if gate.value == 1.0 else f" × {gate.value:g} = {bound:.6g}"
    return _held(text, gate, value, bound, f"baseline {known:.6g}{factor}", baseline.execution)


def _held(text: str, gate: Gate, value: float, bound: float, words: str, baseline: str) -> Verdict:
    passed = _OPERATORS[gate.operator](value, bound)
    said = f"{gate.metric} = {value:.6g} {'is' if passed else 'is not'} {gate.operator} {words}"
    return Verdict(text, passed, said, value, bound, baseline)
