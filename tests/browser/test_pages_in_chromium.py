"""The pages as a person meets them: a real browser, light and dark, wide and narrow, with and without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, expect

from tests.browser.conftest import Shown
from tests.web.site import FOURTH, THIRD
from tests.web.test_pages import PAGES

LOOKS: dict[str, dict[str, Any]] = {
    "wide and light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "narrow and dark": {"viewport": {"width": 420, "height": 900}, "color_scheme": "dark"},
}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


@contextmanager
def at(browser: Browser, url: str, **look: Any) -> Iterator[tuple[Page, list[str]]]:
    """The page, and everything that the browser complained about: refused scripts and styles, errors, missing files."""
    context = browser.new_context(**look)
    page = context.new_page()
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"{request.url} failed") if is_missed(request) else None)
    page.on("dialog", lambda dialog: complaints.append(f"a dialog says {dialog.message}"))
    page.goto(url)
    yield page, complaints
    context.close()


def is_missed(request: Request) -> bool:
    """Not a stream that the page itself has left."""
    return request.resource_type != "eventsource" or request.failure != "net::ERR_ABORTED"


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_a_page_fits_is_accessible_and_raises_no_complaint(
    browser: Browser, shown: Shown, path: str, look: dict[str, Any]
) -> None:
    with at(browser, shown.url + path, **look) as (page, complaints):
        page.wait_for_load_state("networkidle")
        assert complaints == []
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, "it scrolls sideways"
        found = Axe().run(page, options=RULES)
        assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("path", ["/", f"/executions/{THIRD}", "/models"])
def test_a_page_needs_no_javascript(browser: Browser, shown: Shown, path: str) -> None:
    with at(browser, shown.url + path, java_script_enabled=False) as (page, complaints):
        expect(page.locator("h1")).to_be_visible()
        expect(page.locator("section.card").first).to_be_visible()
        assert complaints == []


def test_one_walks_from_the_list_to_the_failure_and_its_log(browser: Browser, shown: Shown) -> None:
    with at(browser, f"{shown.url}/?status=failed") as (page, complaints):
        page.locator("table a.strong").first.click()
        expect(page.locator(".lead")).to_contain_text("train failed.")
        expect(page.locator("pre.log")).to_contain_text("ValueError: no")
        page.get_by_role("link", name="the evidence, part by part").click()
        expect(page.locator("h1")).to_be_visible()
        assert "/commits/" in page.url
        assert complaints == []


def test_an_open_page_follows_what_happens_without_being_loaded_again(browser: Browser, shown: Shown) -> None:
    with at(browser, f"{shown.url}/executions/{FOURTH}") as (page, complaints):
        expect(page.locator(".lead")).to_contain_text("Waits for approval")
        page.evaluate("window.sameDocument = true")
        answer = shown.site.http.post(f"/api/v1/executions/{FOURTH}/cancel", headers=shown.site.bearer("run"))
        assert answer.status_code == 202
        expect(page.locator("main")).to_contain_text("cancelled by runer", timeout=20_000)
        assert page.evaluate("window.sameDocument") is True
        assert complaints == []
