"""Owns what surrounds every request: its id, size cap, security headers, log line and duration; refuses routes.

Plain ASGI rather than Starlette's ``BaseHTTPMiddleware``: that costs a task for each request and hides the body's chunks.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.domain.names import shown
from service.web.instruments import Instruments
from service.web.problems import Problem, problem

WEBHOOK_LIMIT, BODY_LIMIT = 25 * 1024 * 1024, 1024 * 1024
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

    def __init__(self, app: ASGIApp, instruments: Instruments) -> None:
        self._app = app
        self._instruments = instruments

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, uuid.uuid4().hex[:12])
        began = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=answer.request_id):
            try:
                await self._guarded(scope, receive, answer)
            finally:
                seconds = time.perf_counter() - began
                self._instruments.answered(scope, answer.status, seconds)
                # Reads are many and harmless; what changes something or fails is worth a line.
                say = log.info if scope["method"] not in ("GET", "HEAD") or answer.status >= 500 else log.debug
                say("request", method=scope["method"], path=shown(scope["path"]), status=answer.status,
                    ms=round(seconds * 1000, 1))  # fmt: skip

    async def _guarded(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        limit = WEBHOOK_LIMIT if scope["path"] == "/webhooks/github" else BODY_LIMIT
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        try:
            if not declared.isdigit() or int(declared[:20]) > limit:
                await problem(413, _too_large(limit))(scope, receive, answer)
            else:
                await self._app(scope, _capped(receive, limit), answer)
        except Exception as error:
            log.error("bug", path=shown(scope["path"]), exc_info=error)
            if answer.status:
                raise  # half an answer is out: only closing the connection tells the caller
            await problem(500, "This is a bug in Refit; its log has the details.")(scope, receive, answer)


class _Answer:
    """Sends, with the headers that every answer has, and remembers the status (0: nothing was sent)."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = self.request_id
        await self._send(message)


def _capped(receive: Receive, limit: int) -> Callable[[], Awaitable[Message]]:
    """Refuses a body as soon as it is known to be too large: a chunked one declares no length."""
    size = 0

    async def receiving() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise Problem(413, _too_large(limit))
        return message

    return receiving


def _too_large(limit: int) -> str:
    return f"A body here has at most {limit} bytes."
