"""Owns what surrounds every request: its id, caps on its body, security headers, log line and duration; refuses routes.

Plain ASGI rather than Starlette's ``BaseHTTPMiddleware``: that costs a task for each request and hides the body's chunks.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.domain.names import shown
from service.web.bodies import Bodies
from service.web.instruments import Instruments
from service.web.limiting import Limiter
from service.web.problems import foreseen, problem
from service.web.services import Bounds

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}
log = structlog.get_logger("refit.web")


class Around:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, instruments: Instruments, limiter: Limiter, bounds: Bounds) -> None:
        self._app = app
        self._instruments = instruments
        self._limiter = limiter
        self._bodies = Bodies(bounds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, uuid.uuid4().hex[:12], bare=scope["method"] == "HEAD")
        began = time.perf_counter()
        # HEAD is GET without the body; a copy, because the server asks its own scope whether to send one.
        asked = {**scope, "method": "GET"} if answer.bare else scope
        with structlog.contextvars.bound_contextvars(request_id=answer.request_id):
            try:
                await self._guarded(asked, receive, answer)
            finally:
                seconds = time.perf_counter() - began
                self._instruments.answered(scope["method"], asked, answer.status, seconds)
                # Reads are many and harmless; what changes something or fails is worth a line.
                say = log.info if scope["method"] not in ("GET", "HEAD") or answer.status >= 500 else log.debug
                say("request", method=scope["method"], path=shown(scope["path"]), status=answer.status,
                    ms=round(seconds * 1000, 1))  # fmt: skip

    async def _guarded(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        body = self._bodies.of(scope, receive)
        try:
            self._limiter.called(scope)
            body.refuse_what_is_declared()
            await self._app(scope, body.receive, answer)
        except ClientDisconnect:
            log.info("the caller left before the end of its request", path=shown(scope["path"]))
        except Exception as error:
            reply = foreseen(error)
            if reply is None:
                log.error("bug", path=shown(scope["path"]), exc_info=error)
            if answer.status:
                raise  # half an answer is out: only closing the connection tells the caller
            await (reply or problem(500, "This is a bug in Refit; its log has the details."))(scope, receive, answer)
        finally:
            body.let_go()


class _Answer:
    """Sends, with the headers that every answer has, and remembers the status (0: nothing was sent). ``bare`` ends with
    the headers."""

    def __init__(self, send: Send, request_id: str, *, bare: bool) -> None:
        self._send = send
        self.request_id = request_id
        self.status = 0
        self.bare = bare
        self._is_over = False

    async def __call__(self, message: Message) -> None:
        if self._is_over:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = self.request_id
            if self.status == 405 and "allow" in headers:
                headers["Allow"] = _allowed(headers["allow"].split(","))
        await self._send(message)
        if self.bare and message["type"] == "http.response.start":
            self._is_over = True  # a stream would otherwise never end
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _allowed(methods: Iterable[str]) -> str:
    """Where GET is allowed, HEAD is."""
    found = {one.strip() for one in methods}
    return ", ".join(sorted(found | {"HEAD"} if "GET" in found else found))
