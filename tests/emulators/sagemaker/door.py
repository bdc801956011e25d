"""Owns HTTP: requests checked against botocore's own service model, ours answered here, everything else by moto; faults on
demand and a journal of calls; refuses to know what a request means."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import botocore.session
from botocore.model import Shape
from botocore.validate import ParamValidator

from tests.emulators.sagemaker.definition import Invalid
from tests.emulators.sagemaker.engine import CALLER
from tests.emulators.sagemaker.operations import Refusal

_MODEL = botocore.session.get_session().get_service_model("sagemaker")
_STATUS = {"ThrottlingException": 400, "ServiceUnavailable": 503, "InternalFailure": 500}
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class Door:
    """The WSGI application. ``rooms`` are objects whose methods are named like the API's operations.

    ``POST /_emulator/faults`` takes ``{"operation", "error", "times", "after"}``: the next so many calls fail with this
    error, ``after`` having been carried out if so asked (the answer is lost, the act is not); ``DELETE`` forgets what has
    not failed yet. ``GET /_emulator/calls`` counts calls by operation.
    """

    def __init__(self, rooms: Iterable[object], behind: Callable[..., Any]) -> None:
        self._rooms = tuple(rooms)
        self._behind = behind
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._faults: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/_emulator/"):
            return self._control(environ, start_response)
        operation = environ.get("HTTP_X_AMZ_TARGET", "").removeprefix("SageMaker.")
        act = (
            next((found for room in self._rooms if (found := getattr(room, operation, None))), None)
            if operation
            else None
        )
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith("SageMaker.") or act is None:
            return self._behind(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        CALLER.set(environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition("/")[0] or "nobody")
        try:
            answer = self._answered(operation, act, json.loads(body or b"{}"))
        except Refusal as refusal:
            return _send(
                start_response, _STATUS.get(refusal.code, 400), {"__type": refusal.code, "message": str(refusal)}
            )
        except Invalid as error:
            return _send(start_response, 400, {"__type": "ValidationException", "message": str(error)})
        return _send(start_response, 200, answer)

    def _answered(self, operation: str, act: Callable[[Mapping[str, Any]], Any], request: dict[str, Any]) -> Any:
        fault = self._fault(operation)
        if fault is not None and not fault.get("after"):
            raise Refusal(fault["error"], fault.get("message", fault["error"]))
        model = _MODEL.operation_model(operation)
        assert model.input_shape is not None, "every operation here has an input"
        if (
            wrong := ParamValidator()
            .validate(_with_times(request, model.input_shape), model.input_shape)
            .generate_report()
        ):
            raise Refusal("ValidationException", wrong)
        if misspelt := next(_misspelt(request, model.input_shape, ""), ""):
            raise Refusal("ValidationException", misspelt)
        answer = act(request)
        if model.output_shape is not None:
            wrong = ParamValidator().validate(answer, model.output_shape).generate_report()
            assert not wrong, f"the emulator's answer to {operation} is not AWS's: {wrong}"
        if fault is not None:
            raise Refusal(fault["error"], fault.get("message", fault["error"]))
        return _plain(answer, model.output_shape)

    def _fault(self, operation: str) -> dict[str, Any] | None:
        with self._lock:
            self._calls[operation] += 1
            for fault in self._faults:
                if fault["operation"] in (operation, "*") and fault["times"] > 0:
                    fault["times"] -= 1
                    return fault
        return None

    def _control(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            if environ["REQUEST_METHOD"] == "POST":
                body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                self._faults.append({"times": 1, **json.loads(body)})
            elif environ["REQUEST_METHOD"] == "DELETE":
                self._faults.clear()
            return _send(start_response, 200, {"calls": dict(self._calls), "faults": self._faults})


def _send(start_response: StartResponse, status: int, body: Any) -> Iterable[bytes]:
    text = json.dumps(body).encode()
    start_response(f"{status} {'OK' if status == 200 else 'Error'}",
                   [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(text)))])  # fmt: skip
    return [text]


def _misspelt(value: Any, shape: Shape, place: str) -> Iterator[str]:
    """What AWS checks and botocore does not: the most of anything, the pattern of a name, the words of an enumeration."""
    most = shape.metadata.get("max")
    size = (
        value
        if shape.type_name in ("integer", "long", "float", "double")
        else len(value)
        if hasattr(value, "__len__")
        else 0
    )
    if most is not None and size > most:
        yield f"Value at '{place[1:]}' failed to satisfy constraint: Member must be at most {most}"
    if shape.type_name == "structure" and isinstance(value, dict):
        members = shape.members  # type: ignore[attr-defined]
        for name, one in value.items():
            if name in members:
                yield from _misspelt(one, members[name], f"{place}.{name}")
    elif shape.type_name == "list" and isinstance(value, list):
        for one in value:
            yield from _misspelt(one, shape.member, place)  # type: ignore[attr-defined]
    elif shape.type_name == "string" and isinstance(value, str):
        pattern, words = shape.metadata.get("pattern", ""), getattr(shape, "enum", [])
        if words and value not in words:
            yield f"Value '{value}' at '{place[1:]}' failed to satisfy constraint: Member must satisfy enum value set: {words}"
        with contextlib.suppress(re.error):  # a few patterns are not Python's
            if pattern and not re.fullmatch(pattern, value):
                yield f"Value '{value}' at '{place[1:]}' failed to satisfy constraint: {pattern}"


def _with_times(value: Any, shape: Shape) -> Any:
    """The wire has seconds where the model has timestamps."""
    if shape.type_name == "structure" and isinstance(value, dict):
        members = shape.members  # type: ignore[attr-defined]
        return {name: _with_times(one, members[name]) if name in members else one for name, one in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [_with_times(one, shape.member) for one in value]  # type: ignore[attr-defined]
    if shape.type_name == "timestamp" and isinstance(value, int | float):
        return datetime.datetime.fromtimestamp(value, datetime.UTC)
    return value


def _plain(value: Any, shape: Shape | None) -> Any:
    """An answer as the wire has it: only what the model knows, times in seconds."""
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    if shape is not None and shape.type_name == "structure" and isinstance(value, dict):
        members = shape.members  # type: ignore[attr-defined]
        return {name: _plain(one, members[name]) for name, one in value.items() if name in members}
    if isinstance(value, list):
        return [_plain(one, getattr(shape, "member", None)) for one in value]
    return value
