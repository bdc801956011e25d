"""Owns the dry run: a plan for a commit against everything known, nothing stored; refuses to start anything."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from service.domain.errors import Refused
from service.domain.plan_document import document
from service.flow.schedule import Request as Wanted
from service.web.api.shapes import Reason
from service.web.auth import Caller, requires, services_of
from service.web.problems import Problem

router = APIRouter(tags=["plans"])


class PlanRequest(BaseModel):
    """Which commit to plan. ``head`` and ``base`` are branches, tags or full SHAs."""

    repository: str = Field(max_length=200, examples=["acme/diamonds"])
    head: str = Field(max_length=300, examples=["main"])
    base: str | None = Field(
        None, max_length=300, description="What to compare with; default: the head's first parent."
    )
    ref: str = Field(
        "", max_length=300, description="Whose history explains the reasons; default: the head as a branch."
    )


class PlanStep(BaseModel):
    """A step's decision."""

    component: str = Field(examples=["train"])
    decision: str = Field(examples=["run"])
    reasons: list[Reason]
    key: str | None
    static_key: str
    reuses: str | None
    notes: list[str]


class PlannedPipeline(BaseModel):
    """One pipeline's plan."""

    name: str = Field(examples=["diamonds"])
    base: str | None
    head: str
    removed: list[str]
    steps: list[PlanStep]


class PlanShape(BaseModel):
    """The document that ``refit plan --json`` prints."""

    pipelines: list[PlannedPipeline]


@router.post("/plans", response_model=PlanShape, operation_id="createPlan", summary="Plan without running")
def create_plan(request: Request, caller: Annotated[Caller, Depends(requires("read"))], body: PlanRequest) -> Any:
    """What this commit would run, what it would reuse from everything known here, and why."""
    scheduler = services_of(request).scheduler
    try:
        repository = scheduler.hosts.repository(body.repository)
        repository.fetch()
        commit = repository.commit(repository.resolve(body.head))
        base = repository.resolve(body.base) if body.base else next(iter(commit.parents), None)
    except Refused as error:
        raise Problem(404, error.reason) from error
    wanted = Wanted(
        repository=body.repository,
        ref=body.ref or f"refs/heads/{body.head}",
        commit=commit,
        trigger="",
        author=caller.name,
        base=base,
    )
    findings = scheduler.findings(wanted)
    with services_of(request).store.begin() as work:
        return document(scheduler.plans(work, wanted, findings))
