"""Owns domain values → what the API answers; refuses fields that ``shapes`` does not have.

Whatever a repository or a step wrote is made safe to print here: a lone surrogate cannot even be sent as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.domain.execution import Attempt, Execution, State, StepRun
from service.domain.gates import Verdict
from service.domain.lineage import Measurement, ModelVersion, Promotion, ResultRecord
from service.domain.model_status import in_use
from service.domain.names import shown
from service.domain.plan_document import reason_document
from service.domain.report import saved
from service.domain.step_key import Parts
from service.domain.tokens import Token
from service.ports.backend import LogLine
from service.ports.queues import Job
from service.ports.store import StoredDelivery


def execution_document(one: Execution) -> dict[str, Any]:
    """An execution with its steps, without the parts of their keys."""
    return {
        "id": one.id,
        "repository": one.repository,
        "pipeline": one.pipeline.name,
        "backend": one.pipeline.backend,
        "status": one.status.value,
        "ref": shown(one.ref),
        "commit": one.commit,
        "base": one.base,
        "author": shown(one.author),
        "message": shown(one.message),
        "trigger": one.trigger,
        "pull_request": one.pull_request,
        "created_at": one.created_at,
        "ended_at": one.ended_at,
        "needs_approval": one.needs_approval,
        "approved_by": one.approved_by,
        "cancelled": one.cancelled,
        "superseded_by": one.superseded_by,
        "seconds_saved": saved(one),
        "removed": list(one.removed),
        "gates": [verdict_document(verdict) for verdict in one.verdicts],
        "steps": [step_document(step) for step in one.steps],
    }


def standing_document(one: Execution) -> dict[str, Any]:
    """How far it is: its status, and the state of each step."""
    return {"status": one.status.value, "steps": {step.name: step.state.value for step in one.steps}}


def verdict_document(one: Verdict) -> dict[str, Any]:
    names = ("gate", "passed", "detail", "value", "bound", "baseline")
    return {name: getattr(one, name) for name in names}


def detailed_document(one: Execution) -> dict[str, Any]:
    """The same with the parts of each step's key."""
    steps = [step_document(step) | {"parts": parts_document(key_parts(step))} for step in one.steps]
    return execution_document(one) | {"steps": steps}


def key_parts(step: StepRun) -> Parts:
    """The parts of its key as far as they are known: those of its result include what it read from upstream."""
    return step.result.parts if step.result is not None else step.ingredients.parts


def step_document(step: StepRun) -> dict[str, Any]:
    result = step.result
    return {
        "component": step.name,
        "upstream": list(step.ingredients.component.upstream),
        "planned": step.planned.value,
        "decision": step.decision.value if step.decision else None,
        "state": step.state.value,
        "reasons": [reason_document(reason) for reason in step.reasons],
        "key": step.key,
        "static_key": step.static_key,
        "result": result.id if result else None,
        "reused_from": result.execution if result and step.state is State.REUSED else None,
        "seconds": _seconds(step),
        "outputs": dict(result.outputs) if result else {},
        "notes": [shown(note) for note in step.ingredients.notes],
        "attempts": [_attempt(attempt) for attempt in step.attempts],
    }


def parts_document(parts: Parts) -> list[dict[str, str]]:
    return [{"kind": p.kind.value, "subject": shown(p.subject), "value": shown(p.value)} for p in parts]


def _seconds(step: StepRun) -> float | None:
    last = step.attempts[-1] if step.attempts else None
    if last is None or last.started_at is None or last.ended_at is None:
        return None
    return (last.ended_at - last.started_at).total_seconds()


def _attempt(one: Attempt) -> dict[str, Any]:
    return {
        "number": one.number,
        "state": one.seen.value,
        "started_at": one.started_at,
        "ended_at": one.ended_at,
        "exit_code": one.exit_code,
        "error": one.error,
        "job": one.handle,
    }


def line_document(line: LogLine) -> dict[str, Any]:
    """Tabs stay; a terminal's escapes do not: a step must not be able to fake what its log says."""
    text = "\t".join(shown(part) for part in line.text.split("\t"))
    return {"number": line.number, "at": line.at, "stream": line.stream, "text": text}


def result_document(one: ResultRecord) -> dict[str, Any]:
    """A result with its inputs, outputs, metrics and key parts."""
    plain = ("id", "repository", "pipeline", "component", "execution", "commit", "tree", "ref", "pull_request", "author",
             "key", "static_key", "environment", "backend", "job", "attempt", "started_at", "ended_at", "seconds")  # fmt: skip
    return {name: getattr(one, name) for name in plain} | {
        "parameters": {shown(name): shown(value) for name, value in one.parameters.items()},
        "inputs": [{"name": i.name, "digest": i.digest, "size": i.size, "source": i.source} for i in one.inputs],
        "outputs": [{"name": o.name, "digest": o.digest, "size": o.size} for o in one.outputs],
        "metrics": dict(one.metrics),
        "parts": parts_document(one.parts),
    }


def promotion_document(one: Promotion) -> dict[str, Any]:
    names = ("execution", "pipeline", "component", "commit", "ref", "result", "at")
    return {name: getattr(one, name) for name in names}


def measurement_document(one: Measurement) -> dict[str, Any]:
    names = ("repository", "pipeline", "component", "commit", "ref", "execution", "result", "at", "value", "reused")
    return {name: getattr(one, name) for name in names}


def delivery_document(one: StoredDelivery) -> dict[str, Any]:
    return {
        "guid": one.delivery.guid,
        "event": one.delivery.name,
        "action": one.delivery.action,
        "repository": one.delivery.event.repository,
        "received_at": one.delivery.received_at,
        "outcome": one.outcome,
        "executions": list(one.executions),
        "state": _job_state(one.job),
        "attempt": one.job.attempt,
        "last_error": one.job.last_error,
    }


def _job_state(job: Job) -> str:
    if job.quarantined:
        return "quarantined"
    if job.due_at is None:
        return "done"
    return "working" if job.leased_until else "waiting"


def model_documents(versions: Sequence[ModelVersion]) -> list[dict[str, Any]]:
    """Every version of the models given; which one is in use takes all of a model's versions to know."""
    names = dict.fromkeys(one.name for one in versions)
    used = {name: in_use(one for one in versions if one.name == name) for name in names}
    return [_model_document(one) | {"in_use": used[one.name] == one.version} for one in versions]


def _model_document(one: ModelVersion) -> dict[str, Any]:
    names = (
        "name",
        "version",
        "status",
        "repository",
        "result",
        "output",
        "digest",
        "execution",
        "commit",
        "created_at",
    )
    events = [{"status": e.status, "by": e.by, "why": e.why, "at": e.at} for e in one.events]
    link = f"/api/v1/lineage?model={one.name}/{one.version}"
    return {name: getattr(one, name) for name in names} | {
        "metrics": dict(one.metrics), "events": events, "lineage": link,
    }  # fmt: skip


def token_document(one: Token) -> dict[str, Any]:
    """Never the secret, nor its hash."""
    names = ("id", "name", "created_at", "expires_at", "revoked_at", "last_used_at")
    return {name: getattr(one, name) for name in names} | {"scopes": list(one.scopes)}
