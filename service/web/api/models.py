"""Owns the routes of registered models; refuses to judge a version."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request

from service.web.api.shapes import ModelShape, PageOf, model_document
from service.web.auth import Caller, requires, services_of
from service.web.problems import Problem

router = APIRouter(tags=["models"])
Reads = Annotated[Caller, Depends(requires("read"))]


@router.get("/models", response_model=PageOf[ModelShape], operation_id="listModels", summary="List model versions")
def list_models(request: Request, caller: Reads, name: str = "") -> Any:
    """Each model's versions, newest first."""
    with services_of(request).store.begin() as work:
        return {"items": [model_document(one) for one in work.models.all(name)], "next_cursor": None}


@router.get("/models/{name}/{version}", response_model=ModelShape, operation_id="getModel", summary="One model version")
def get_model(request: Request, caller: Reads, name: str, version: Annotated[int, Path(ge=1, lt=2**31)]) -> Any:
    """Its lineage is at /lineage?model=name/version."""
    with services_of(request).store.begin() as work:
        found = [one for one in work.models.all(name) if one.version == version]
    if not found:
        raise Problem(404, f"There is no version {version} of {name!r}.")
    return model_document(found[0])
