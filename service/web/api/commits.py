"""Owns the route of a commit: what it started, what it made, what satisfied it; refuses git."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from service.ports.store import ExecutionFilter, ResultFilter, Work
from service.web.api.documents import detailed_document, promotion_document, result_document
from service.web.api.parameters import Sha
from service.web.api.shapes import DetailedExecution, PromotionShape, ResultShape, example
from service.web.auth import Reads, services_of
from service.web.problems import Problem, documented

router = APIRouter(tags=["commits"])
MOST = 100


class CommitShape(BaseModel):
    """Everything that Refit knows of a commit: its newest executions, and at most a hundred of each. ``standing``: the
    pipelines that it leaves alone → the earlier execution that goes on standing for each, where they are too many to get
    an execution of their own."""

    model_config = example(
        sha="9fceb02d0ae598e95dc970b74767f19372d61af8", executions=[], results=[], promotions=[], standing={}
    )

    sha: str
    executions: list[DetailedExecution]
    results: list[ResultShape]
    promotions: list[PromotionShape]
    standing: dict[str, str]


@router.get(
    "/commits/{sha}",
    response_model=CommitShape,
    operation_id="getCommit",
    summary="What became of a commit",
    responses=documented(404),
)
def get_commit(request: Request, caller: Reads, sha: Sha) -> Any:
    """Its executions, the results it made, and the earlier results that it was satisfied by."""
    with services_of(request).store.read() as work:
        executions = work.executions.page(ExecutionFilter(commit=sha), limit=MOST).items
        results = work.lineage.page(ResultFilter(commit=sha), limit=MOST).items
        promotions = work.lineage.promotions(commit=sha)[-MOST:]
        standing = left_alone(work, sha)
    if not executions and not standing:
        raise Problem(404, "No execution of this commit is known.")
    return {
        "sha": sha,
        "executions": [detailed_document(one) for one in executions],
        "results": [result_document(one) for one in results],
        "promotions": [promotion_document(one) for one in promotions],
        "standing": standing,
    }


def left_alone(work: Work, sha: str) -> dict[str, str]:
    """Pipeline → the execution that stands for it, for those that have none of their own, by their newest planning."""
    found: dict[str, str] = {}
    for standing in reversed(work.standings.of_commit(sha)):
        found |= {name: one for name, one in standing.executions.items() if name not in standing.fresh}
    return dict(sorted(found.items()))
