"""A console behind a real web server, and one browser's worth of requests to it, each with the time that it took."""

import gzip
import http.client
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlencode

from anyio import CapacityLimiter

from fraud.dashboard.app import create_app
from fraud.dashboard.console import Console, Doors
from fraud.dashboard.health import ProcessHealth
from fraud.dashboard.live import Live
from fraud.dashboard.pages import Pages
from fraud.dashboard.projector import Figures
from fraud.dashboard.publisher import Sent
from fraud.dashboard.security import SESSION, Cookies
from fraud.dashboard.wire import DeskWire
from fraud.review.accounts import Accounts
from fraud.review.audit import Audit
from fraud.review.codes import Codes
from fraud.review.database import Database
from fraud.review.desk import Desk
from fraud.review.federation import Federation
from fraud.review.library import Library
from fraud.review.passwords import Passwords
from fraud.review.people import Role
from fraud.review.settings import ReviewSection
from fraud.review.tools import Tools
from streaming.settings import ServiceSettings
from tests.bench.console.seeds import NOW
from tests.dashboard.listening import listening
from tests.dashboard.site import CHEAP, KEY, PASSWORD, TERMS

EMAIL = "ann@example.org"
STARTED = time.monotonic_ns()


def now() -> int:
    """Return the wall clock of the seeds, which goes on."""
    return NOW + time.monotonic_ns() - STARTED


class Answer(NamedTuple):
    """What came back: after how long (ms, from the first byte sent to the last one read), with what text, where to."""

    took: float
    text: str
    goes_to: str


class Visitor:
    """Somebody who has signed in: one connection, kept open."""

    def __init__(self, port: int, token: str, csrf: str) -> None:
        """Take the port of the console, the session's token and that of its forms."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._origin, self._csrf = f"http://127.0.0.1:{port}", csrf
        self._headers = {"Cookie": f"fraud-{SESSION}={token}", "Accept": "text/html", "Accept-Encoding": "gzip"}

    def get(self, path: str) -> Answer:
        """Ask for a page."""
        return self._asked("GET", path, None, {})

    def post(self, path: str, **fields: str) -> Answer:
        """Send a form."""
        form = {"Origin": self._origin, "Content-Type": "application/x-www-form-urlencoded"}
        return self._asked("POST", path, urlencode({"csrf": self._csrf, **fields}), form)

    def close(self) -> None:
        """Go away."""
        self._connection.close()

    def _asked(self, method: str, path: str, body: str | None, headers: Mapping[str, str]) -> Answer:
        began = time.perf_counter()
        self._connection.request(method, path, body, {**self._headers, **headers})
        response = self._connection.getresponse()
        content = response.read()
        took = 1_000 * (time.perf_counter() - began)
        if response.status not in (200, 303):
            msg = f"{method} {path}: {response.status} {response.reason}"
            raise RuntimeError(msg)
        text = gzip.decompress(content) if response.headers["Content-Encoding"] == "gzip" else content
        return Answer(took, text.decode(), response.headers.get("Location", ""))


@contextmanager
def visiting(database: Database, library: Library) -> Iterator[Visitor]:
    """Serve a database while a block runs, and yield an analyst who has signed in."""
    desk = Desk(Tools(database, Audit(KEY), ReviewSection(), library))
    journal = desk.tools.audit.append
    accounts = Accounts(database, Passwords(CHEAP), TERMS, journal)
    codes, federation = Codes(database, TERMS, journal, KEY), Federation(database, TERMS, journal)
    doors = Doors(accounts, codes, federation, None, CapacityLimiter(2))
    pages = Pages()
    wire = DeskWire(database, desk, pages, "EUR", now)
    live = Live(wire, 0.2, 500, 4)
    health = ProcessHealth(database, Figures(), Sent(), live, wire.heard_at)
    settings = ServiceSettings()
    console = Console(desk, doors, pages, live, health, settings, Cookies(False), now)
    token = accounts.accept(accounts.invite(Role.ANALYST, now(), email=EMAIL), "Ann", EMAIL, PASSWORD, now()).token
    session = accounts.session(token, now())
    assert session is not None
    with listening(create_app(console)) as port:
        visitor = Visitor(port, token, session.csrf)
        try:
            yield visitor
        finally:
            visitor.close()
