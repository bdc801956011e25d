"""Owns the fields and examples of what the API answers; refuses to fill them, which is ``documents``'."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

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

    model_config = example(kind="parameter", subject="train.learning_rate", value="0.05")

    kind: str
    subject: str
    value: str


_STEP: dict[str, Any] = {
    "component": "train", "upstream": ["preprocess"], "planned": "run", "decision": "run", "state": "succeeded",
    "reasons": [{"kind": "parameter", "subject": "train.learning_rate", "detail": "parameter train.learning_rate: 0.1 → 0.05",
              "old": "0.1", "new": "0.05"}],
    "key": _KEY, "static_key": _KEY, "result": f"{_EXECUTION}.train.1", "reused_from": None, "seconds": 4.0,
    "outputs": {"model": _DIGEST},
    "notes": [],
    "attempts": [{"number": 1, "state": "succeeded", "started_at": "2026-11-24T10:00:01Z", "ended_at": "2026-11-24T10:00:05Z",
               "exit_code": 0, "error": "", "job": f"{_EXECUTION}.train.1"}],
}  # fmt: skip


class Step(BaseModel):
    """A step of an execution: ``planned`` and ``decision`` say what was decided, ``state`` what came of it."""

    model_config = example(**_STEP)

    component: str
    upstream: list[str]
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


class DetailedStep(Step):
    """A step with the parts of its key: the evidence for its decision."""

    model_config = example(**_STEP, parts=[{"kind": "parameter", "subject": "train.learning_rate", "value": "0.05"}])

    parts: list[KeyPart]


class Verdict(BaseModel):
    """What a gate said, with the figures; ``baseline`` names the execution that the bound comes from."""

    model_config = example(
        gate="rmse <= baseline * 1.01", passed=False, detail="rmse = 571.2 is not <= baseline 534.2 × 1.01 = 539.542",
        value=571.2, bound=539.542, baseline=_EXECUTION,
    )  # fmt: skip

    gate: str
    passed: bool
    detail: str
    value: float | None
    bound: float | None
    baseline: str


class ExecutionShape(BaseModel):
    """A plan for one pipeline at one commit, being carried out or ended."""

    model_config = example(
        id=_EXECUTION, repository="acme/diamonds", pipeline="diamonds", backend="local", status="succeeded",
        ref="refs/heads/main", commit=_SHA,
        base=None, author="ada", message="Lower the learning rate", trigger="72d3162e-cc78-11e3-81ab-4c9367dc0958",
        pull_request=None, created_at="2026-11-24T10:00:00Z", ended_at="2026-11-24T10:00:09Z", needs_approval="", approved_by="",
        cancelled="", superseded_by="", seconds_saved=1.4, removed=[], gates=[], steps=[],
    )  # fmt: skip

    id: str
    repository: str
    pipeline: str
    backend: str
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
    removed: list[str]
    gates: list[Verdict]
    steps: list[Step]


class DetailedExecution(ExecutionShape):
    """An execution with all the evidence."""

    steps: list[DetailedStep]  # type: ignore[assignment]  # a list is invariant, and this one is only read


class Artifact(BaseModel):
    """A file or folder that a step read or made."""

    model_config = example(name="model", digest=_DIGEST, size=400_000, source=None)

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

    model_config = example(
        execution=_EXECUTION, pipeline="diamonds", component="preprocess", commit=_SHA, ref="refs/heads/main",
        result=f"{_EXECUTION}.preprocess.1", at="2026-11-24T10:00:01Z",
    )  # fmt: skip

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


class ModelEventShape(BaseModel):
    """A version got this status: through whom, when, and why."""

    model_config = example(
        status="approved", by="release-manager", why="beats v1 on every cut", at="2026-11-24T11:00:00Z"
    )

    status: str
    by: str
    why: str
    at: datetime


class ModelShape(BaseModel):
    """A version of a registered model. ``in_use``: of the versions that are approved, the one approved last."""

    model_config = example(
        name="diamonds-price", version=1, status="candidate", in_use=False, repository="acme/diamonds",
        result=f"{_EXECUTION}.train.1",
        output="model", digest=_DIGEST, execution=_EXECUTION, commit=_SHA, created_at="2026-11-24T10:00:09Z",
        metrics={"rmse": 534.2},
        events=[
            {"status": "candidate", "by": "ada", "why": "no gate is declared", "at": "2026-11-24T10:00:09Z"},
        ],
        lineage="/api/v1/lineage?model=diamonds-price/1",
    )  # fmt: skip

    name: str
    version: int
    status: str
    in_use: bool
    repository: str
    result: str
    output: str
    digest: str
    execution: str
    commit: str
    created_at: datetime
    metrics: dict[str, float]
    events: list[ModelEventShape]
    lineage: str


class MetricPoint(BaseModel):
    """A metric at a commit: measured by this execution or, if ``reused``, by the earlier result that satisfies it."""

    model_config = example(
        repository="acme/diamonds", pipeline="diamonds", component="evaluate", commit=_SHA, ref="refs/heads/main",
        execution=_EXECUTION, result=f"{_EXECUTION}.evaluate.1", at="2026-11-24T10:00:09Z", value=534.2, reused=False,
    )  # fmt: skip

    repository: str
    pipeline: str
    component: str
    commit: str
    ref: str
    execution: str
    result: str
    at: datetime
    value: float
    reused: bool


class ComponentShape(BaseModel):
    """A component: how often it ran or was reused, how long a run takes, and what it made last."""

    model_config = example(
        repository="acme/diamonds", pipeline="diamonds", component="train", ran=4, reused=9, mean_seconds=4.2,
        latest=None,
    )  # fmt: skip

    repository: str
    pipeline: str
    component: str
    ran: int
    reused: int
    mean_seconds: float | None
    latest: ResultShape | None


class PipelineShape(BaseModel):
    """A pipeline with its components as its newest execution declares them."""

    repository: str
    pipeline: str
    status: str
    components: list[str]
    latest: ExecutionShape

    model_config = example(
        repository="acme/diamonds", pipeline="diamonds", status="succeeded", components=["preprocess", "train", "evaluate"],
        latest=ExecutionShape.model_config["json_schema_extra"]["examples"][0],  # type: ignore[index]
    )  # fmt: skip


class TokenShape(BaseModel):
    """A token, without its secret; ``last_used_at`` to the minute."""

    model_config = example(
        id="5f1d7a84db00",
        name="ci",
        scopes=["run"],
        created_at="2026-11-24T10:00:00Z",
        expires_at=None,
        revoked_at=None,
        last_used_at="2026-11-24T11:30:00Z",
    )

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
