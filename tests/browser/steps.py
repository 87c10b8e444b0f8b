"""What people do on pages, for tests of them."""

import re
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Error, Page, expect

CASE = re.compile(r"/cases/(\d+)")


def watched(browser: Browser, contexts: list[BrowserContext], said: list[str], **options: Any) -> Page:
    """Open a page of a browser of its own; what it throws, and what breaks its policy, is noted in `said`."""
    context = browser.new_context(**options)
    contexts.append(context)
    page = context.new_page()
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    return page


def leave(contexts: list[BrowserContext]) -> None:
    """Close contexts of a browser, each of whose pages goes to an empty one first.

    Chromium may never close one whose page is just on its way to another, and Playwright waits for it without end.
    """
    for context in contexts:
        for page in context.pages:
            try:
                page.goto("about:blank")
            except Error:  # what a key had begun came between
                page.wait_for_load_state()
                page.goto("about:blank")
        context.close()


def type_into(page: Page, *fields: str) -> None:
    """Type into the fields of a form one after the other, the first of which has the focus, and send it."""
    for place, text in enumerate(fields):
        if place:
            page.keyboard.press("Tab")
        page.keyboard.type(text)
    page.keyboard.press("Enter")


def take_next(page: Page) -> int:
    """Lock the next case by its key, and return its number."""
    page.keyboard.press("n")
    page.wait_for_url(CASE)
    return case_of(page)


def case_of(page: Page) -> int:
    """Return the number of the case that a page shows."""
    found = CASE.search(page.url)
    assert found is not None, page.url
    return int(found[1])


def give(page: Page, key: str) -> None:
    """Give a verdict in two keys and wait for what comes next."""
    before = page.url
    page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_function("(before) => location.href !== before", arg=before)
    page.wait_for_load_state()


def save_rules(page: Page, was: str, becomes: str, note: str, *, fault: str = "") -> None:
    """Change a clause of the rules in use and save a version; with `fault`, a wrong word of it, mend that first."""
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url("**/rules")
    editor = page.locator("#rules-text")
    plain = editor.input_value()
    assert was in plain
    if fault:
        name = was.partition(" ")[0]
        editor.fill(plain.replace(was, was.replace(name, fault)))
        expect(page.locator("#faults pre .ruled")).to_have_text(fault)
    editor.fill(plain.replace(was, becomes))
    expect(page.locator("#faults")).to_contain_text("No fault")
    page.get_by_label("What changes, and why").fill(note)
    page.get_by_role("button", name="Save as a version").click()
    page.wait_for_url(re.compile("/rules/.+"))
