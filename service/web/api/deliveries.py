"""Owns the routes of deliveries: what arrived, what became of it, and again; refuses to show a payload."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response

from service.web.api.documents import delivery_document
from service.web.api.paged import answer
from service.web.api.parameters import Cursor, InPath, Limit, Text
from service.web.api.shapes import DeliveryShape, PageOf
from service.web.auth import Reads, Runs, services_of
from service.web.problems import Problem, documented

router = APIRouter(tags=["deliveries"])
Guid = Annotated[Text, InPath]


@router.get(
    "/deliveries",
    response_model=PageOf[DeliveryShape],
    operation_id="listDeliveries",
    summary="List deliveries",
    responses=documented(400),
)
def list_deliveries(
    request: Request,
    response: Response,
    caller: Reads,
    repository: Text = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Any:
    """Newest first."""
    return answer(request, response, lambda work: work.deliveries.page(repository, cursor, limit), delivery_document)


@router.get(
    "/deliveries/{guid}",
    response_model=DeliveryShape,
    operation_id="getDelivery",
    summary="One delivery",
    responses=documented(404),
)
def get_delivery(request: Request, caller: Reads, guid: Guid) -> Any:
    """What became of it, in a sentence."""
    with services_of(request).store.read() as work:
        found = work.deliveries.get(guid)
    if found is None:
        raise Problem(404, "There is no such delivery.")
    return delivery_document(found)


@router.post(
    "/deliveries/{guid}/replay",
    response_model=DeliveryShape,
    status_code=202,
    operation_id="replayDelivery",
    summary="Decide a delivery again",
    responses=documented(404, 409),
)
def replay(request: Request, caller: Runs, guid: Guid) -> Any:
    """Takes the stored delivery through its flow once more; what is planned already is not planned twice."""
    with services_of(request).store.begin() as work:
        if work.deliveries.get(guid) is None:
            raise Problem(404, "There is no such delivery.")
        if not work.deliveries.replay(guid):
            raise Problem(409, "It is in work; wait for its outcome.")
    return get_delivery(request, caller, guid)
