"""Owns HTTP: who may come in, what is asked where, faults on demand and a journal of requests; blobs and queues are passed
on to Azurite; refuses to know what a request means."""

from __future__ import annotations

import fnmatch
import functools
import http.client
import json
import socket
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import escape

from tests.emulators.azureml.blobs import ACCOUNT, HOST, QUEUE_HOST, Blobs
from tests.emulators.azureml.messages import WORKSPACE_ID, Answer, Refusal, Request, Route
from tests.emulators.azureml.tokens import CLIENT, PRINCIPAL, STORAGE, Tokens
from tests.emulators.azureml.troubles import Troubles

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
_PER_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}
_CODES = {401: "ExpiredAuthenticationToken", 403: "AuthorizationFailed", 429: "TooManyRequests",
          500: "InternalServerError", 503: "ServiceUnavailable"}  # fmt: skip


class Door:
    """The WSGI application.

    ``POST /_emulator/faults`` takes ``{"operation", "status", "times", "after", "drop", "retry_after", "code",
    "message"}``: the next so many requests of this operation (a pattern: ``jobs.*``) get this status, or with ``drop`` no
    answer at all, ``after`` having been carried out if so asked; ``DELETE`` forgets what has not failed yet. With ``hold``
    nothing fails: they are carried out so many seconds late.
    ``POST /_emulator/denied`` takes ``{"actions"}``: what the application's role does not allow, until told otherwise.
    ``POST /_emulator/troubles`` takes ``{"node", "kind", "times", "seconds"}``: see ``Troubles``; ``DELETE`` forgets them.
    ``GET /_emulator/calls`` counts requests by operation.
    """

    def __init__(
        self, routes: Iterable[Route], tokens: Tokens, blobs: Blobs, troubles: Troubles, *, queues: str = ""
    ) -> None:
        self._routes = tuple(routes)
        self._tokens = tokens
        self._blobs = blobs
        self._azurite = {"blob": urlsplit(blobs.endpoint), "queue": urlsplit(queues)}
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._unknown: list[str] = []
        self._faults: list[dict[str, Any]] = []
        self._denied: list[str] = []
        self._troubles = troubles

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        raw = _body(environ)
        storage = _STORAGE.get(environ.get("HTTP_HOST", "").partition(":")[0])
        if storage is not None or path.startswith(f"/{ACCOUNT}/"):
            service = storage or "blob"
            name = f"{service}.{method.lower()}"
            act: Callable[[], Answer] = functools.partial(self._passed_on, service, environ, raw)
        elif (found := self._control(method, path, raw)) is not None:
            return _send(start_response, found)
        else:
            name, act = self._routed(environ, method, path, raw)
        fault = self._fault(name)
        if fault is not None and "hold" in fault:
            time.sleep(fault["hold"])
            fault = None
        try:
            answer = act() if fault is None or fault.get("after") else None
        except Refusal as refusal:
            answer = _refused(refusal)
        except Exception:
            traceback.print_exc()
            answer = _refused(
                Refusal(500, "InternalServerError", "the emulator has a defect; its log has the traceback")
            )
        if fault is not None and fault.get("drop"):
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        if fault is not None:
            answer = _faulty(fault, path)
        assert answer is not None, "carried out, or a fault"
        return _send(start_response, _as_storage(answer) if name.startswith(("blob.", "queue.")) else answer)

    # requests ---------------------------------------------------------------------------------------------------------

    def _routed(self, environ: dict[str, Any], method: str, path: str, raw: bytes) -> tuple[str, Callable[[], Answer]]:
        for route in self._routes:
            groups = route.match(method, path)
            if groups is not None:
                return route.name, functools.partial(self._act, route, groups, environ, raw)
        with self._lock:
            self._unknown.append(f"{method} {path}?{environ['QUERY_STRING']}")

        def unknown() -> Answer:
            raise Refusal(404, "NotFound", f"The emulator has no {method} {path}")

        return "unknown", unknown

    def _act(self, route: Route, groups: dict[str, str], environ: dict[str, Any], raw: bytes) -> Answer:
        claims = {} if route.open else self._tokens.check(environ.get("HTTP_AUTHORIZATION", ""))
        if route.action and any(fnmatch.fnmatch(route.action, one) for one in self._denied):
            raise _forbidden(route.action)
        if "w" in groups and f"/{groups['s']}/{groups['g']}/{groups['w']}".lower() != _OWN:
            raise Refusal(404, "ResourceNotFound", f"The Resource 'Microsoft.MachineLearningServices/workspaces/"
                          f"{groups['w']}' under resource group '{groups['g']}' was not found.")  # fmt: skip
        headers = {name.lower(): value for name, value in environ["refit.headers"]}
        query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
        found = route.act(Request(environ["PATH_INFO"], groups, query, headers, raw, claims))
        return found if isinstance(found, Answer) else Answer(200, found)

    def _passed_on(self, service: str, environ: dict[str, Any], raw: bytes) -> Answer:
        """To Azurite as it came: its host and path are a part of what was signed. Who comes as an identity instead is checked
        here, since Azurite knows none, and let in if its role allows it."""
        headers = {name: value for name, value in environ["refit.headers"] if name.lower() not in _PER_HOP}
        target = str(environ["REQUEST_URI"])
        own = next((name for name, value in headers.items() if value.lower().startswith("bearer ")), None)
        if own is not None:
            self._tokens.check(headers.pop(own), STORAGE)
            action = _blob_action if service == "blob" else _queue_action
            if any(fnmatch.fnmatch(action(environ), one) for one in self._denied):
                raise Refusal(403, "AuthorizationPermissionMismatch", "This request is not authorized to perform this "
                              "operation using this permission.")  # fmt: skip
            target += ("&" if "?" in target else "?") + self._blobs.account_signature()
        azurite = self._azurite[service]
        assert azurite.hostname is not None, "started with this service"
        connection = http.client.HTTPConnection(azurite.hostname, azurite.port, timeout=60)
        try:
            connection.request(environ["REQUEST_METHOD"], target, raw, headers)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _PER_HOP}
            if environ["REQUEST_METHOD"] == "HEAD":
                kept["Content-Length"] = answer.getheader("Content-Length") or "0"
            return Answer(answer.status, answer.read(), kept)
        finally:
            connection.close()

    # control ----------------------------------------------------------------------------------------------------------

    def _fault(self, name: str) -> dict[str, Any] | None:
        with self._lock:
            self._calls[name] += 1
            for fault in self._faults:
                if fault["times"] > 0 and fnmatch.fnmatch(name, fault["operation"]):
                    fault["times"] -= 1
                    return fault
        return None

    def _control(self, method: str, path: str, raw: bytes) -> Answer | None:
        what = path.removeprefix("/_emulator/")
        if what not in ("faults", "denied", "troubles", "calls"):
            return None
        with self._lock:
            match method, what:
                case "POST", "faults":
                    self._faults.append({"times": 1, **json.loads(raw)})
                case "DELETE", "faults":
                    self._faults.clear()
                case "POST", "denied":
                    self._denied = list(json.loads(raw)["actions"])
                case "POST", "troubles":
                    self._troubles.add(json.loads(raw))
                case "DELETE", "troubles":
                    self._troubles.clear()
            return Answer(200, {"calls": dict(self._calls), "faults": self._faults, "denied": self._denied,
                                "unknown": self._unknown})  # fmt: skip


