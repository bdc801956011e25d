"""Owns the webhook endpoint: bytes in under a cap, stored before the answer; refuses to look inside a payload."""

from __future__ import annotations

import asyncio
import queue

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from service.web.auth import services_of
from service.web.problems import Problem

BODY_LIMIT = 25 * 1024 * 1024
log = structlog.get_logger("refit.web")
router = APIRouter()


@router.post(
    "/webhooks/github",
    status_code=202,
    operation_id="receiveGithubWebhook",
    summary="Receive a GitHub webhook",
    tags=["webhooks"],
    responses={
        202: {
            "content": {
                "application/json": {
                    "example": {"delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958", "duplicate": False}
                }
            }
        }
    },
)
async def receive(request: Request) -> JSONResponse:
    """Verify the signature over the raw bytes and store the delivery with its job; 202 means that it is on disk."""
    body = await _body(request)
    services = services_of(request)
    delivery = await asyncio.to_thread(services.read_webhook, request.headers.raw, body)
    try:
        fresh = await asyncio.wrap_future(services.inbox.accept(delivery))
    except queue.Full:
        raise Problem(503, "Too many deliveries wait to be stored; redeliver.", headers={"Retry-After": "5"}) from None
    except Exception as error:
        log.error("storing a delivery", delivery=delivery.guid, exc_info=error)
        raise Problem(503, "The delivery could not be stored; redeliver.", headers={"Retry-After": "5"}) from error
    return JSONResponse({"delivery": delivery.guid, "duplicate": not fresh}, 202)


async def _body(request: Request) -> bytes:
    """The raw bytes, refused as soon as they are known to be too many."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > BODY_LIMIT:
        raise Problem(413, f"A webhook has at most {BODY_LIMIT} bytes.")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_LIMIT:
            raise Problem(413, f"A webhook has at most {BODY_LIMIT} bytes.")
        parts.append(part)
    return b"".join(parts)
