"""Owns the route of a commit: what it started, what it made, what satisfied it; refuses git."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel

from service.ports.store import ExecutionFilter, ResultFilter
from service.web.api.shapes import (
    ExecutionShape,
    PromotionShape,
    ResultShape,
    execution_document,
    promotion_document,
    result_document,
)
from service.web.auth import Caller, requires, services_of
from service.web.problems import Problem

router = APIRouter(tags=["commits"])
Sha = Annotated[
    str, Path(pattern="^([0-9a-f]{40}|[0-9a-f]{64})$", examples=["9fceb02d0ae598e95dc970b74767f19372d61af8"])
]


class CommitShape(BaseModel):
    """Everything that Refit knows of a commit."""

    sha: str
    executions: list[ExecutionShape]
    results: list[ResultShape]
    promotions: list[PromotionShape]


@router.get("/commits/{sha}", response_model=CommitShape, operation_id="getCommit", summary="What became of a commit")
def get_commit(request: Request, caller: Annotated[Caller, Depends(requires("read"))], sha: Sha) -> Any:
    """Its executions, the results it made, and the earlier results that it was satisfied by."""
    with services_of(request).store.begin() as work:
        executions = work.executions.page(ExecutionFilter(commit=sha), limit=100).items
        results = work.lineage.page(ResultFilter(commit=sha), limit=100).items
        promotions = work.lineage.promotions(commit=sha)
    if not executions:
        raise Problem(404, "No execution of this commit is known.")
    return {
        "sha": sha,
        "executions": [execution_document(one) for one in executions],
        "results": [result_document(one) for one in results],
        "promotions": [promotion_document(one) for one in promotions],
    }
