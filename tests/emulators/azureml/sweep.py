"""Owns which values a sweep's trials get and which trial is the best; refuses to run one."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from tests.emulators.azureml.messages import user_error


def trials(sweep: Mapping[str, Any]) -> list[dict[str, str]]:
    """The parameters of each trial, in order. Random and Bayesian sampling draw from a fixed seed: a restart draws the
    same again."""
    space = {name: dict(one) if isinstance(one, dict) else {"type": one[0], "values": one[1]}
             for name, one in (sweep.get("search_space") or {}).items()}  # fmt: skip
    if not space:
        raise user_error("A sweep needs a search space.")
    given = sweep.get("sampling_algorithm") or "random"
    kind = str(given["type"] if isinstance(given, dict) else given).lower()
    most = int((sweep.get("limits") or {}).get("max_total_trials") or 1)
    if kind == "grid":
        if wrong := [name for name, one in space.items() if one["type"] != "choice"]:
            raise user_error(f"Grid sampling needs choices; {wrong[0]} is none.")
        found = [
            dict(zip(space, one, strict=True)) for one in itertools.product(*(one["values"] for one in space.values()))
        ]
    else:
        drawn = random.Random(7)
        found = [{name: _drawn(drawn, one) for name, one in space.items()} for _ in range(most)]
    return [{name: str(value) for name, value in one.items()} for one in found[:most]]


def best(goal: str, scores: Sequence[tuple[str, float]]) -> tuple[str, float] | None:
    """The run with the best last value of the primary metric."""
    if not scores:
        return None
    return (max if goal.lower() == "maximize" else min)(scores, key=lambda one: one[1])


def _drawn(source: random.Random, one: Mapping[str, Any]) -> Any:
    low, high = float(one.get("min_value", 0)), float(one.get("max_value", 0))
    match one["type"]:
        case "choice":
            return source.choice(one["values"])
        case "uniform":
            return source.uniform(low, high)
        case "loguniform":
            return math.exp(source.uniform(low, high))
        case "randint":
            return source.randrange(int(one["upper"]))
        case "quniform":
            return round(source.uniform(low, high) / one["q"]) * one["q"]
        case "normal":
            return source.gauss(float(one["mu"]), float(one["sigma"]))
        case other:
            raise user_error(f"The search space has a {other}, which is not run here.")
