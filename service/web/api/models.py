"""Owns the routes of registered models; refuses to judge a version."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from service.web.api.documents import model_document
from service.web.api.paged import whole
from service.web.api.parameters import InPath, Text
from service.web.api.shapes import ModelShape, PageOf
from service.web.auth import Reads, services_of
from service.web.problems import Problem, documented

router = APIRouter(tags=["models"])


@router.get("/models", response_model=PageOf[ModelShape], operation_id="listModels", summary="List model versions")
def list_models(request: Request, caller: Reads, name: Text = "") -> Any:
    """Each model's versions, newest first, all in one page."""
    with services_of(request).store.begin() as work:
        return whole([model_document(one) for one in work.models.all(name)])


@router.get(
    "/models/{name}/{version}",
    response_model=ModelShape,
    operation_id="getModel",
    summary="One model version",
    responses=documented(404),
)
def get_model(
    request: Request, caller: Reads, name: Annotated[Text, InPath], version: Annotated[int, Path(ge=1, lt=2**31)]
) -> Any:
    """With the metrics of the execution that registered it, and where its lineage is."""
    with services_of(request).store.begin() as work:
        found = [one for one in work.models.all(name) if one.version == version]
    if not found:
        raise Problem(404, f"There is no version {version} of {name!r}.")
    return model_document(found[0])
