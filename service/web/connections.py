"""Owns a connection: how many there are, how large a request's head may be, how long it may take to arrive; refuses to
look into a request."""

from __future__ import annotations

import asyncio
import socket
import sys
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.web.api.following import Streams
from service.web.problems import problem
from service.web.services import Bounds

HEAD_LIMIT = 64 * 1024
"""Bytes of a request line with its headers; uvicorn's other implementation, httptools, has no such limit."""
GRACE = 2.0
"""Seconds for the app to answer 408 by itself before the connection is cut."""


class Config(uvicorn.Config):
    """How the app is served, by a server and by a local run alike."""

    def __init__(self, app: FastAPI, bounds: Bounds, *, host: str, port: int, trusted_proxies: str = "") -> None:
        super().__init__(
            app,
            host=host,
            port=port,
            log_config=None,
            http=Connection,
            ws="none",
            h11_max_incomplete_event_size=HEAD_LIMIT,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
            server_header=False,
            # Whoever is not trusted may claim any address; uvicorn's own default trusts this host.
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=trusted_proxies or None,
        )
        self.bounds = bounds
        self.streams: Streams = app.state.streams


class Server(uvicorn.Server):
    """uvicorn's, which would wait for the end of what is followed, and then break it off."""

    config: Config

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.config.streams.close()
        await super().shutdown(sockets)


class Connection(H11Protocol):
    """uvicorn's, which waits for ever for the end of a head, refuses in plain text, and takes whoever comes."""

    def __init__(self, config: Config, *arguments: Any, **named: Any) -> None:
        super().__init__(config, *arguments, **named)
        self._bounds = config.bounds
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._bounds.connections:
            self._refuse(503, "There are too many connections; try again.", {"Retry-After": "5"})
        else:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing() or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._arrived()
        else:
            self._expect()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self._arrived()  # between two requests the keep-alive timeout counts

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP: uvicorn calls this where h11's own word for it is at hand."""
        error = sys.exception()
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._refuse(status, f"{msg} {error}".strip() if error else msg)

    def _expect(self) -> None:
        """A request must be here that many seconds after its first byte, however its bytes are spread."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._bounds.receive_seconds, self._late)

    def _arrived(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self.conn.our_state is h11.IDLE:
            self._refuse(408, "The request took too long to arrive.")
        elif (
            self.cycle is not None and not self.cycle.response_complete
        ):  # the app reads the body, and has the same limit
            self._deadline = self.loop.call_later(GRACE, self.transport.abort)
        else:  # it was answered long ago and still comes
            self.transport.abort()

    def _refuse(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        """Answer for the app and close."""
        self._arrived()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        answer = problem(status, detail, headers={**(headers or {}), "Connection": "close"})
        reason = HTTPStatus(status).phrase.encode()
        head = h11.Response(status_code=status, headers=answer.raw_headers, reason=reason)
        for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
