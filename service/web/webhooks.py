"""Owns the webhook endpoint: stored before the answer; refuses to look inside a payload."""

from __future__ import annotations

import asyncio
import queue

import structlog
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from service.ports.webhook import Rejected
from service.web.auth import services_of
from service.web.instruments import Instruments
from service.web.limiting import Limiter
from service.web.problems import Problem, documented

log = structlog.get_logger("refit.web")
router = APIRouter(tags=["webhooks"])


class Accepted(BaseModel):
    """The delivery is on disk; ``duplicate``: it was before."""

    delivery: str = Field(examples=["72d3162e-cc78-11e3-81ab-4c9367dc0958"])
    duplicate: bool = Field(examples=[False])


@router.post(
    "/webhooks/github",
    status_code=202,
    operation_id="receiveGithubWebhook",
    summary="Receive a GitHub webhook",
    responses=documented(400, 401, 413, 415, 429, 503),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "object"}, "example": {"zen": "Keep it logically awesome."}}
            },
        }
    },
)
async def receive(request: Request) -> Accepted:
    """Verify the signature over the raw bytes and store the delivery with its job; 202 means that it is on disk."""
    services = services_of(request)
    instruments: Instruments = request.app.state.instruments
    try:
        services.read_webhook.screen(request.headers.raw)
        body = await request.body()
        delivery = await asyncio.to_thread(services.read_webhook, request.headers.raw, body)
    except Rejected as error:
        instruments.delivered("rejected")
        if error.status == 401:
            limiter: Limiter = request.app.state.limiter
            limiter.failed_to_sign(request.scope)
        raise
    try:
        fresh = await asyncio.wrap_future(services.inbox.accept(delivery))
    except queue.Full:
        instruments.delivered("failed")
        raise _unavailable("Too many deliveries wait to be stored; redeliver.") from None
    except Exception as error:
        instruments.delivered("failed")
        log.error("storing a delivery", delivery=delivery.guid, exc_info=error)
        raise _unavailable("The delivery could not be stored; redeliver.") from error
    instruments.delivered("stored" if fresh else "duplicate")
    return Accepted(delivery=delivery.guid, duplicate=not fresh)


def _unavailable(detail: str) -> Problem:
    return Problem(503, detail, headers={"Retry-After": "5"})
