"""A console for tests: real accounts in a real database, a desk that answers with samples, a browser."""

import asyncio
import contextlib
import html
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import httpx
import msgspec
from anyio import CapacityLimiter
from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy import Connection

from fraud.core.fields import Duration
from fraud.core.records import HOUR, MINUTE
from fraud.dashboard.app import create_app
from fraud.dashboard.console import Console, Doors
from fraud.dashboard.live import Live, Noted
from fraud.dashboard.oidc import Provider
from fraud.dashboard.security import Cookies
from fraud.review import case_views, page_views, views
from fraud.review.accounts import Accounts
from fraud.review.attempts import Limits
from fraud.review.codes import Codes
from fraud.review.columns import metadata
from fraud.review.database import Database
from fraud.review.federation import Federation
from fraud.review.passwords import Passwords
from fraud.review.people import Role
from fraud.review.sessions import Terms
from streaming.settings import ServiceSettings, changed
from tests.dashboard.sampled import sampled

NOW = 1_790_000_000_000_000_000
ORIGIN = "http://console.test"
PASSWORD = "correct horse battery"
KEY = bytes(range(32))
TERMS = Terms(30 * MINUTE, 12 * HOUR, HOUR, Limits(5, 20, Duration(15 * MINUTE)))
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
RETURNS: dict[str, Any] = {
    "queue": views.QueuePage, "case": case_views.CaseView, "graph": case_views.GraphView, "timeline": views.Timeline,
    "dossier": case_views.Dossier, "decide": views.Decided, "undo": views.Undone, "lock": views.Owner,
    "renew": views.Owner, "escalate": views.Decided, "change_view": views.SavedView,
    "bulk_preview": views.BulkPreview, "bulk": views.Decided, "save_view": views.SavedView,
    "search": views.SearchView, "entity": views.EntityView, "team": page_views.TeamView, "model": page_views.ModelView,
    "rules": page_views.RulesView, "difference": page_views.RulesDiff, "check": page_views.Checked,
    "save_rules": page_views.RuleVersion, "activate": page_views.Activated, "rollback": page_views.Activated,
    "confirm_activation": page_views.Activated, "audit": page_views.AuditView,
}  # fmt: skip


class SampleDesk:
    """A desk whose every answer is a sample; it notes what it was asked. `raises` is raised by the function named,
    and `gives` is what it gives in place of a sample.
    """

    def __init__(self, text: str = "x") -> None:
        self.text = text
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.named: list[dict[str, Any]] = []
        self.raises: dict[str, Exception] = {}
        self.gives: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def answer(*given: Any, **named: Any) -> Any:
            self.asked.append((name, given))
            self.named.append(named)
            if name in self.raises:
                raise self.raises[name]
            plain: dict[str, Any] = {
                "next": 7, "skip": 7, "assign": 3, "tag_all": 3, "reveal": self.text,
                "csv": iter([f"card\r\n{self.text}\r\n"]),
            }  # fmt: skip
            if name in self.gives:
                return self.gives[name]
            return plain.get(name) or (sampled(RETURNS[name], self.text) if name in RETURNS else None)

        return answer


class PlainPages:
    """Pages without a look: the record's texts, escaped."""

    def __init__(self, static: Path) -> None:
        self.static = static

    def render(self, name: str, view: msgspec.Struct | None, scene: Any) -> str:
        csrf = scene.reader.csrf if scene.reader is not None else getattr(view, "csrf", "")
        shown = html.escape(msgspec.json.encode(view).decode())
        return f"<h1>{name}</h1><input name=csrf value={csrf}><pre>{shown}</pre>{html.escape(scene.secret)}"

    def asset(self, name: str) -> str:
        return f"/static/{name}?v=abc"


class SilentWire:
    """Changes that a test makes."""

    def __init__(self) -> None:
        self.noted: list[Noted] = []
        self.kept_from = 0
        self.rendered: list[int] = []
        self.kinds: dict[int, str] = {}

    def last(self) -> int:
        return self.noted[-1].seq if self.noted else 0

    def since(self, seq: int, most: int) -> Sequence[Noted] | None:
        if seq < self.kept_from:
            return None
        return [one for one in self.noted if one.seq > seq][:most]

    def rows(self, alerts: Sequence[int]) -> Sequence[views.QueueRow]:
        row = msgspec.structs.replace(sampled(views.QueueRow, "row"), status="open")
        return [msgspec.structs.replace(row, alert=alert, kind=self.kinds.get(alert, "held")) for alert in alerts]

    def badges(self) -> Sequence[views.Badge]:
        return [views.Badge("kind", "held", len(self.noted), 5)]

    def row_text(self, row: views.QueueRow) -> str:
        self.rendered.append(row.alert)
        return f"<tr>{row.alert}</tr>"

    def heard_age(self) -> float | None:
        return 0.4

    def now(self) -> int:
        return NOW


