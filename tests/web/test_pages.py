"""The pages: complete without JavaScript, true to the API, and deaf to what a branch name or a log says."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from tests.web.site import (
    BROKEN,
    FIRST,
    FOURTH,
    GOOD,
    HOSTILE,
    README,
    SECOND,
    THIRD,
    Site,
    commit,
    digest,
    git,
    opened,
)

PAGES = {
    "executions": "/",
    "filtered": f"/?branch={HOSTILE}&repository=%22%3E%3Cscript%3E&status=failed,running",
    "failed": f"/executions/{THIRD}",
    "step": f"/executions/{THIRD}?step=evaluate",
    "reused": f"/executions/{SECOND}?step=preprocess",
    "waiting": f"/executions/{FOURTH}?step=%3Cscript%3E",
    "commit": f"/commits/{GOOD}",
    "broken commit": f"/commits/{BROKEN}",
    "promoted commit": f"/commits/{README}",
    "deliveries": "/deliveries",
    "lineage": "/lineage",
    "lineage of a model": "/lineage?model=price/1",
    "lineage of a commit": f"/lineage?commit={README}",
    "lineage of a metric": f"/lineage?result={FIRST}.evaluate.1&metric=rmse",
    "models": "/models",
    "trends": "/trends",
    "trends of a hostile branch": f"/trends?branch={HOSTILE}",
}


class _Reading(HTMLParser):
    """Tags and attributes as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def read(site: Site, path: str) -> _Reading:
    answer = site.http.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    return _Reading(answer.text)


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_nothing_hostile_becomes_markup(looked_at: Site, path: str) -> None:
    page = read(looked_at, path)
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert scripts == [{"src": "/static/app.js", "defer": ""}]
    for tag, attributes in page.tags:
        assert tag not in ("img", "iframe", "object", "style", "base"), tag
        assert "style" not in attributes, "the CSP blocks it"
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "src", "action"):
            assert re.match(r"(/(?!/)|\?|#|$)", attributes.get(name, "")), attributes[name]
    assert "49" not in re.findall(r"onerror=alert\(2\)>(..)", page.text), "no template in a template"


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_a_page_is_well_formed_and_reachable_by_keyboard_and_reader(looked_at: Site, path: str) -> None:
    page = read(looked_at, path)
    tags = [tag for tag, _ in page.tags]
    assert (tags.count("h1"), tags.count("main"), tags.count("title") >= 1) == (1, 1, True)
    assert ("html", {"lang": "en"}) in page.tags
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id", "tip") != "tip"]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.tags:
        assert tag != "svg" or attributes["aria-label"]


@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_every_link_of_a_page_leads_somewhere(looked_at: Site, path: str) -> None:
    links = {attributes["href"] for tag, attributes in read(looked_at, path).tags if tag == "a"}
    for link in sorted(links):
        target = path.partition("?")[0] + link if link.startswith("?") else link
        if not link.startswith("#"):
            assert looked_at.http.get(target).status_code == 200, f"{path}: {target}"


def test_the_list_shows_what_ran_and_what_was_reused(looked_at: Site) -> None:
    text = read(looked_at, "/").text
    assert "3 reused" in text
    assert "1 reused, 1 failed, 1 blocked" in text
    assert HOSTILE in text
    assert "First commit" not in read(looked_at, "/?status=failed").text


def test_older_executions_keep_the_filter(looked_at: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
    links = [a.get("href", "") for tag, a in read(looked_at, "/?branch=main").tags if tag == "a"]
    assert not [link for link in links if "cursor" in link]


def test_a_failure_comes_first_with_its_log(looked_at: Site) -> None:
    page = read(looked_at, f"/executions/{THIRD}")
    assert page.text.index("train failed") < page.text.index("Timeline")
    for words in ("exit code 1", "ValueError: no", "Log of train", "not started: blocked", "No longer declared: old-step",
                  "parameter train.rate: 0.1 → 0.05", f"a note {HOSTILE}"):  # fmt: skip
        assert words in page.text, words
    assert "\x1b" not in looked_at.http.get(f"/executions/{THIRD}").text


def test_a_reused_step_shows_its_makers_log(looked_at: Site) -> None:
    text = read(looked_at, PAGES["reused"]).text
    assert "53940 rows" in text
    assert "which made the reused result" in text
    assert "Nothing had to run." in text


def test_a_live_page_looks_again_and_a_finished_one_does_not(looked_at: Site) -> None:
    live, done = looked_at.http.get(f"/executions/{FOURTH}").text, looked_at.http.get(f"/executions/{FIRST}").text
    assert "data-live" in live
    assert 'http-equiv="refresh"' in live
    assert "data-live" not in done
    assert "Waits for approval: from a fork." in live


def test_a_commit_shows_the_evidence(looked_at: Site) -> None:
    text = read(looked_at, f"/commits/{BROKEN}").text
    assert "parameter train.rate 0.1 0.05 changed" in text
    assert f"{digest('old')[:10]} {digest('train source')[:10]} changed" in text
    kept = read(looked_at, f"/commits/{README}").text
    assert "Satisfied by earlier results" in kept
    assert "0.05 0.05 same" in kept


def test_a_commit_shows_the_files_as_git_has_them(site: Site) -> None:
    commit(site.git, {"README.md": "words", "train.py": "print(4)\n"})
    run, head = site.bearer("run"), git(site.git, "rev-parse", "HEAD")
    assert site.http.post("/api/v1/plans", headers=run, json={"repository": "acme/diamonds", "head": "main"}).is_success
    base = git(site.git, "rev-parse", "HEAD~1")
    with site.store.begin() as work:
        one = work.executions.get(FIRST)
        assert one is not None
        object.__setattr__(one, "id", "0000000009z")
        object.__setattr__(one, "commit", head)
        object.__setattr__(one, "base", base)
        object.__setattr__(one, "steps", tuple(_untried(step) for step in one.steps))
        work.executions.add(one)
    text = read(site, f"/commits/{head}").text
    assert f"2 files since {base[:10]}" in text
    assert "README.md added no component" in text
    assert "train.py modified train" in text


def _untried(step: object) -> object:
    object.__setattr__(step, "attempts", ())
    return step


def test_lineage_is_drawn_and_listed(looked_at: Site) -> None:
    text = read(looked_at, "/lineage?model=price/1").text
    for words in ("Lineage of price/1", "price v1", "diamonds/train", "d.csv", "The same as a table", "rmse = 534.2"):
        assert words in text, words


def test_trends_draw_each_metric(looked_at: Site) -> None:
    text = read(looked_at, "/trends").text
    for words in ("rmse now 534.2", "r2 now 0.98", "the line is main"):
        assert words in text, words


def test_pages_of_an_empty_site_say_what_to_do(tmp_path_factory: pytest.TempPathFactory) -> None:
    with opened(tmp_path_factory.mktemp("empty"), seeded=False) as site:
        for path, words in {"/": "refit run", "/deliveries": "/webhooks/github", "/lineage": "register:",
                            "/trends": "metrics:"}.items():  # fmt: skip
            assert words in read(site, path).text


def test_static_files_are_ours(looked_at: Site) -> None:
    for path, kind in {
        "/static/style.css": "text/css",
        "/static/app.js": "javascript",
        "/static/icon.svg": "svg",
    }.items():
        answer = looked_at.http.get(path)
        assert answer.status_code == 200
        assert kind in answer.headers["Content-Type"]
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in answer.text
