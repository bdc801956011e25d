"""Owns a definition's steps, flat: each with the conditions around it, its reports and the outputs that it declares; refuses to
say what they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.adapters.backends.sagemaker.native.expressions import MODEL
from service.domain.errors import Refused
from service.domain.names import shown

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BRANCHES = (("IfSteps", True), ("ElseSteps", False))
UNDERSTOOD = frozenset(
    {"Processing", "Training", "Tuning", "Transform", "Condition", "Fail", "RegisterModel", "Model", "CreateModel"}
)


@dataclass(frozen=True)
class Branch:
    """What a condition must have found for the steps of one of its branches to run."""

    condition: str
    outcome: bool


@dataclass(frozen=True)
class Step:
    """One step, ``inside`` the branches around it, the outermost first."""

    value: Mapping[str, Any]
    inside: tuple[Branch, ...] = ()

    @property
    def name(self) -> str:
        return str(self.value["Name"])

    @property
    def kind(self) -> str:
        return str(self.value["Type"])

    @property
    def arguments(self) -> Mapping[str, Any]:
        """A condition's branches have steps of their own."""
        given: Mapping[str, Any] = self.value.get("Arguments") or {}
        return {"Conditions": given.get("Conditions", [])} if self.kind == "Condition" else given


def steps_of(definition: Mapping[str, Any], path: str) -> Iterator[Step]:
    """All steps, those inside of conditions after these. ``path`` is where ``Refused`` says that a name is none."""
    yield from _flat(definition.get("Steps", ()), (), path)


def _flat(steps: Any, inside: tuple[Branch, ...], path: str) -> Iterator[Step]:
    for value in steps:
        step = Step(value, inside)
        if not _NAME.fullmatch(step.name):
            raise Refused(f"compiling {path}: {shown(step.name)[:80]!r} is no name of a step")
        yield step
        if step.kind == "Condition":
            for branch, outcome in _BRANCHES:
                yield from _flat(value["Arguments"].get(branch, ()), (*inside, Branch(step.name, outcome)), path)


def reports_of(step: Step) -> Iterator[tuple[str, str, str]]:
    """(name, output, path below it) of each property file."""
    for one in step.value.get("PropertyFiles", ()):
        yield str(one["PropertyFileName"]), str(one["OutputName"]), str(one["FilePath"])


def declared_outputs(step: Step) -> Iterator[str]:
    """Names of what a step makes by its own word."""
    for one in (step.arguments.get("ProcessingOutputConfig") or {}).get("Outputs", ()):
        yield str(one["OutputName"])
    if step.kind in ("Training", "Tuning"):
        yield MODEL
