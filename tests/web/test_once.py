"""Idempotency-Key: whatever happens on the way, an act is done once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from service.adapters.database.unit_of_work import Database
from service.ports.store import Work
from tests.records import nothing
from tests.web.hostile import SECRET, request
from tests.web.served import Served, served
from tests.web.site import FIRST, FOURTH, Site, opened

CANCEL = f"/api/v1/executions/{FOURTH}/cancel"
TOKENS = "/api/v1/tokens"


@pytest.fixture(params=["sqlite", "postgres"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgres").create()
    with opened(tmp_path, url) as made:
        yield made


def act(site: Site, path: str = CANCEL, *, key: str = "k", who: str = "run", body: object = None, **more: str) -> Any:
    headers = {**site.bearer(who), "Idempotency-Key": key, **more}
    return site.http.post(path, headers=headers, **({} if body is None else {"json": body}))


def test_asked_twice_done_once_answered_twice(both: Site) -> None:
    first, again = act(both), act(both)
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert act(both, key="other").status_code in (202, 409), "another key asks anew"


def test_a_made_thing_is_made_once_and_found_again(both: Site) -> None:
    """Many at once: one is done, the others are told to wait; later all get its answer."""
    body = {"name": "once", "scopes": ["read"]}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: act(both, TOKENS, who="admin", body=body).status_code, range(8)))
    assert sorted(set(answers)) in ([201], [201, 409])
    assert answers.count(201) == 1
    made = [one for one in both.http.get(TOKENS, headers=both.bearer("admin")).json()["items"] if one["name"] == "once"]
    assert len(made) == 1


def test_a_secret_is_neither_kept_nor_shown_twice(site: Site, tmp_path: Path) -> None:
    first = act(site, TOKENS, who="admin", body={"name": "ci", "scopes": ["run"]})
    secret = first.json()["secret"]
    again = act(site, TOKENS, who="admin", body={"name": "ci", "scopes": ["run"]})
    assert (first.status_code, again.status_code) == (201, 409)
    assert "once only" in again.json()["detail"]
    assert secret.encode() not in b"".join(file.read_bytes() for file in tmp_path.glob("refit.db*"))


@pytest.mark.parametrize("change", [{"body": {"components": ["train"]}}, {"path": f"{CANCEL}?x=1"}])
def test_the_same_key_for_another_call_is_a_mistake(site: Site, change: dict[str, Any]) -> None:
    assert act(site).status_code == 202
    answer = act(site, **change)
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    assert "something else" in answer.json()["detail"]


def test_a_key_is_the_callers_and_the_routes_own(site: Site) -> None:
    assert act(site).status_code == 202
    other = act(site, who="admin")
    assert "Idempotency-Replayed" not in other.headers, "somebody else's key is another key"
    elsewhere = act(site, "/api/v1/deliveries/72d3162e-cc78-11e3-81ab-4c9367dc0958/replay")
    assert (elsewhere.status_code, "Idempotency-Replayed" in elsewhere.headers) == (202, False)


def test_a_key_opens_nothing(site: Site) -> None:
    assert act(site).status_code == 202
    for headers in ({}, site.bearer("expired"), site.bearer("revoked"), {"Authorization": "Bearer rft_x"}):
        answer = site.http.post(CANCEL, headers={**headers, "Idempotency-Key": "k"})
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert act(site, who="read").status_code == 403


def test_what_failed_may_be_tried_again(site: Site) -> None:
    one = nothing()
    path = f"/api/v1/deliveries/{one.guid}/replay"
    assert act(site, path).status_code == 404
    with site.store.begin() as work:
        work.deliveries.add([one])
    answer = act(site, path)
    assert (answer.status_code, "Idempotency-Replayed" in answer.headers) == (202, False)
    assert act(site, path).headers["Idempotency-Replayed"] == "true"


class Held:
    """The real store; its second view waits: the first is of who asks, then comes the claim, and then the act itself."""

    def __init__(self, store: Database) -> None:
        self._store = store
        self._views = 0
        self.in_act, self.go_on = threading.Event(), threading.Event()

    def begin(self) -> AbstractContextManager[Work]:
        return self._store.begin()  # type: ignore[return-value]

    def read(self) -> AbstractContextManager[Work]:
        self._views += 1
        if self._views == 2:
            self.in_act.set()
            assert self.go_on.wait(60)
        return self._store.read()  # type: ignore[return-value]


def test_while_it_is_in_work_the_second_is_told_so(site: Site) -> None:
    held = Held(site.store)
    object.__setattr__(site.http.app.state.services, "store", held)  # type: ignore[attr-defined]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(act, site)
        assert held.in_act.wait(60)
        second = act(site)
        held.go_on.set()
        assert (second.status_code, second.headers["Retry-After"]) == (409, "1")
        assert "has no answer yet" in second.json()["detail"]
        assert first.result().status_code == 202
    assert act(site).headers["Idempotency-Replayed"] == "true"


def test_what_ended_in_a_bug_is_not_done_again(site: Site) -> None:
    """Nobody knows how far it came."""
    object.__setattr__(site.http.app.state.services, "scheduler", None)  # type: ignore[attr-defined]
    http = TestClient(site.http.app, raise_server_exceptions=False)
    path, headers = f"/api/v1/executions/{FIRST}/rerun", {**site.bearer("run"), "Idempotency-Key": "k"}
    assert [http.post(path, headers=headers).status_code for _ in range(2)] == [500, 409]


def test_a_day_later_it_is_another_call(site: Site, tmp_path: Path) -> None:
    assert act(site).status_code == 202
    for seconds, replayed in ((86_000, True), (500, False)):
        with sqlite3.connect(tmp_path / "refit.db") as rows:
            assert rows.execute("update answers set begun_at = begun_at - ?", (seconds,)).rowcount == 1
        assert ("Idempotency-Replayed" in act(site).headers) is replayed


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256, "a\tb"])
def test_an_odd_key_is_refused(site: Site, key: str) -> None:
    answer = site.http.post(CANCEL, headers=[("Authorization", f"Bearer {site.tokens['run']}"),
                                             ("Idempotency-Key", key.encode("latin-1"))])  # fmt: skip
    assert answer.status_code == 422
    assert site.get(f"/executions/{FOURTH}")["cancelled"] == ""


def test_reading_and_planning_act_on_nothing(looked_at: Site) -> None:
    for _ in range(2):
        answer = looked_at.http.post(
            "/api/v1/plans", headers={"Idempotency-Key": "k"}, json={"repository": "acme/diamonds", "head": "main"}
        )
        assert (answer.status_code, "Idempotency-Replayed" in answer.headers) == (200, False)
        read = looked_at.http.get("/api/v1/executions", headers={"Idempotency-Key": "k"})
        assert (read.status_code, "Idempotency-Replayed" in read.headers) == (200, False)


def test_it_is_remembered_across_a_restart(tmp_path: Path) -> None:
    settings = {"REFIT_WEBHOOK_SECRET": SECRET.decode()}
    guid = "0b989ba4-242f-11e5-81e1-c7b6966d2516"
    with served(tmp_path, **settings) as service:
        assert service.send([request(b"{}", X_GitHub_Event="ping", X_GitHub_Delivery=guid)]).status == 202
        bearer = service.bearer("run")
        first = _replay(service, bearer, guid)
    with served(tmp_path, **settings) as service:
        again = _replay(service, bearer, guid)
    assert (first.status_code, first.content) == (202, again.content)
    assert again.headers["Idempotency-Replayed"] == "true"


def _replay(service: Served, bearer: dict[str, str], guid: str) -> httpx.Response:
    headers = {**bearer, "Idempotency-Key": "k"}
    return httpx.post(f"{service.url}/api/v1/deliveries/{guid}/replay", headers=headers, timeout=60.0)
