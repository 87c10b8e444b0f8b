"""A real browser, and what it must never say."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright

from tests.browser.served import Open, Served, serving
from tests.browser.shifts import MOVED
from tests.browser.steps import leave

expect.set_options(timeout=20_000)  # a busy machine takes its time; nothing here is measured by it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of this folder last: Playwright's loop runs in this thread to the end, and no other can begin."""
    mine = [item for item in items if item.path.is_relative_to(Path(__file__).parent)]
    others = [item for item in items if not item.path.is_relative_to(Path(__file__).parent)]
    items[:] = others + mine


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium, or skip with the reason."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("chromium is not here: apt-get install chromium")
    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except Error as error:
            pytest.skip(f"chromium does not start: {error}")
        yield started
        started.close()


@pytest.fixture
def served() -> Iterator[Served]:
    """Serve filled views."""
    with serving() as server:
        yield server


@pytest.fixture
def opened(browser: Browser, served: Served) -> Iterator[Open]:
    """Open pages of filled views; at the end none has thrown or broken its policy, which the browser calls an error."""
    contexts: list[BrowserContext] = []
    said: list[str] = []

    def open_page(path: str, width: int = 1280, height: int = 800, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.add_init_script(MOVED)
        page = context.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.goto(served.address + path)
        return page

    yield open_page
    leave(contexts)
    assert said == []
