"""Owns the routes of registered models: list, look, approve, reject, roll back; refuses to judge a version."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field, StringConstraints

from service.domain.lineage import ModelVersion
from service.domain.model_status import Act
from service.flow.release import release
from service.web.api.documents import model_documents
from service.web.api.paged import whole
from service.web.api.parameters import InPath, Text
from service.web.api.shapes import ModelShape, PageOf
from service.web.auth import Caller, Reads, Runs, services_of
from service.web.problems import Problem, documented

router = APIRouter(tags=["models"])
Name = Annotated[Text, InPath]
Version = Annotated[int, Path(ge=1, lt=2**31)]


class Word(BaseModel):
    """Why; kept with who said it and when."""

    why: Annotated[Text, StringConstraints(min_length=1, max_length=1000, strip_whitespace=True)] = Field(
        examples=["beats v1 on every cut"]
    )


@router.get("/models", response_model=PageOf[ModelShape], operation_id="listModels", summary="List model versions")
def list_models(request: Request, caller: Reads, name: Text = "") -> Any:
    """Each model's versions, newest first, all in one page."""
    with services_of(request).store.read() as work:
        return whole(model_documents(work.models.all(name)))


@router.get(
    "/models/{name}/{version}",
    response_model=ModelShape,
    operation_id="getModel",
    summary="One model version",
    responses=documented(404),
)
def get_model(request: Request, caller: Reads, name: Name, version: Version) -> Any:
    """With the metrics of the execution that registered it, what happened to it since, and where its lineage is."""
    return _one(_versions(request, name, version), version)


@router.post(
    "/models/{name}/{version}/approve",
    response_model=ModelShape,
    operation_id="approveModel",
    summary="Approve a model version",
    responses=documented(404, 409),
)
def approve(request: Request, caller: Runs, name: Name, version: Version, body: Word) -> Any:
    """From now on it is the one in use."""
    return _settled(request, caller, name, version, Act.APPROVE, body.why)


@router.post(
    "/models/{name}/{version}/reject",
    response_model=ModelShape,
    operation_id="rejectModel",
    summary="Reject a model version",
    responses=documented(404, 409),
)
def reject(request: Request, caller: Runs, name: Name, version: Version, body: Word) -> Any:
    """A candidate only: what is approved is rolled back."""
    return _settled(request, caller, name, version, Act.REJECT, body.why)


@router.post(
    "/models/{name}/{version}/rollback",
    response_model=ModelShape,
    operation_id="rollBackModel",
    summary="Roll a model version back",
    responses=documented(404, 409),
)
def roll_back(request: Request, caller: Runs, name: Name, version: Version, body: Word) -> Any:
    """The version that was approved before it is in use again."""
    return _settled(request, caller, name, version, Act.ROLL_BACK, body.why)


def _settled(request: Request, caller: Caller, name: str, version: int, act: Act, why: str) -> Any:
    _versions(request, name, version)
    with services_of(request).store.begin() as work:
        release(work, name, version, act, caller.name, why)
    return _one(_versions(request, name, version), version)


def _versions(request: Request, name: str, version: int) -> list[ModelVersion]:
    with services_of(request).store.read() as work:
        found = list(work.models.all(name))
    if version not in [one.version for one in found]:
        raise Problem(404, f"There is no version {version} of {name!r}.")
    return found


def _one(versions: list[ModelVersion], version: int) -> dict[str, Any]:
    return next(one for one in model_documents(versions) if one["version"] == version)