_STORAGE = {HOST: "blob", QUEUE_HOST: "queue"}
_ACCOUNTS = "Microsoft.Storage/storageAccounts"
_OWN = "/" + "/".join(WORKSPACE_ID.split("/")[at] for at in (2, 4, 8)).lower()


def _body(environ: dict[str, Any]) -> bytes:
    """Chunked bodies end by themselves, others after their length: reading on would wait for ever."""
    if environ.get("wsgi.input_terminated"):
        return bytes(environ["wsgi.input"].read())
    return bytes(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))


def _blob_action(environ: dict[str, Any]) -> str:
    what = "read" if environ["REQUEST_METHOD"] in ("GET", "HEAD") else "write"
    return f"{_ACCOUNTS}/blobServices/containers/blobs/{what}"


def _queue_action(environ: dict[str, Any]) -> str:
    """Of messages: others look, put, or take and take away."""
    if environ["REQUEST_METHOD"] == "POST":
        what = "add/action"
    else:
        what = "read" if "peekonly=true" in environ["QUERY_STRING"] else "process/action"
    return f"{_ACCOUNTS}/queueServices/queues/messages/{what}"


def _forbidden(action: str) -> Refusal:
    return Refusal(
        403, "AuthorizationFailed",
        f"The client '{CLIENT}' with object id '{PRINCIPAL}' does not have authorization to perform action '{action}' "
        f"over scope '{WORKSPACE_ID}' or the scope is invalid. If access was recently granted, please refresh your "
        "credentials.",
    )  # fmt: skip


def _refused(refusal: Refusal) -> Answer:
    """In the form that both of Azure's error models can read."""
    error: dict[str, Any] = {
        "code": refusal.code,
        "message": str(refusal),
        "target": None,
        "details": [],
        "additionalInfo": [],
    }
    more = {"WWW-Authenticate": 'Bearer error="invalid_token"'} if refusal.status == 401 else {}
    return Answer(refusal.status, {"error": error}, more)


def _faulty(fault: dict[str, Any], path: str) -> Answer:
    status = int(fault["status"])
    code = fault.get("code", _CODES.get(status, "UserError"))
    made = _refused(Refusal(status, code, fault.get("message", f"{code} on demand for {path}")))
    more = {"Retry-After": str(fault["retry_after"])} if "retry_after" in fault else {}
    return Answer(made.status, made.body, {**made.headers, **more})


def _as_storage(answer: Answer) -> Answer:
    """Storage words its errors in XML; what Azurite said is that already."""
    if not isinstance(answer.body, dict):
        return answer
    code, message = answer.body["error"]["code"], escape(answer.body["error"]["message"])
    text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    more = {"x-ms-error-code": code, "Content-Type": "application/xml"}
    return Answer(answer.status, text.encode(), {**answer.headers, **more})


def _send(start_response: StartResponse, answer: Answer) -> Iterable[bytes]:
    text = answer.body if isinstance(answer.body, bytes) else b"" if answer.body is None else json.dumps(
        answer.body).encode()  # fmt: skip
    headers = dict(answer.headers)
    if not isinstance(answer.body, bytes):
        headers.setdefault("Content-Type", "application/json; charset=utf-8")
    headers.setdefault("Content-Length", str(len(text)))
    start_response(f"{answer.status} {http.client.responses.get(answer.status, 'Unknown')}", list(headers.items()))
    return [text]
