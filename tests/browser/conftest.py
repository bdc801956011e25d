"""Owns Debian's Chromium and a seeded site on a real port; refuses a browser that anything else uses."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, sync_playwright

from tests.conftest import absent
from tests.web.site import Site, opened

_QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync",
          "--disable-component-update")  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """A site, and where a browser finds it."""

    site: Site
    url: str


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        absent("chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=list(_QUIET))
        yield started
        started.close()


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A seeded site that tests only read, or change where no other test looks."""
    with showing(tmp_path_factory.mktemp("shown")) as made:
        yield made


@contextmanager
def showing(folder: Path) -> Iterator[Shown]:
    """A seeded site on a real port."""
    with opened(folder) as site:
        server = uvicorn.Server(uvicorn.Config(site.http.app, port=0, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        yield Shown(site, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
        server.should_exit = True
        thread.join()
