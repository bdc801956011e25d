"""Owns what an execution's move may ask for: start, end, record, take over, seek; refuses to say when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.execution import Attempt, Observation, StepRun
from service.domain.plan import Result


@dataclass(frozen=True, slots=True)
class Submit:
    """Start this attempt of this step. What it reads of others has been made, or is made in the same submission."""

    step: StepRun
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Cancel:
    """End this attempt and everything it started. Asked for at every move until it has ended: whoever asked first may
    have died before the backend heard of it."""

    step: StepRun
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Record:
    """A step succeeded: write its lineage."""

    step: StepRun
    attempt: Attempt
    observation: Observation
    result: Result


@dataclass(frozen=True, slots=True)
class Promote:
    """A step is satisfied by an earlier result: write the edge."""

    step: StepRun
    result: Result


@dataclass(frozen=True, slots=True)
class Seek:
    """Find earlier executions that have these outputs (step → output → digest), and move again with them: steps that are about
    to start read them, and do not run the steps that made them."""

    wanted: Mapping[str, Mapping[str, str]]


Action = Submit | Cancel | Record | Promote | Seek
