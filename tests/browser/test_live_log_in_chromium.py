"""A running step's log in a real browser: it grows line by line, the page moves with it, and nothing is loaded again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Shown, showing
from tests.browser.test_pages_in_chromium import at
from tests.running import ID, Running
from tests.web.site import SECOND

LONG = 30_000


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Shown]:
    with showing(tmp_path) as made:
        yield made


def texts(page: Page) -> list[str]:
    """Every line of the log as shown, without its number and time."""
    rows: list[str] = page.locator("pre.log .row").all_text_contents()
    return [row.split("  ", 2)[2].strip() if row.count("  ") > 1 else row for row in (row.strip() for row in rows)]


def test_the_log_grows_and_the_page_moves_on(browser: Browser, fresh: Shown) -> None:
    running = Running(fresh.site, SECOND)
    running.write("one")
    with at(browser, f"{fresh.url}/executions/{ID}") as (page, complaints):
        log = page.locator("pre.log")
        expect(log).to_contain_text("one")
        page.evaluate("window.sameDocument = true")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        running.write("two <b>bold</b>")
        expect(log).to_contain_text("two <b>bold</b>", timeout=LONG)
        assert texts(page) == ["one", "two <b>bold</b>"]
        assert not [url for url in asked if url.endswith(f"/executions/{ID}")], "the page itself was not asked for"

        running.attempt(2)
        running.write("once more")
        expect(log).to_contain_text("once more", timeout=LONG)
        expect(log).not_to_contain_text("one", timeout=LONG)

        running.end("train")
        expect(page.locator("table").first).to_contain_text("succeeded", timeout=LONG)
        running.end_all()
        expect(page.locator(".lead")).to_contain_text("Done.", timeout=LONG)
        expect(page.locator("main[data-live]")).to_have_count(0)
        assert page.evaluate("window.sameDocument") is True
        assert complaints == []


def test_a_reader_who_scrolled_up_is_left_where_they_are(browser: Browser, fresh: Shown) -> None:
    running = Running(fresh.site, SECOND)
    for number in range(200):
        running.write(f"line {number}")
    with at(browser, f"{fresh.url}/executions/{ID}") as (page, complaints):
        log = page.locator("pre.log")
        expect(log).to_contain_text("line 199")
        log.evaluate("log => { log.scrollTop = 40; }")
        running.write("the next")
        expect(log).to_contain_text("the next", timeout=LONG)
        assert log.evaluate("log => log.scrollTop") == 40
        log.evaluate("log => { log.scrollTop = log.scrollHeight; }")
        running.write("the last")
        expect(log).to_contain_text("the last", timeout=LONG)
        assert log.evaluate("log => log.scrollTop + log.clientHeight >= log.scrollHeight - 8")
        assert complaints == []


def test_without_javascript_the_log_is_there_and_looked_at_again(browser: Browser, fresh: Shown) -> None:
    running = Running(fresh.site, SECOND)
    running.write("one")
    with at(browser, f"{fresh.url}/executions/{ID}", java_script_enabled=False) as (page, complaints):
        expect(page.locator("pre.log")).to_contain_text("one")
        running.write("two")
        expect(page.locator("pre.log")).to_contain_text("two", timeout=LONG)
        assert complaints == []
