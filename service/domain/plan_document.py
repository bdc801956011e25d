"""Owns plans → the JSON document that the CLI prints and the API answers; refuses any second shape."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from service.domain.names import shown
from service.domain.plan import Plan, Step
from service.domain.step_key import Reason


def document(plans: Iterable[Plan]) -> dict[str, Any]:
    """``{"pipelines": [{"name", "base", "head", "removed", "steps": […]}]}``; see :func:`step_document`."""
    return {
        "pipelines": [
            {
                "name": plan.pipeline.name,
                "base": plan.base,
                "head": plan.head,
                "removed": list(plan.removed),
                "steps": [step_document(step) for step in plan.steps],
            }
            for plan in plans
        ]
    }


def step_document(step: Step) -> dict[str, Any]:
    """``key`` is null while an upstream output is unknown; ``reuses`` names the execution whose result is taken over."""
    return {
        "component": step.component.name,
        "decision": step.decision.value,
        "reasons": [reason_document(reason) for reason in step.reasons],
        "key": step.key,
        "static_key": step.static_key,
        "reuses": step.reuses.execution or None if step.reuses else None,
        "notes": list(step.ingredients.notes),
    }


def reason_document(reason: Reason) -> dict[str, str | None]:
    """A reason with its evidence."""
    return {
        "kind": reason.kind,
        "subject": shown(reason.subject),
        "detail": shown(reason.detail),
        "old": None if reason.old is None else shown(reason.old),
        "new": None if reason.new is None else shown(reason.new),
    }
