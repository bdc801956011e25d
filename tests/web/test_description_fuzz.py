"""The API driven by its own description: whatever the description allows or forbids, no answer contradicts it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.web.site import FOURTH, GOOD, Site, opened

GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


@pytest.fixture(params=["sqlite", "postgres"])
def fuzzed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """PostgreSQL refuses what SQLite takes: NUL, too large integers, lone surrogates."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres").create()
    with opened(tmp_path, url) as made:
        yield made


def test_no_request_is_answered_otherwise_than_described(fuzzed: Site) -> None:
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", fuzzed.http.app)
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 25
    seen: set[int] = set()
    for operation in operations:
        for mode in GenerationMode:
            _drive(operation.as_strategy(generation_mode=mode), fuzzed.bearer("admin"), seen)
        if "{" in operation.path:
            _drive(operation.as_strategy().map(_about_what_exists), fuzzed.bearer("admin"), seen)
    assert {200, 202, 400, 404, 409, 422} <= seen, "the fuzz reaches what it should"


def _about_what_exists(case: schemathesis.Case) -> schemathesis.Case:
    known = {"id": FOURTH, "guid": GUID, "sha": GOOD, "name": "price", "version": 1}
    case.path_parameters = {name: known[name] for name in case.path_parameters}
    return case


def _drive(cases: SearchStrategy[schemathesis.Case], headers: dict[str, str], seen: set[int]) -> None:
    @given(case=cases)
    @settings(max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def answer(case: schemathesis.Case) -> None:
        response = case.call_and_validate(headers=headers, checks=CHECKS)
        explicit = {*case.operation.definition.raw["responses"], "405"}  # and not merely by `default`
        assert str(response.status_code) in explicit, f"{case.operation.label}: {response.status_code} is not described"
        seen.add(response.status_code)

    with contextlib.suppress(Unsatisfiable):  # an operation that nothing can be wrong with
        answer()
