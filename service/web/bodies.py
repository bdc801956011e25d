"""Owns how much of a request's body is taken, from one caller and from all, and how long it may take; refuses to read it."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Scope

from service.web.problems import Problem
from service.web.services import Bounds

WEBHOOK_LIMIT, BODY_LIMIT = 25 * 1024 * 1024, 1024 * 1024
HELD_LIMIT = 128 * 1024 * 1024
"""Bytes of unanswered requests together: nobody has proved who they are before the whole body is here."""


class Bodies:
    """What is held of all bodies."""

    def __init__(self, bounds: Bounds) -> None:
        self.seconds = bounds.receive_seconds
        self.held = 0

    def of(self, scope: Scope, receive: Receive) -> Body:
        return Body(self, scope, receive)


class Body:
    """One request's body, refused as soon as it is known to be too much: a chunked one declares no length."""

    def __init__(self, all_bodies: Bodies, scope: Scope, receive: Receive) -> None:
        self._all = all_bodies
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._receive = receive
        self._limit = WEBHOOK_LIMIT if scope["path"] == "/webhooks/github" else BODY_LIMIT
        self._size = 0
        self._is_whole = False
        self._until = asyncio.get_running_loop().time() + all_bodies.seconds

    def refuse_what_is_declared(self) -> None:
        lengths = [value for name, value in self._headers if name == b"content-length"]
        if lengths and any(name == b"transfer-encoding" for name, _ in self._headers):
            raise Problem(
                400, "A request has Content-Length or Transfer-Encoding, not both."
            )  # smuggling, RFC 9112 6.3
        if any(not one.isdigit() or int(one[:20]) > self._limit for one in lengths):
            raise self._too_large()

    async def receive(self) -> Message:
        """The next part; once the body is whole, whatever comes, for as long as it takes."""
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise Problem(408, "The body took too long to arrive.", headers={"Connection": "close"}) from None
        self._is_whole = not message.get("more_body", False)
        part = len(message.get("body", b""))
        self._size += part
        self._all.held += part
        if self._size > self._limit:
            raise self._too_large()
        if self._all.held > HELD_LIMIT:
            raise Problem(503, "Too much is being received at once; try again.", headers={"Retry-After": "5"})
        return message

    def let_go(self) -> None:
        self._all.held -= self._size

    def _too_large(self) -> Problem:
        return Problem(413, f"A body here has at most {self._limit} bytes.")
