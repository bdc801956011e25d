"""Owns the API's documents: their fields, their examples, and domain values → documents; refuses behaviour."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from service.domain.execution import Attempt, Execution, StepRun
from service.domain.lineage import ModelVersion, Promotion, ResultRecord
from service.domain.names import shown
from service.domain.plan_document import reason_document
from service.ports.store import StoredDelivery

T = TypeVar("T")
_SHA = "9fceb02d0ae598e95dc970b74767f19372d61af8"
_KEY = "3b8c1f6d2a54e0c9b7f1d8e6a5c4b3928170f6e5d4c3b2a1908f7e6d5c4b3a29"
_EXECUTION = "1n9v0k7m2q4x8c3b5t"
_DIGEST = f"sha256:{_KEY}"


def example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class PageOf(BaseModel, Generic[T]):
    """One page, newest first; ``next_cursor`` continues it and is null on the last."""

    items: list[T]
    next_cursor: str | None = None


class Reason(BaseModel):
    """Why: in words, and as evidence (which key part, old and new value)."""

    model_config = example(
        kind="parameter",
        subject="train.learning_rate",
        detail="parameter train.learning_rate: 0.1 → 0.05",
        old="0.1",
        new="0.05",
    )

    kind: str
    subject: str
    detail: str
    old: str | None = None
    new: str | None = None


class AttemptShape(BaseModel):
    """One submission of a step to its backend."""

    number: int
    state: str
    started_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None
    error: str
    job: str | None


class KeyPart(BaseModel):
    """One ingredient of a step key."""

    kind: str
    subject: str
    value: str


class Step(BaseModel):
    """A step of an execution: ``planned`` and ``decision`` say what was decided, ``state`` what came of it."""

    component: str
    planned: str
    decision: str | None
    state: str
    reasons: list[Reason]
    key: str | None
    static_key: str
    result: str | None
    reused_from: str | None
    seconds: float | None
    outputs: dict[str, str]
    notes: list[str]
    attempts: list[AttemptShape]


class ExecutionShape(BaseModel):
    """A plan for one pipeline at one commit, being carried out or ended."""

    model_config = example(
        id=_EXECUTION, repository="acme/diamonds", pipeline="diamonds", status="succeeded", ref="refs/heads/main", commit=_SHA,
        base=None, author="ada", message="Lower the learning rate", trigger="72d3162e-cc78-11e3-81ab-4c9367dc0958",
        pull_request=None, created_at="2026-11-24T10:00:00Z", ended_at="2026-11-24T10:00:09Z", needs_approval="", approved_by="",
        cancelled="", superseded_by="", seconds_saved=1.4, steps=[],
    )  # fmt: skip

    id: str
    repository: str
    pipeline: str
    status: str
    ref: str
    commit: str
    base: str | None
    author: str
    message: str
    trigger: str
    pull_request: int | None
    created_at: datetime
    ended_at: datetime | None
    needs_approval: str
    approved_by: str
    cancelled: str
    superseded_by: str
    seconds_saved: float
    removed: list[str] = Field(default_factory=list)
    steps: list[Step]


class Artifact(BaseModel):
    """A file or folder that a step read or made."""

    name: str
    digest: str
    size: int
    source: str | None = None


class ResultShape(BaseModel):
    """Everything known of one successful step."""

    model_config = example(
        id=f"{_EXECUTION}.train.1", repository="acme/diamonds", pipeline="diamonds", component="train", execution=_EXECUTION,
        commit=_SHA, tree=_SHA, ref="refs/heads/main", pull_request=None, author="ada", key=_KEY, static_key=_KEY,
        parameters={"learning_rate": "0.05"}, environment="6f1c", backend="local", job=f"{_EXECUTION}.train.1", attempt=1,
        started_at="2026-11-24T10:00:00Z", ended_at="2026-11-24T10:00:04Z", seconds=4.0,
        inputs=[{"name": "data", "digest": _DIGEST, "size": 3000000, "source": "result:…#train"}],
        outputs=[{"name": "model", "digest": _DIGEST, "size": 400000}], metrics={"rmse": 534.2}, parts=[],
    )  # fmt: skip

    id: str
    repository: str
    pipeline: str
    component: str
    execution: str
    commit: str
    tree: str
    ref: str
    pull_request: int | None
    author: str
    key: str
    static_key: str
    parameters: dict[str, str]
    environment: str
    backend: str
    job: str
    attempt: int
    started_at: datetime
    ended_at: datetime
    seconds: float
    inputs: list[Artifact]
    outputs: list[Artifact]
    metrics: dict[str, float]
    parts: list[KeyPart]


class PromotionShape(BaseModel):
    """A commit that an earlier result satisfies."""

    execution: str
    pipeline: str
    component: str
    commit: str
    ref: str
    result: str
    at: datetime


class DeliveryShape(BaseModel):
    """A webhook and what became of it."""

    model_config = example(
        guid="72d3162e-cc78-11e3-81ab-4c9367dc0958", event="push", action="", repository="acme/diamonds",
        received_at="2026-11-24T10:00:00Z", outcome="9fceb02d0a: diamonds → 1n9v0k7m2q4x8c3b5t", executions=[_EXECUTION],
        state="done", attempt=1, last_error="",
    )  # fmt: skip

    guid: str
    event: str
    action: str
    repository: str
    received_at: datetime
    outcome: str
    executions: list[str]
    state: str
    attempt: int
    last_error: str


class ModelShape(BaseModel):
    """A version of a registered model."""

    model_config = example(
        name="diamonds-price", version=1, status="candidate", repository="acme/diamonds", result=f"{_EXECUTION}.train.1",
        output="model", digest=_DIGEST, execution=_EXECUTION, commit=_SHA, created_at="2026-11-24T10:00:09Z",
        metrics={"rmse": 534.2},
    )  # fmt: skip

    name: str
    version: int
    status: str
    repository: str
    result: str
    output: str
    digest: str
    execution: str
    commit: str
    created_at: datetime
    metrics: dict[str, float]


def execution_document(one: Execution) -> dict[str, Any]:
    """An execution with its steps."""
    kept = [step.result.seconds for step in one.steps if step.state.value == "reused" and step.result]
    return {
        "id": one.id,
        "repository": one.repository,
        "pipeline": one.pipeline.name,
        "status": one.status.value,
        "ref": one.ref,
        "commit": one.commit,
        "base": one.base,
        "author": one.author,
        "message": one.message,
        "trigger": one.trigger,
        "pull_request": one.pull_request,
        "created_at": one.created_at,
        "ended_at": one.ended_at,
        "needs_approval": one.needs_approval,
        "approved_by": one.approved_by,
        "cancelled": one.cancelled,
        "superseded_by": one.superseded_by,
        "seconds_saved": sum(kept),
        "removed": list(one.removed),
        "steps": [_step(step) for step in one.steps],
    }


def _step(step: StepRun) -> dict[str, Any]:
    reused = step.state.value == "reused" and step.result is not None
    return {
        "component": step.name,
        "planned": step.planned.value,
        "decision": step.decision.value if step.decision else None,
        "state": step.state.value,
        "reasons": [reason_document(reason) for reason in step.reasons],
        "key": step.key,
        "static_key": step.static_key,
        "result": step.result.id if step.result else None,
        "reused_from": step.result.execution if reused and step.result else None,
        "seconds": _seconds(step),
        "outputs": dict(step.result.outputs) if step.result else {},
        "notes": list(step.ingredients.notes),
        "attempts": [_attempt(attempt) for attempt in step.attempts],
    }


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


def result_document(one: ResultRecord) -> dict[str, Any]:
    """A result with its inputs, outputs, metrics and key parts."""
    plain = ("id", "repository", "pipeline", "component", "execution", "commit", "tree", "ref", "pull_request", "author",
             "key", "static_key", "environment", "backend", "job", "attempt", "started_at", "ended_at", "seconds")  # fmt: skip
    return {name: getattr(one, name) for name in plain} | {
        "parameters": dict(one.parameters),
        "inputs": [{"name": i.name, "digest": i.digest, "size": i.size, "source": i.source} for i in one.inputs],
        "outputs": [{"name": o.name, "digest": o.digest, "size": o.size} for o in one.outputs],
        "metrics": dict(one.metrics),
        "parts": [{"kind": p.kind.value, "subject": shown(p.subject), "value": shown(p.value)} for p in one.parts],
    }


def promotion_document(one: Promotion) -> dict[str, Any]:
    names = ("execution", "pipeline", "component", "commit", "ref", "result", "at")
    return {name: getattr(one, name) for name in names}


def delivery_document(one: StoredDelivery) -> dict[str, Any]:
    job = one.job
    state = (
        "quarantined"
        if job.quarantined
        else "done"
        if job.due_at is None
        else "working"
        if job.leased_until
        else "waiting"
    )
    return {
        "guid": one.delivery.guid,
        "event": one.delivery.name,
        "action": one.delivery.action,
        "repository": one.delivery.event.repository,
        "received_at": one.delivery.received_at,
        "outcome": one.outcome,
        "executions": list(one.executions),
        "state": state,
        "attempt": job.attempt,
        "last_error": job.last_error,
    }


def model_document(one: ModelVersion) -> dict[str, Any]:
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
    return {name: getattr(one, name) for name in names} | {"metrics": dict(one.metrics)}
