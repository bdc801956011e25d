"""Owns executions, steps, attempts and verdicts ↔ their rows; refuses statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from service.adapters.database.documents import (
    certain,
    dumps,
    ingredients_text,
    loads,
    moment,
    pipeline_of,
    pipeline_text,
    reasons_text,
    seconds,
)
from service.domain.execution import Attempt, Execution, Seen, StepRun
from service.domain.gates import Verdict
from service.domain.names import shown


def execution_values(execution: Execution) -> dict[str, Any]:
    """Everything but its job."""
    return {
        "id": execution.id,
        "repository": execution.repository,
        "pipeline": execution.pipeline.name,
        "ref": shown(execution.ref),
        "commit": execution.commit,
        "tree": execution.tree,
        "base": execution.base,
        "author": shown(execution.author),
        "message": shown(execution.message),
        "trigger": execution.trigger,
        "created_at": execution.created_at.timestamp(),
        "pull_request": execution.pull_request,
        "definition": pipeline_text(execution.pipeline),
        "removed": dumps(execution.removed),
        "forced": dumps(execution.forced),
        "targets": dumps(execution.targets),
        "needs_approval": shown(execution.needs_approval),
    }


def step_rows(execution: Execution) -> Iterator[dict[str, Any]]:
    for position, step in enumerate(execution.steps):
        yield {
            "execution": execution.id,
            "position": position,
            "component": step.name,
            "planned": step.planned.value,
            "decision": step.decision.value if step.decision else None,
            "state": step.state.value,
            "static_key": step.static_key,
            "key": step.key,
            "reasons": reasons_text(step.reasons),
            "ingredients": ingredients_text(step.ingredients),
            "result": step.result.id if step.result else None,
        }


def execution_of(row: Any, steps: Iterable[StepRun], verdicts: Iterable[Verdict]) -> Execution:
    return Execution(
        id=row.id,
        repository=row.repository,
        pipeline=pipeline_of(row.definition),
        ref=row.ref,
        commit=row.commit,
        tree=row.tree,
        base=row.base,
        author=row.author,
        message=row.message,
        trigger=row.trigger,
        created_at=certain(row.created_at),
        steps=tuple(steps),
        pull_request=row.pull_request,
        removed=tuple(loads(row.removed)),
        needs_approval=row.needs_approval,
        approved_by=row.approved_by,
        cancelled=row.cancelled,
        superseded_by=row.superseded_by,
        forced=tuple(loads(row.forced)),
        targets=tuple(loads(row.targets)),
        verdicts=tuple(verdicts),
        ended_at=moment(row.ended_at),
    )


def verdict_values(execution: str, position: int, verdict: Verdict) -> dict[str, Any]:
    return {
        "execution": execution,
        "position": position,
        "gate": shown(verdict.gate),
        "passed": verdict.passed,
        "detail": shown(verdict.detail),
        "value": verdict.value,
        "bound": verdict.bound,
        "baseline": verdict.baseline,
    }


def attempt_values(execution: str, component: str, attempt: Attempt) -> dict[str, Any]:
    return {
        "token": attempt.token,
        "execution": execution,
        "component": component,
        "number": attempt.number,
        "handle": attempt.handle,
        "seen": attempt.seen.value,
        "error": "\n".join(shown(line) for line in attempt.error.splitlines()),
        "exit_code": attempt.exit_code,
        "started_at": seconds(attempt.started_at),
        "ended_at": seconds(attempt.ended_at),
        "cancelling": attempt.cancelling,
        "submission": attempt.submission,
    }


def attempt_of(row: Any) -> Attempt:
    return Attempt(
        number=row.number,
        token=row.token,
        handle=row.handle,
        seen=Seen(row.seen),
        error=row.error,
        exit_code=row.exit_code,
        started_at=moment(row.started_at),
        ended_at=moment(row.ended_at),
        cancelling=bool(row.cancelling),
        submission=row.submission,
    )
