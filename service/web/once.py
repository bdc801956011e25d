"""Owns Idempotency-Key: an act that is asked for twice is done once, and answered twice; refuses to know what it does.

A failure did nothing, so its key is free again. An act whose process died has no answer, and gets none: whether it was done
is for a person to look up, and doing it twice would be worse. What may be shown once only (``no-store``) is not kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.ports.answers import Answer
from service.web.auth import identity
from service.web.instruments import API
from service.web.problems import Problem
from service.web.services import Services

SECONDS = 24 * 3600.0
HEADER, REPLAYED = "Idempotency-Key", "Idempotency-Replayed"
PATTERN = "^[!-~]{1,255}$"
log = structlog.get_logger("refit.web")


def is_act(method: str, path: str) -> bool:
    """A dry run acts on nothing."""
    return method == "POST" and path.startswith(f"{API}/") and path != f"{API}/plans"


class Once:
    """Inside ``Around``, which answers what is raised here."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        keys = Headers(scope=scope).getlist(HEADER) if scope["type"] == "http" else []
        if not keys or not is_act(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        if len(keys) != 1 or not re.fullmatch(PATTERN, keys[0]):
            raise Problem(422, f"{HEADER} must be there once at most, and be 1 to 255 visible ASCII characters.")
        who = await run_in_threadpool(identity, self._services, Headers(scope=scope).get("authorization"))
        if who is None:  # nobody may act, and the app says so
            await self._app(scope, receive, send)
            return
        body = await _whole(receive)
        key, request = _digest(who, scope["path"], keys[0]), _digest(scope["query_string"], body)
        earlier = await run_in_threadpool(self._claim, key, request)
        if earlier is None:
            await self._act(key, _Again(scope, body, receive), send)
        else:
            await _known(earlier, request)(scope, receive, send)

    def _claim(self, key: str, request: str) -> Answer | None:
        with self._services.store.begin() as work:
            return work.answers.claim(key, request, SECONDS)

    async def _act(self, key: str, again: _Again, send: Send) -> None:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(again.scope, again.receive, keep)
        try:
            await run_in_threadpool(self._keep, key, messages)
        except Exception as error:  # it is done: its answer is worth more than the remembrance of it
            log.error("keeping an answer", exc_info=error)
        for message in messages:
            await send(message)

    def _keep(self, key: str, messages: Iterable[Message]) -> None:
        start, *parts = messages
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
        headers.pop("content-length", None)
        is_secret = "no-store" in headers.get("cache-control", "")
        body = "" if is_secret else b"".join(part.get("body", b"") for part in parts).decode()
        with self._services.store.begin() as work:
            if start["status"] < 400:
                work.answers.keep(key, start["status"], headers, body)
            else:
                work.answers.free(key)


class _Again:
    """A request whose body was read already."""

    def __init__(self, scope: Scope, body: bytes, receive: Receive) -> None:
        self.scope = scope
        self._body: bytes | None = body
        self._receive = receive

    async def receive(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


async def _whole(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "The request ended too early.")
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _known(earlier: Answer, request: str) -> Response:
    if earlier.request != request:
        raise Problem(422, f"This {HEADER} was used for a call that said something else; use a new one.")
    if earlier.status is None:
        detail = (
            f"A call with this {HEADER} began at {earlier.begun_at:%Y-%m-%d %H:%M:%S} UTC and has no answer yet. If the server "
            "stopped in the middle of it, look at what it acts on, then use a new key."
        )
        raise Problem(409, detail, headers={"Retry-After": "1"})
    if "no-store" in earlier.headers.get("cache-control", ""):
        raise Problem(409, "This was done already. Its answer held a secret, which is shown once only.")
    return Response(earlier.body, earlier.status, {**earlier.headers, REPLAYED: "true"})


def _digest(*parts: str | bytes) -> str:
    """Of parts with their lengths, so that none can pass for the end of another."""
    whole = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()
