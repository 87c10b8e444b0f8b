"""The console as it is, with a month of a small shop in its database, behind a real web server."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from anyio import CapacityLimiter
from playwright.sync_api import Browser, BrowserContext, Page, expect
from sqlalchemy import update

from fraud.core.records import SECOND
from fraud.dashboard.app import create_app
from fraud.dashboard.console import Console, Doors
from fraud.dashboard.live import Live
from fraud.dashboard.pages import Pages
from fraud.dashboard.security import Cookies
from fraud.dashboard.wire import DeskWire
from fraud.review.accounts import Accounts
from fraud.review.audit import Audit
from fraud.review.codes import Codes
from fraud.review.database import Database
from fraud.review.federation import Federation
from fraud.review.passwords import Passwords
from fraud.review.tables import account
from streaming.settings import ServiceSettings, changed
from tests.browser.steps import leave, type_into, watched
from tests.dashboard.listening import listening
from tests.dashboard.site import CHEAP, PASSWORD, TERMS, Ready
from tests.databases import SQLITE, new_database
from tests.review.seeding import KEY, NOW, Site, realistic, site_of

STARTED = time.monotonic_ns()


def now() -> int:
    """Return the wall clock of the seeded site: it goes on from when the month ended."""
    return NOW + SECOND + time.monotonic_ns() - STARTED


class Running(NamedTuple):
    """A console that is served, and its seeded site."""

    site: Site
    address: str
    browser: Browser
    contexts: list[BrowserContext]
    said: list[str]
    live: Live

    def person(self, name: str, width: int = 1280, height: int = 800, **options: Any) -> Page:
        """Return the page of somebody who has signed in, by keyboard alone."""
        size: Any = {"width": width, "height": height}
        page = watched(self.browser, self.contexts, self.said, viewport=size, **options)
        page.goto(f"{self.address}/sign-in")
        expect(page.locator("[name=email]")).to_be_focused()
        type_into(page, f"{name}@example.org", PASSWORD)
        page.wait_for_url("**/queue*")
        return page


@contextmanager
def running(folder: Path, browser: Browser, **review: Any) -> Iterator[Running]:
    """Serve a console of its own until left; at the end no page has thrown or broken its policy."""
    database = new_database(SQLITE, folder)
    site = realistic(site_of(database, **review))
    app = application(site)
    with listening(app) as port:
        found = Running(site, f"http://127.0.0.1:{port}", browser, [], [], app.state.console.live)
        try:
            yield found
        finally:
            leave(found.contexts)
    database.close()
    assert found.said == []


def application(site: Site) -> Any:
    """Return the application of a seeded site; everybody has the same password."""
    settings = changed(ServiceSettings(), "console")
    with_passwords(site.database)
    pages = Pages()
    journal = Audit(KEY).append
    accounts = Accounts(site.database, Passwords(CHEAP), TERMS, journal)
    doors = Doors(
        accounts, Codes(site.database, TERMS, journal, KEY), Federation(site.database, TERMS, journal), None,
        CapacityLimiter(2),
    )  # fmt: skip
    live = Live(DeskWire(site.database, site.desk, pages, "EUR", now), 0.05, 50, 4)
    return create_app(Console(site.desk, doors, pages, live, Ready(), settings, Cookies(False), now))


def with_passwords(database: Database) -> None:
    """Give everybody the password of the tests."""
    with database.write() as connection:
        connection.execute(update(account).values(password=Passwords(CHEAP).hashed(PASSWORD)))
