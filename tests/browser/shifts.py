"""How far pages move by themselves while alerts come, are decided and are learned from: cumulative layout shift.

    python -m tests.browser.shifts [--seconds 60]

Four pages of people who have signed in stand open: a queue, a decided case whose label is on its way, the team's and
the model's. Meanwhile alerts come, a colleague decides others, and chargebacks become known. Told is the sum of all
shifts that no input of theirs has caused, by page (https://web.dev/articles/cls sums those of 5 seconds at most).
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from fraud.core.records import Action
from tests.browser.real import Running, now, running
from tests.review.seeding import alerted, case_of, chargeback, decided, take

MOVED = """
window.moved = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.moved += entry.value;
}).observe({type: "layout-shift", buffered: true});
"""
"""Notes how far anything moved by itself."""
FIRST = 5_000
"""The number of the first payment that comes: beyond those of the month that the site begins with."""


def shifts(found: Running, goes_on: Callable[[int], bool]) -> dict[str, float]:
    """Return how far each page has moved while alerts came, one after the other, for as long as `goes_on` of them."""
    pages = _opened(found)
    for number in count():
        if not goes_on(number):
            break
        _happen(found, FIRST + 2 * number)
        expect(pages["queue"].locator("#fresh")).to_contain_text(f"{number + 1} new")
    return {name: float(page.evaluate("window.moved")) for name, page in pages.items()}


def _opened(found: Running) -> dict[str, Page]:
    """Open the pages, each of somebody else."""
    done = alerted(found.site, FIRST - 1, now=now())
    decided(found.site, done, by="ben", now=now())
    case = f"/cases/{case_of(found.site, done)}"
    paths = {"queue": "/queue", "case": case, "team": "/team", "model": "/model"}
    people = {"queue": "anna", "case": "ben", "team": "lea", "model": "max"}
    pages = {}
    for name, path in paths.items():
        page = pages[name] = found.person(people[name])
        page.add_init_script(MOVED)
        page.goto(found.address + path)
        page.wait_for_function("window.moved !== undefined")
    expect(pages["queue"].locator("#live")).to_contain_text("live")
    return pages


def _happen(found: Running, number: int) -> None:
    """Let an alert come, another one be decided by a colleague, and what became of it be known."""
    alerted(found.site, number, now=now())
    other = alerted(found.site, number + 1, Action.DECLINE, now=now())
    decided(found.site, other, by="cleo", now=now())
    take(found.site, chargeback(number + 1))


@contextmanager
def started() -> Iterator[Browser]:
    """Start Debian's Chromium while a block runs."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


def main() -> None:
    """Run it for a while."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.shifts", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as name, started() as browser, running(Path(name), browser) as found:
        until = time.monotonic() + seconds
        told = shifts(found, lambda _: bool(time.monotonic() < until))
    moved = {name: round(far, 4) for name, far in told.items()}
    print(json.dumps({"seconds": seconds, "shift": moved}))


if __name__ == "__main__":
    main()
