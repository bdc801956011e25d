"""Owns the routes of deliveries: what arrived, what became of it, and again; refuses to show a payload."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from service.web.api.paged import Cursor, Limit, answer
from service.web.api.shapes import DeliveryShape, PageOf, delivery_document
from service.web.auth import Caller, requires, services_of
from service.web.problems import Problem

router = APIRouter(tags=["deliveries"])
Reads = Annotated[Caller, Depends(requires("read"))]


@router.get(
    "/deliveries", response_model=PageOf[DeliveryShape], operation_id="listDeliveries", summary="List deliveries"
)
def list_deliveries(
    request: Request, response: Response, caller: Reads, repository: str = "", cursor: Cursor = None, limit: Limit = 50
) -> Any:
    """Newest first."""

    def ask() -> Any:
        with services_of(request).store.begin() as work:
            return work.deliveries.page(repository, cursor, limit)

    return answer(request, response, ask, delivery_document)


@router.get("/deliveries/{guid}", response_model=DeliveryShape, operation_id="getDelivery", summary="One delivery")
def get_delivery(request: Request, caller: Reads, guid: str) -> Any:
    """What became of it, in a sentence."""
    with services_of(request).store.begin() as work:
        found = work.deliveries.get(guid)
    if found is None:
        raise Problem(404, "There is no such delivery.")
    return delivery_document(found)


@router.post(
    "/deliveries/{guid}/replay",
    response_model=DeliveryShape,
    status_code=202,
    operation_id="replayDelivery",
    summary="Decide again",
)
def replay(request: Request, caller: Annotated[Caller, Depends(requires("run"))], guid: str) -> Any:
    """Takes the stored delivery through its flow once more; what is planned already is not planned twice."""
    with services_of(request).store.begin() as work:
        if work.deliveries.get(guid) is None:
            raise Problem(404, "There is no such delivery.")
        if not work.deliveries.replay(guid):
            raise Problem(409, "It is in work; wait for its outcome.")
        found = work.deliveries.get(guid)
    return delivery_document(found) if found else {}
