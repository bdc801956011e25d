"""What every answer has: headers, problem documents, an honest description, sane health."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.domain.errors import Retry
from tests.web.site import FIRST, FOURTH, GOOD, Site

CSP = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
       "frame-ancestors 'none'; base-uri 'none'")  # fmt: skip


@pytest.mark.parametrize(
    "path",
    ["/", f"/executions/{FIRST}", "/nope", "/api/v1/executions", "/api/v1/nope", "/static/style.css", "/healthz"],
)
def test_every_answer_has_the_security_headers(looked_at: Site, path: str) -> None:
    headers = looked_at.http.get(path).headers
    assert headers["Content-Security-Policy"] == CSP
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert re.fullmatch("[0-9a-f]{12}", headers["X-Request-ID"])
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/v1/nope", 404), ("GET", "/nope", 404), ("GET", "/api/v1/executions/nope", 404),
     ("DELETE", "/api/v1/executions", 405), ("GET", "/webhooks/github", 405), ("GET", "/api/v1/executions?limit=0", 422),
     ("GET", "/api/v1/executions?limit=101", 422), ("GET", "/api/v1/executions?status=odd", 422),
     ("GET", "/api/v1/executions?since=yesterday", 422), ("GET", "/api/v1/executions?branch=a%00b", 422),
     ("GET", "/api/v1/executions/a%00b", 422), ("GET", "/api/v1/executions?cursor=%00", 422),
     ("GET", "/api/v1/executions?cursor=8J-YgA", 400),
     ("GET", "/api/v1/commits/abc", 422), ("GET", f"/api/v1/commits/{'0' * 40}", 404),
     ("GET", "/api/v1/models/price/0", 422), ("GET", "/api/v1/models/nope/1", 404), ("GET", "/static/../app.py", 404),
     ("GET", "/static/nope.css", 404), ("POST", f"/api/v1/executions/{FOURTH}/cancel", 401), ("GET", "/docs", 404),
     ("GET", "/executions/nope", 404), ("GET", "/commits/nope", 422), ("PROPFIND", "/", 405)],
)  # fmt: skip
def test_every_failure_is_a_problem_document(looked_at: Site, method: str, path: str, status: int) -> None:
    answer = looked_at.http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail"} <= problem.keys()
    assert problem["status"] == status
    if status == 405:
        assert answer.headers["Allow"]


def test_an_invalid_request_names_every_mistake(looked_at: Site) -> None:
    errors = looked_at.http.get("/api/v1/executions?limit=0&commit=x").json()["errors"]
    assert {one["where"] for one in errors} == {"query.limit", "query.commit"}


def test_what_may_work_later_says_when(site: Site) -> None:
    scheduler = site.http.app.state.services.scheduler  # type: ignore[attr-defined]
    object.__setattr__(scheduler, "hosts", _Away())
    answer = site.http.post("/api/v1/plans", json={"repository": "acme/diamonds", "head": "main"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")
    assert answer.headers["Content-Type"] == "application/problem+json"


class _Away:
    """A git host that cannot be reached."""

    def repository(self, name: str) -> Any:
        raise Retry(f"{name} cannot be reached", 7.0)


def test_a_bug_tells_the_caller_nothing(site: Site) -> None:
    object.__setattr__(site.http.app.state.services, "scheduler", None)  # type: ignore[attr-defined]
    answer = TestClient(site.http.app).post("/api/v1/plans", json={"repository": "acme/diamonds", "head": "main"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (500, "application/problem+json")
    assert "NoneType" not in answer.text
    assert answer.headers["Content-Security-Policy"] == CSP


def test_health_and_metrics_need_no_token(closed: Site) -> None:
    assert closed.http.get("/healthz").json() == {"status": "ok"}
    assert closed.http.get("/readyz").json() == {"status": "ready", "checks": {"database": ""}}
    closed.http.get(f"/api/v1/executions/{FIRST}", headers=closed.bearer("read"))
    text = closed.http.get("/metrics").text
    assert 'refit_executions{status="succeeded"} 2.0' in text
    assert 'refit_steps{outcome="reused"} 4.0' in text
    assert 'refit_jobs{queue="deliveries"} 1.0' in text
    assert 'route="/api/v1/executions/{id}"' in text
    assert FIRST not in text


def test_readiness_says_what_is_wrong(site: Site) -> None:
    object.__setattr__(site.http.app.state.services, "ready", lambda: {"worker": "none", "database": ""})  # type: ignore[attr-defined]
    answer = site.http.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["worker"]) == (503, "none")


# the description ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def description(looked_at: Site) -> dict[str, Any]:
    found: dict[str, Any] = looked_at.http.get("/api/v1/openapi.json").json()
    return found


def operations(description: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in description["paths"].items():
        for method, operation in item.items():
            yield f"{method} {path}", operation


def test_every_operation_is_named_and_explained(description: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(description)]
    assert len(names) == len(set(names)) >= 25
    for where, operation in operations(description):
        assert operation["summary"], where
        assert operation["description"], where


def test_every_answer_and_every_body_has_an_example(description: dict[str, Any]) -> None:
    for where, operation in operations(description):
        bodies = [("body", operation["requestBody"])] if "requestBody" in operation else []
        for status, answer in [*operation["responses"].items(), *bodies]:
            for kind, media in answer.get("content", {}).items():
                has = "example" in media or exemplified(media["schema"], description)
                assert has, f"{where} {status} {kind}: no example"


def exemplified(schema: dict[str, Any], description: dict[str, Any]) -> bool:
    """An example of its own, or of each of its parts."""
    if "$ref" in schema:
        return exemplified(description["components"]["schemas"][schema["$ref"].rpartition("/")[2]], description)
    if {"example", "examples", "default", "const"} & schema.keys() or schema.get("type") == "null":
        return True
    if "anyOf" in schema:
        return any(exemplified(one, description) for one in schema["anyOf"] if one.get("type") != "null")
    if schema.get("type") == "array":
        return exemplified(schema["items"], description)
    parts = {name: part for name, part in schema.get("properties", {}).items() if name != "next_cursor"}
    return bool(parts) and all(exemplified(part, description) for part in parts.values())


def test_every_documented_failure_is_a_problem(description: dict[str, Any]) -> None:
    for where, operation in operations(description):
        failures = {s: a for s, a in operation["responses"].items() if s == "default" or s >= "4"}
        assert "default" in failures, where
        for status, answer in failures.items():
            if (where, status) != ("get /readyz", "503"):
                assert list(answer["content"]) == ["application/problem+json"], f"{where} {status}"


def test_every_example_has_every_field(description: dict[str, Any]) -> None:
    """An example with a missing or a made-up field would lie."""
    for name, schema in description["components"]["schemas"].items():
        for example in schema.get("examples", ()):
            unset = {field for field, one in schema["properties"].items() if {"type": "null"} in one.get("anyOf", ())}
            assert set(example) <= set(schema["properties"]), name
            assert set(schema["properties"]) - set(example) <= unset, name


def test_no_reference_leads_nowhere(description: dict[str, Any]) -> None:
    names = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(description)))
    assert names <= description["components"]["schemas"].keys()


def test_no_page_is_described(description: dict[str, Any]) -> None:
    assert GOOD not in json.dumps(description)
    assert "/trends" not in description["paths"]