class Ready:
    """A process that is ready, or waits for what it is told."""

    def __init__(self) -> None:
        self.missing: list[str] = []

    def waits_for(self) -> Sequence[str]:
        return self.missing

    def metrics(self) -> bytes:
        return b"fraud_console_viewers 0\n"

    def heard_at(self) -> int | None:
        return NOW


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


class Site(NamedTuple):
    """One console with all its parts at hand."""

    app: FastAPI
    desk: SampleDesk
    accounts: Accounts
    clock: Clock
    wire: SilentWire
    health: Ready
    told: list[tuple[str, ...]]
    database: Database

    def browser(self, **options: Any) -> "Browser":
        """Return a browser that nobody has used yet."""
        return Browser(self.app, **options)

    def person(self, role: Role, name: str = "") -> "Browser":
        """Return the browser of somebody of a role who has signed in."""
        email = f"{name or role.word}@example.org"
        token = self.accounts.invite(role, self.clock.now, email=email)
        self.accounts.accept(token, name or role.word, email, PASSWORD, self.clock.now)
        browser = self.browser()
        assert browser.sign_in(email).status_code == 303
        return browser


def site(
    folder: Path, *, tls: bool = False, pages: Any = None, text: str = "x", provider: Provider | None = None,
    **settings: Any,
) -> Site:  # fmt: skip
    """Return a console whose database lies in a folder."""
    found = changed(ServiceSettings(), "console", tls=tls, **settings)
    database = Database(f"sqlite:///{folder / 'console.db'}")
    metadata.create_all(database.engine)
    told: list[tuple[str, ...]] = []

    def journal(_: Connection, now: int, *words: str) -> None:
        assert now
        told.append(words)

    clock, desk, wire, health = Clock(), SampleDesk(text), SilentWire(), Ready()
    terms = msgspec.structs.replace(TERMS, second_factor=found.console.second_factor)
    doors = Doors(
        Accounts(database, Passwords(CHEAP), terms, journal), Codes(database, terms, journal, KEY),
        Federation(database, terms, journal), provider, CapacityLimiter(2),
    )  # fmt: skip
    console = Console(
        desk,  # type: ignore[arg-type]
        doors,
        pages or cast(Any, PlainPages(folder)),
        Live(wire, 0.01, 3, 2), health, found, Cookies(tls), clock,
    )  # fmt: skip
    return Site(create_app(console), desk, doors.accounts, clock, wire, health, told, database)


class Browser:
    """Sends what a browser sends: cookies, the origin with every form, the token of the page that it stands on."""

    def __init__(self, app: FastAPI, origin: str = ORIGIN, address: str = "192.0.2.7") -> None:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 1234))
        self._client = httpx.AsyncClient(transport=transport, base_url=origin)
        self.origin, self.csrf = origin, ""

    @property
    def cookies(self) -> httpx.Cookies:
        return self._client.cookies

    def get(self, path: str, **headers: str) -> httpx.Response:
        answer = self._sent("GET", path, headers={"accept": "text/html"} | headers)
        if found := re.search(r'name="?csrf"? value="?([\w-]+)', answer.text):
            self.csrf = found[1]
        return answer

    def json(self, path: str) -> Any:
        answer = self._sent("GET", path, headers={"accept": "application/json"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(
        self, path: str, data: Mapping[str, Any] | None = None, *, csrf: str | None = None, **headers: str
    ) -> httpx.Response:
        form = dict(data or {}) | {"csrf": self.csrf if csrf is None else csrf}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._sent("POST", path, data=form, headers={"origin": self.origin, "accept": "text/html"} | named)

    def sign_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        """Sign in, and read the first page for its token."""
        self.get("/sign-in")
        answer = self.post("/sign-in", {"email": email, "password": password})
        if answer.status_code == 303:
            self.get("/queue")
        return answer

    def _sent(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self._client.request(method, path, **options))


async def listened(app: FastAPI, path: str, headers: Mapping[str, str], count: int) -> tuple[int, list[bytes]]:
    """Return status and the first pieces of an answer that does not end; then go away, as a closed page does."""
    found: list[dict[str, Any]] = []
    enough, gone = asyncio.Event(), asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        found.append(message)
        if len(found) > count or (message["type"] == "http.response.body" and not message.get("more_body")):
            enough.set()

    path, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": path,
        "raw_path": path.encode(), "query_string": query.encode(), "scheme": "http", "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("192.0.2.7", 1), "server": ("console.test", 80),
    }  # fmt: skip
    task = asyncio.create_task(app(scope, receive, send))
    await enough.wait()
    gone.set()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return found[0]["status"], [message["body"] for message in found[1:] if message.get("body")]
