"""Owns a metrics file → names and numbers, flat or in SageMaker's nested form; refuses what is not a finite number."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # images have Python 3.9 too, which lacks it
    from typing import TypeGuard

LARGEST_METRICS = 1024 * 1024


class UnreadableMetrics(Exception):
    """The metrics file cannot be used; the text says why."""


def read_metrics(path: Path) -> dict[str, float]:
    """``{"rmse": 1}`` and ``{"regression_metrics": {"rmse": {"value": 1}}}`` both give ``rmse``; flat names win.

    The nested form is that of SageMaker's model quality reports.
    """
    with path.open("rb") as file:
        return parse_metrics(file.read(LARGEST_METRICS + 1), path.name)


def parse_metrics(content: bytes, name: str) -> dict[str, float]:
    """What ``read_metrics`` reads; ``content`` needs at most one byte more than is allowed."""
    if len(content) > LARGEST_METRICS:
        raise UnreadableMetrics(f"{name} is larger than {LARGEST_METRICS} bytes")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableMetrics(f"{name} is not JSON") from error
    if not isinstance(value, dict):
        raise UnreadableMetrics(f"{name} is not a JSON object")
    found = {metric: float(one) for metric, one in value.items() if is_number(one)}
    for group in value.values():
        if isinstance(group, dict):
            for metric, one in group.items():
                number = one.get("value") if isinstance(one, dict) else one
                if is_number(number):
                    found.setdefault(metric, float(number))
    return found


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether it is a finite one; ``True`` is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False
