"""Owns looks at executions, shared by all who ask about their steps; refuses to interpret a step.

A look lasts for a while that grows with the execution's age, and with how many others are being followed: a thousand
executions cost no more calls a second than AWS leaves to all who share the account. What has ended cannot change and is
kept.
"""

from __future__ import annotations

import random
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from service.adapters.backends.sagemaker.aws import Cloud, calling

ENDED = frozenset({"Succeeded", "Failed", "Stopped", "CompletedWithFailures"})
IN_PROGRESS = frozenset({"Starting", "Executing", "Stopping"})
_MOST_KEPT = 4_096
_FORGOTTEN_SECONDS = 60.0
LOOKS_PER_SECOND = 4.0
"""At most, over all executions that are followed, once each has been looked at. AWS publishes no rate; ten a second is what
others report of its list calls."""


@dataclass(frozen=True)
class Look:
    """An execution at one moment. ``steps`` are the rows of those that have begun; ``changed`` is when it last moved."""

    status: str
    changed: datetime
    steps: Mapping[str, Mapping[str, Any]]

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


@dataclass
class _Seat:
    """Where those who ask about the same execution wait for the one who looks."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    look: Look | None = None
    until: float = 0.0


class Executions:
    """``poll`` is how long a look lasts, in seconds: at first, and at most, unless so many executions are followed that
    more than ``rate`` looks a second would be taken."""

    def __init__(self, cloud: Cloud, poll: tuple[float, float], rate: float = LOOKS_PER_SECOND) -> None:
        self._cloud = cloud
        self._fastest, self._slowest = poll
        self._rate = rate
        self._lock = threading.Lock()
        self._seats: OrderedDict[str, _Seat] = OrderedDict()

    def look(self, arn: str) -> Look:
        """How it stands, or stood a moment ago."""
        seat = self._seat(arn)
        with seat.lock:
            if seat.look is None or (not seat.look.has_ended and time.monotonic() >= seat.until):
                seat.look = self._looked(arn)
                seat.until = time.monotonic() + self._lasts(seat.look)
            return seat.look

    def forget(self, arn: str) -> None:
        """Look anew next time: something was asked of it."""
        self._seat(arn).until = 0.0

    def _seat(self, arn: str) -> _Seat:
        with self._lock:
            seat = self._seats.setdefault(arn, _Seat())
            self._seats.move_to_end(arn)
            while len(self._seats) > _MOST_KEPT:
                self._seats.popitem(last=False)
            return seat

    def _lasts(self, look: Look) -> float:
        begun = [row["StartTime"] for row in look.steps.values() if row.get("StartTime")]
        age = (datetime.now(UTC) - min(begun)).total_seconds() if begun else 0.0
        alone = min(self._slowest, max(self._fastest, age / 20)) * random.uniform(0.8, 1.2)  # noqa: S311
        return max(alone, self._followed() / self._rate)

    def _followed(self) -> int:
        """How many executions are being looked at: those that have not ended and were asked about of late."""
        soon = time.monotonic() - _FORGOTTEN_SECONDS
        with self._lock:
            return sum(
                seat.look is not None and not seat.look.has_ended and seat.until > soon for seat in self._seats.values()
            )

    def _looked(self, arn: str) -> Look:
        """While a step is at work the execution is, and need not be asked. Once it has ended its steps are listed again:
        one may have begun and ended between the two calls."""
        with calling("looking at a pipeline execution"):
            steps = self._steps(arn)
            if any(row["StepStatus"] in IN_PROGRESS for row in steps.values()):
                return Look("Executing", datetime.now(UTC), steps)
            found = self._cloud.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
            look = Look(found["PipelineExecutionStatus"], found["LastModifiedTime"].astimezone(UTC), steps)
            return Look(look.status, look.changed, self._steps(arn)) if look.has_ended else look

    def _steps(self, arn: str) -> dict[str, Mapping[str, Any]]:
        pages = self._cloud.sagemaker.get_paginator("list_pipeline_execution_steps").paginate(PipelineExecutionArn=arn)
        return {row["StepName"]: row for page in pages for row in page["PipelineExecutionSteps"]}
