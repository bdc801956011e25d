"""A commit that many pipelines do not care about: no execution is its own, and still it leads to what stands for it."""

from __future__ import annotations

import hashlib

from service.domain.lineage import Standing
from tests.web.site import FIRST, GOOD, NOW, REPOSITORY, SECOND, Site

IDLE = hashlib.sha1(b"idle").hexdigest()


def leave_alone(site: Site, commit: str = IDLE, *fresh: str) -> None:
    with site.store.begin() as work:
        work.standings.add(
            Standing(
                f"zz-{commit}", REPOSITORY, "refs/heads/main", commit, "t", NOW,
                {"diamonds": FIRST, "<b>other": SECOND}, frozenset(fresh),
            )
        )  # fmt: skip


def test_a_commit_without_executions_of_its_own_is_known(site: Site) -> None:
    assert site.http.get(f"/api/v1/commits/{IDLE}").status_code == 404
    leave_alone(site)
    found = site.get(f"/commits/{IDLE}")
    assert found["standing"] == {"<b>other": SECOND, "diamonds": FIRST}
    assert found["executions"] == found["results"] == found["promotions"] == []


def test_what_has_an_execution_of_its_own_is_not_left_alone(site: Site) -> None:
    assert site.get(f"/commits/{GOOD}")["standing"] == {}
    leave_alone(site, GOOD, "diamonds")
    found = site.get(f"/commits/{GOOD}")
    assert found["standing"] == {"<b>other": SECOND}
    assert [one["id"] for one in found["executions"]] == [FIRST]


def test_its_lineage_is_that_of_what_stands_for_it(site: Site) -> None:
    assert site.http.get(f"/api/v1/lineage?commit={IDLE}").status_code == 404
    leave_alone(site)
    nodes = {node["id"] for node in site.get("/lineage", commit=IDLE)["nodes"]}
    of_good = {node["id"] for node in site.get("/lineage", commit=GOOD, direction="upstream")["nodes"]}
    assert {f"result:{FIRST}.{name}.1" for name in ("preprocess", "train", "evaluate")} <= of_good
    assert of_good <= nodes


def test_its_page_says_so_and_links_there(site: Site) -> None:
    leave_alone(site)
    page = site.http.get(f"/commits/{IDLE}")
    assert page.status_code == 200
    assert "Nothing to run" in page.text
    assert f'href="/executions/{FIRST}"' in page.text
    assert "&lt;b&gt;other" in page.text
    assert "Left alone" not in site.http.get(f"/commits/{GOOD}").text
