"""Who may do what: every route against every kind of caller."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.domain.tokens import new_token
from tests.web.site import FIRST, FOURTH, GOOD, NOW, Site

READS = ["/executions", f"/executions/{FIRST}", f"/executions/{FIRST}/logs?step=train", f"/commits/{GOOD}", "/pipelines",
         "/components", "/results", "/metrics?name=rmse", "/models", "/models/price/1", "/lineage?model=price/1",
         "/deliveries", "/deliveries/72d3162e-cc78-11e3-81ab-4c9367dc0958"]  # fmt: skip
RUNS = [f"/executions/{FOURTH}/cancel", f"/executions/{FOURTH}/approve", f"/executions/{FIRST}/rerun",
        "/deliveries/72d3162e-cc78-11e3-81ab-4c9367dc0958/replay"]  # fmt: skip
PAGES = ["/", f"/executions/{FIRST}", f"/commits/{GOOD}", "/deliveries", "/lineage", "/trends"]


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize(("who", "status"), [("", 401), ("expired", 401), ("revoked", 401), ("odd", 403), ("read", 200),
                                             ("run", 200), ("admin", 200)])  # fmt: skip
def test_reading_where_it_is_closed(closed: Site, path: str, who: str, status: int) -> None:
    answer = closed.http.get(f"/api/v1{path}", headers=closed.bearer(who) if who else {})
    assert answer.status_code == status


@pytest.mark.parametrize("path", READS)
def test_reading_where_it_is_open(looked_at: Site, path: str) -> None:
    assert looked_at.http.get(f"/api/v1{path}").status_code == 200


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_read_like_the_api(closed: Site, looked_at: Site, path: str) -> None:
    assert closed.http.get(path).status_code == 401
    assert closed.http.get(path, headers=closed.bearer("read")).status_code == 200
    assert looked_at.http.get(path).status_code == 200


@pytest.mark.parametrize("path", RUNS)
@pytest.mark.parametrize("fixture", ["looked_at", "closed"])
def test_writing_always_needs_a_run_token(request: pytest.FixtureRequest, fixture: str, path: str) -> None:
    site: Site = request.getfixturevalue(fixture)
    anonymous = site.http.post(f"/api/v1{path}")
    assert anonymous.status_code == 401
    assert anonymous.headers["WWW-Authenticate"].startswith("Bearer")
    reader = site.http.post(f"/api/v1{path}", headers=site.bearer("read"))
    assert reader.status_code == 403
    assert "'run'" in reader.json()["detail"]
    assert 'scope="run"' in reader.headers["WWW-Authenticate"]


@pytest.mark.parametrize("scope", ["run", "admin"])
def test_a_run_token_runs(site: Site, scope: str) -> None:
    assert site.http.post(f"/api/v1/executions/{FOURTH}/cancel", headers=site.bearer(scope)).status_code == 202


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic cmZ0Xzo=", "rft_x", "Bearer rft_unknown", "Bearer eyJ", "bearer  rft_x"]
)
def test_an_odd_header_is_no_token_even_where_reading_is_open(looked_at: Site, header: str) -> None:
    answer = looked_at.http.get("/api/v1/executions", headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_administering_tokens(site: Site) -> None:
    admin = site.bearer("admin")
    for scope in ("read", "run"):
        assert site.http.get("/api/v1/tokens", headers=site.bearer(scope)).status_code == 403
    assert site.http.get("/api/v1/tokens").status_code == 401
    made = site.http.post("/api/v1/tokens", headers=admin, json={"name": "ci", "scopes": ["run"]})
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    secret, id = made.json()["secret"], made.json()["id"]
    mine = {"Authorization": f"Bearer {secret}"}
    assert site.http.get("/api/v1/executions", headers=mine).status_code == 200
    listed = site.http.get("/api/v1/tokens", headers=admin)
    assert id in [one["id"] for one in listed.json()["items"]]
    assert secret not in listed.text
    assert site.http.delete(f"/api/v1/tokens/{id}", headers=admin).status_code == 204
    assert site.http.get("/api/v1/executions", headers=mine).status_code == 401
    assert site.http.delete(f"/api/v1/tokens/{id}", headers=admin).status_code == 404


@pytest.mark.parametrize("body", [{"name": "", "scopes": ["run"]}, {"name": "x", "scopes": []},
                                  {"name": "x", "scopes": ["root"]},
                                  {"name": "x", "scopes": ["run"], "expires_at": "2020-01-01T00:00:00Z"}])  # fmt: skip
def test_odd_tokens_are_not_made(site: Site, body: object) -> None:
    assert site.http.post("/api/v1/tokens", headers=site.bearer("admin"), json=body).status_code == 422


def last_used(site: Site, name: str) -> datetime | None:
    with site.store.begin() as work:
        return next(one.last_used_at for one in work.tokens.list() if one.name == name)


def test_when_a_token_was_used_is_noted_once_a_minute(site: Site, tmp_path: Path) -> None:
    assert last_used(site, "reader") is None
    before = datetime.now(UTC) - timedelta(seconds=1)
    site.http.get("/api/v1/executions", headers=site.bearer("read"))
    first = last_used(site, "reader")
    assert first is not None
    assert before <= first <= datetime.now(UTC) + timedelta(seconds=1)
    site.http.get("/api/v1/executions", headers=site.bearer("read"))
    assert last_used(site, "reader") == first, "a write for each call would be too many"
    with sqlite3.connect(tmp_path / "refit.db") as rows:
        rows.execute("update tokens set last_used_at = last_used_at - 61")
    site.http.get("/api/v1/executions", headers=site.bearer("read"))
    again = last_used(site, "reader")
    assert again is not None
    assert again >= first
    listed = site.http.get("/api/v1/tokens", headers=site.bearer("admin")).json()["items"]
    assert datetime.fromisoformat(next(one["last_used_at"] for one in listed if one["name"] == "reader")) == again


@pytest.mark.parametrize("who", ["expired", "revoked"])
def test_a_token_that_opens_nothing_is_not_used(site: Site, who: str) -> None:
    site.http.get("/api/v1/executions", headers=site.bearer(who))
    assert last_used(site, {"expired": "old", "revoked": "gone"}[who]) is None


def test_a_token_ends_at_its_moment(site: Site) -> None:
    for seconds, status in ((60, 200), (0, 401)):
        secret, token = new_token("short", ["read"], NOW, datetime.now(UTC) + timedelta(seconds=seconds))
        with site.store.begin() as work:
            work.tokens.add(token)
        answer = site.http.get("/api/v1/executions", headers={"Authorization": f"Bearer {secret}"})
        assert answer.status_code == status
