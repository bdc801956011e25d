"""Owns the dry run: a plan for a commit against everything known, nothing stored; refuses to start anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, StringConstraints

from service.domain.errors import Refused
from service.domain.plan_document import document
from service.flow.schedule import Request as Wanted
from service.ports.git_host import Repository
from service.web.api.parameters import Text
from service.web.api.shapes import Reason
from service.web.auth import Reads, services_of
from service.web.problems import Problem, documented

_MOST_BRANCHES = 200
"""Branches that are searched for a commit that is the tip of none."""

router = APIRouter(tags=["plans"])
Revision = Annotated[Text, StringConstraints(min_length=1, max_length=300)]


class PlanRequest(BaseModel):
    """Which commit to plan. ``head`` and ``base`` are branches, tags or full SHAs."""

    repository: Text = Field(examples=["acme/diamonds"])
    head: Revision = Field(examples=["main"])
    base: Revision | None = Field(
        None, description="What to compare with; default: the head's first parent.", examples=["v1.0"]
    )
    ref: Text = Field(
        "",
        description="Whose history explains the reasons; default: the head as a branch.",
        examples=["refs/heads/main"],
    )


class PlanStep(BaseModel):
    """A step's decision."""

    component: str = Field(examples=["train"])
    decision: str = Field(examples=["run"])
    reasons: list[Reason]
    key: str | None = Field(examples=["3b8c1f6d2a54e0c9b7f1d8e6a5c4b3928170f6e5d4c3b2a1908f7e6d5c4b3a29"])
    static_key: str = Field(examples=["3b8c1f6d2a54e0c9b7f1d8e6a5c4b3928170f6e5d4c3b2a1908f7e6d5c4b3a29"])
    reuses: str | None = Field(examples=[None])
    notes: list[str] = Field(examples=[[]])


class PlannedPipeline(BaseModel):
    """One pipeline's plan."""

    name: str = Field(examples=["diamonds"])
    base: str | None = Field(examples=[None])
    head: str = Field(examples=["9fceb02d0ae598e95dc970b74767f19372d61af8"])
    removed: list[str] = Field(examples=[[]])
    steps: list[PlanStep]


class PlanShape(BaseModel):
    """The document that ``refit plan --json`` prints."""

    pipelines: list[PlannedPipeline]


@router.post(
    "/plans",
    response_model=PlanShape,
    operation_id="createPlan",
    summary="Plan without running",
    responses=documented(404, 409, 503),
)
def create_plan(request: Request, caller: Reads, body: PlanRequest) -> Any:
    """What this commit would run, what it would reuse from everything known here, and why."""
    scheduler = services_of(request).scheduler
    try:
        repository = scheduler.hosts.repository(body.repository)
        refs = repository.fetch()
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
        may_compile=all(_is_on_a_branch(repository, refs, sha) for sha in (commit.sha, base) if sha),
    )
    prepared = scheduler.prepare(wanted)
    return document(scheduler.plans(wanted, prepared))


def _is_on_a_branch(repository: Repository, refs: Mapping[str, str], sha: str) -> bool:
    """Whether somebody with the right to push put it there: the objects of a fork's pull request can be read as well, and
    whoever may look at plans must not be able to have its code run."""
    tips = dict.fromkeys(tip for ref, tip in refs.items() if ref.startswith("refs/heads/"))
    return sha in tips or any(repository.merge_base(sha, tip) == sha for tip in list(tips)[:_MOST_BRANCHES])
