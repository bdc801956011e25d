"""Owns the API's own description where FastAPI's is not ours: tokens, and failures as problem documents; refuses routes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from service.web.instruments import API
from service.web.problems import ProblemShape, documented

PATH = f"{API}/openapi.json"


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
    for path, operation in _operations(schema):
        failures = _failures(path, operation)
        operation["responses"] |= {str(status): text for status, text in documented(*failures).items()}
        operation["responses"]["default"] = {**documented(500)[500], "description": "Any other failure"}
        if path.startswith(API):
            operation["security"] = [{"token": []}, {}]
    return schema


def _failures(path: str, operation: dict[str, Any]) -> set[int]:
    """What any operation of its kind may answer, beside what its route says itself."""
    found = {401, 403, 422} if path.startswith(API) else {422} if "422" in operation["responses"] else set()
    return found | {400, 413} if "requestBody" in operation else found


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in schema["paths"].items():
        for operation in item.values():
            yield path, operation
