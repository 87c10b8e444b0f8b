"""Text that others have chosen is shown as text, whatever is in it, on every page and in every part of one."""

from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from fraud.dashboard.pages import Pages
from fraud.dashboard.routes.table import ROUTES
from fraud.review.people import Role
from tests.dashboard.site import PASSWORD, Browser, Site, site

POISON = """"'><img src=x onerror=alert(1)><script>alert(1)</script><svg onload=alert(1)>{{7*7}}${7*7}"""


class Found(HTMLParser):
    """What a browser would build of a page: elements that run code, attributes that do."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []
        self.elements = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements += 1
        named = dict(attrs)
        data = named.get("type") == "application/json"  # runs nowhere, and is read as text
        if tag == "script" and not data and not (named.get("src") or "").startswith("/static/"):
            self.bad.append(f"<script {named}>")
        if tag in {"img", "iframe", "object", "embed", "base", "style"}:
            self.bad.append(f"<{tag} {named}>")
        for name, value in attrs:
            plain = (value or "").strip().lower()
            if name.startswith(("on", "hx-on")) or name == "style" or plain.startswith(("javascript:", "data:")):
                self.bad.append(f"<{tag} {name}={value}>")


def looked_at(text: str) -> Found:
    found = Found()
    found.feed(text)
    return found


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Browser]]:
    made = site(tmp_path_factory.mktemp("poisoned"), pages=Pages(), text=POISON)
    email = "admin@example.org"
    made.accounts.accept(made.accounts.invite(Role.ADMIN, made.clock.now), f"Ada {POISON}"[:80], email, PASSWORD,
                         made.clock.now)  # fmt: skip
    browser = made.browser()
    assert browser.sign_in(email).status_code == 303
    yield made, browser
    made.database.close()


PAGES = [
    "/queue", "/cases/7", "/cases/7/graph", "/cases/7/timeline", "/cases/7/trail", "/cases/7/print", "/search?q=x",
    "/entities/card/x", "/team", "/model", "/rules", "/rules/x", "/rules/difference?before=a&after=b", "/audit",
    "/settings/users", "/settings/second-factor",
]  # fmt: skip
TWINS_ONLY = {"/queue/live", "/openapi.json", "/queue.csv", "/cases", "/", "/metrics", "/readyz", "/livez"}


def test_every_page_is_looked_at() -> None:
    shown = {path.partition("?")[0] for path in PAGES}
    for route in ROUTES:
        if route.method == "GET" and route.role is not None and route.path not in TWINS_ONLY:
            pattern = (
                route.path.replace("{case}", "7").replace("{version}", "x").replace("{kind}/{name:path}", "card/x")
            )
            assert pattern in shown, pattern


@pytest.mark.parametrize("path", PAGES)
def test_page_shows_text_as_text(poisoned: tuple[Site, Browser], path: str) -> None:
    answer = poisoned[1].get(path)
    assert answer.status_code == 200, answer.text[:300]
    found = looked_at(answer.text)
    assert found.elements > 3
    assert found.bad == []
    assert "49" not in answer.text.partition("7*7")[0][-4:]
    # The only node of the sampled graph has no place in the drawing.
    came = "&lt;script&gt;alert(1)" in answer.text or r"\u003cscript\u003ealert(1)" in answer.text
    assert came or path == "/cases/7/graph", "the poison did not come to this page at all"


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/rules/check", {"text": "x"}),
        ("/bulk", {"alert": ["1"], "verdict": "fraud", "preview": "1"}),
        ("/settings/users/invite", {"role": "lead", "email": "a@b.c"}),
    ],
)
def test_page_that_answers_a_form_shows_text_as_text(
    poisoned: tuple[Site, Browser], path: str, form: dict[str, object]
) -> None:
    answer = poisoned[1].post(path, form)
    assert answer.status_code == 200
    assert looked_at(answer.text).bad == []


@pytest.mark.parametrize(
    "path", [f"/queue?kind={POISON}", f"/search?q={POISON}", f"/sign-in?next={POISON}", f"/{POISON}"]
)
def test_text_of_an_address_is_shown_as_text(poisoned: tuple[Site, Browser], path: str) -> None:
    answer = poisoned[1].get(path.replace("{}", POISON))
    assert answer.status_code in (200, 404, 422)
    assert looked_at(answer.text).bad == []


def test_email_that_was_typed_is_shown_as_text(poisoned: tuple[Site, Browser]) -> None:
    answer = poisoned[0].browser().sign_in(POISON, "x")
    assert answer.status_code == 403
    assert looked_at(answer.text).bad == []


def test_check_finds_what_it_looks_for() -> None:
    assert len(looked_at(POISON).bad) == 4
    assert looked_at('<a href="javascript:alert(1)">x</a>').bad
    assert looked_at('<div style="color:red" hx-on:click="x">').bad
