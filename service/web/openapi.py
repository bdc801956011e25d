"""Owns the API's own description where FastAPI's is not ours: tokens, and failures as problem documents; refuses routes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

from service.web.api.settled import is_known, tag_of
from service.web.instruments import API
from service.web.once import HEADER, PATTERN, REPLAYED, is_act
from service.web.problems import ProblemShape, documented

PATH = f"{API}/openapi.json"
router = APIRouter(include_in_schema=False)


@router.get(PATH)
def description(request: Request) -> Response:
    """Of the whole API; it changes with the version only."""
    body = json.dumps(request.app.openapi(), ensure_ascii=False, separators=(",", ":")).encode()
    tag = tag_of(body)
    if is_known(request, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return Response(body, media_type="application/json", headers={"ETag": tag})


class DescribedApp(FastAPI):
    """An app whose every documented failure is ``application/problem+json``."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = _described(super().openapi())
        return self.openapi_schema


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    components = schema.setdefault("components", {})
    shapes = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        shapes.pop(name, None)
    problem = ProblemShape.model_json_schema(ref_template="#/components/schemas/{model}")
    shapes |= problem.pop("$defs") | {"Problem": problem}
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "`rft_…`, from `refit token create`."}
    }
    for path, method, operation in _operations(schema):
        failures = _failures(path, method, operation)
        operation["responses"] |= {str(status): text for status, text in documented(*failures).items()}
        operation["responses"]["default"] = {**documented(500)[500], "description": "Any other failure"}
        if path.startswith(API):
            operation["security"] = [{"token": []}, {}]
        if is_act(method.upper(), path):
            operation.setdefault("parameters", []).append(_KEY)
    return schema


def _failures(path: str, method: str, operation: dict[str, Any]) -> set[int]:
    """What any operation of its kind may answer, beside what its route says itself."""
    found = {401, 403, 422, 429} if path.startswith(API) else {422} if "422" in operation["responses"] else set()
    if is_act(method.upper(), path):
        found |= {409}
    return found | {400, 408, 413, 503} if "requestBody" in operation else found


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


_KEY = {
    "name": HEADER,
    "in": "header",
    "description": "A value of your own, such as a UUID. The same call with the same value within 24 hours is not done again "
    f"and gets the first answer, with `{REPLAYED}: true`; 409 while the first is in work, 422 if the call says something else.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": PATTERN},
    "example": "0b989ba4-242f-11e5-81e1-c7b6966d2516",
}
