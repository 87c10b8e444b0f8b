"""Who gets in: sessions, forms of our own, roles of every route, headers, errors that give nothing away."""

import base64
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.routing import APIRoute

from fraud.core.records import HOUR, MINUTE
from fraud.dashboard.routes.table import ROUTES, Route
from fraud.dashboard.security import CSP
from fraud.review.errors import ConflictError, ForbiddenError, GoneError, InvalidError, TooManyError, UnknownError
from fraud.review.people import Role
from fraud.review.second_factor import STEP, code_of
from tests.dashboard.site import NOW, ORIGIN, PASSWORD, Browser, Site, site

FORMS: dict[str, dict[str, object]] = {
    "/next": {"kind": "held"}, "/views": {"name": "mine"}, "/assign": {"alert": [1], "colleague": 2},
    "/tags": {"alert": [1], "tag": "ring"}, "/views/{view}": {"default": "1"},
    "/settings/second-factor": {"code": "000000"}, "/sign-in/code": {"code": "000000"},
    "/bulk": {"alert": [1, 2], "verdict": "fraud"}, "/cases/{case}/verdict": {"verdict": "fraud"},
    "/cases/{case}/worth": {"value": -1}, "/cases/{case}/notes": {"note": "called back"}, "/rules": {"text": "r"},
    "/cases/{case}/tags": {"tag": "travel"}, "/rules/check": {"text": "r"}, "/rules/activate": {"version": "fbc320"},
    "/rules/confirm": {"pending": "x"},
    "/rules/withdraw": {"pending": "x"}, "/rules/rollback": {"release": "r1"},
    "/settings/users/invite": {"role": "lead"},
    "/settings/users/{user}": {"role": "lead"}, "/sign-in": {"email": "a@b.c", "password": "no"},
    "/invite/{token}": {"password": "no"},
}  # fmt: skip
PLACES = {"case": "7", "view": "3", "token": "t", "kind": "card", "name": "C1", "version": "fbc320", "user": "99"}
ENDLESS = {"/queue/live"}
OWN = {("POST", "/sign-out"), ("POST", "/settings/second-factor")}
"""Whoever asks changes what they ask with: tested by themselves."""
PROTECTED = [route for route in ROUTES if route.role is not None and route.path not in ENDLESS]


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Site]:
    made = site(tmp_path)
    yield made
    made.database.close()


def address(route: Route) -> str:
    path = re.sub(r"{(\w+)(:path)?}", lambda found: PLACES[found[1]], route.path)
    return f"{path}?before=a&after=b" if route.path == "/rules/difference" else path


def asked(browser: Browser, route: Route) -> int:
    """Return the status of a request that is right in all but, perhaps, who asks."""
    if route.method == "GET":
        return browser.get(address(route)).status_code
    return browser.post(address(route), FORMS.get(route.path, {})).status_code


# --- roles


def test_every_route_of_the_application_stands_in_the_table(console: Site) -> None:
    served = [route for route in console.app.routes if isinstance(route, APIRoute)]
    there = {(method, route.path) for route in served for method in route.methods or ()}
    assert there == {(route.method, route.path) for route in ROUTES}
    assert len(console.app.routes) == len(ROUTES), "something is served that has no guard"


@pytest.mark.parametrize("route", PROTECTED, ids=lambda route: f"{route.method} {route.path}")
def test_route_sends_those_who_are_not_signed_in_to_the_sign_in_page(console: Site, route: Route) -> None:
    browser = console.browser()
    browser.get("/sign-in")
    answer = (
        browser.get(address(route)) if route.method == "GET" else browser.post(address(route), FORMS.get(route.path))
    )
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=%2F")
    assert console.desk.asked == []


@pytest.fixture(scope="module")
def staffed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, dict[Role, Browser]]]:
    made = site(tmp_path_factory.mktemp("staffed"))
    yield made, {role: made.person(role) for role in Role}
    made.database.close()


@pytest.mark.parametrize(
    ("route", "role"),
    [each for each in product(PROTECTED, Role) if (each[0].method, each[0].path) not in OWN],
    ids=lambda each: each.word if isinstance(each, Role) else f"{each.method} {each.path}",
)
def test_route_lets_in_its_role_and_those_above_and_nobody_below(
    staffed: tuple[Site, dict[Role, Browser]], route: Route, role: Role
) -> None:
    console, people = staffed
    before = len(console.desk.asked)
    status = asked(people[role], route)
    assert route.role is not None
    if role < route.role:
        assert status == 403
        assert len(console.desk.asked) == before, "the desk was asked for somebody who may not"
    else:
        assert status in (200, 303, 404), f"{status}: the table and the route do not agree"


def test_desk_is_asked_in_the_name_of_whoever_asks(console: Site) -> None:
    analyst = console.person(Role.ANALYST, "ann")
    analyst.post("/cases/7/reveal")
    name, given = console.desk.asked[-1]
    assert (name, given[0].name, given[0].role, given[1]) == ("reveal", "ann", Role.ANALYST, 7)


# --- forms


def test_form_without_its_token_or_with_another_changes_nothing(console: Site) -> None:
    analyst, other = console.person(Role.ANALYST), console.person(Role.ANALYST, "other")
    console.desk.asked.clear()
    for token in ("", "x", other.csrf):
        assert analyst.post("/cases/7/verdict", {"verdict": "fraud"}, csrf=token).status_code == 403
    assert console.desk.asked == []
    assert analyst.post("/cases/7/verdict", {"verdict": "fraud"}).status_code == 303


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://console.test.evil.example"])
def test_form_of_another_origin_changes_nothing(console: Site, origin: str) -> None:
    analyst = console.person(Role.ANALYST)
    console.desk.asked.clear()
    assert analyst.post("/cases/7/lock", origin=origin).status_code == 403
    assert console.desk.asked == []


def test_script_sends_its_token_in_a_header(console: Site) -> None:
    analyst = console.person(Role.ANALYST)
    assert analyst.post("/cases/7/lock", csrf="", x_csrf_token=analyst.csrf).status_code == 303


def test_origin_is_that_of_the_public_address(tmp_path: Path) -> None:
    made = site(tmp_path, public_url="https://console.example.org/", tls=True)
    inside = made.browser(origin=ORIGIN)
    inside.get("/sign-in")
    assert inside.post("/sign-in", {"email": "a@b.c", "password": "x"}).status_code == 403
    given = inside.post("/sign-in", {"email": "a@b.c", "password": "x"}, origin="https://console.example.org")
    assert "wrong" in given.text or given.status_code == 403
    made.database.close()


def test_sign_in_form_needs_the_token_of_its_own_page(console: Site) -> None:
    console.person(Role.ANALYST)
    browser = console.browser()
    given = {"email": "analyst@example.org", "password": PASSWORD}
    assert browser.post("/sign-in", given, csrf="guessed").status_code == 403
    assert browser.sign_in("analyst@example.org").status_code == 303


# --- sessions


def test_sign_in_gives_a_new_session_and_ends_the_one_that_came_along(console: Site) -> None:
    browser = console.person(Role.ANALYST)
    first = browser.cookies["fraud-session"]
    assert browser.sign_in("analyst@example.org").status_code == 303
    assert browser.cookies["fraud-session"] != first
    assert console.accounts.session(first, NOW) is None


def test_session_that_somebody_planted_is_not_taken_over(console: Site) -> None:
    console.person(Role.ANALYST)
    browser = console.browser()
    browser.cookies.set("fraud-session", "planted", domain="console.test", path="/")
    browser.sign_in("analyst@example.org")
    assert console.accounts.session("planted", NOW) is None
    assert browser.cookies["fraud-session"] != "planted"


def test_session_ends_at_sign_out_wherever_its_cookie_lies(console: Site) -> None:
    browser = console.person(Role.ANALYST)
    token = browser.cookies["fraud-session"]
    assert browser.post("/sign-out").headers["location"] == "/sign-in?out=1"
    assert console.accounts.session(token, NOW) is None
    assert [browser.get(f"/sign-in.json{query}").json()["out"] for query in ("", "?out=1")] == [False, True]


def test_role_holds_from_the_next_request_on_with_a_new_session(console: Site) -> None:
    admin, analyst = console.person(Role.ADMIN), console.person(Role.ANALYST)
    number = next(user.id for user in console.accounts.users(NOW).users if user.name == "analyst")
    assert analyst.get("/cases/7/print").status_code == 200
    assert admin.post(f"/settings/users/{number}", {"role": "viewer"}).status_code == 303
    assert analyst.get("/queue").headers["location"].startswith("/sign-in")
    assert analyst.sign_in("analyst@example.org").status_code == 303
    assert analyst.get("/cases/7/print").status_code == 403


def test_account_that_is_switched_off_is_out_at_once(console: Site) -> None:
    admin, analyst = console.person(Role.ADMIN), console.person(Role.ANALYST)
    number = next(user.id for user in console.accounts.users(NOW).users if user.name == "analyst")
    admin.post(f"/settings/users/{number}", {"on": "0"})
    assert analyst.get("/queue").status_code == 303
    assert analyst.sign_in("analyst@example.org").status_code == 403


def test_session_ends_after_half_an_hour_of_nothing_though_its_page_asks_by_itself(console: Site) -> None:
    analyst = console.person(Role.ANALYST)
    for minutes in (20, 40, 60):
        console.clock.now = NOW + minutes * MINUTE
        assert analyst.get("/queue").status_code == 200
    for minutes in (75, 89):
        console.clock.now = NOW + minutes * MINUTE
        assert analyst.post("/cases/7/lock", {"renew": "1"}).status_code == 303
    console.clock.now = NOW + 91 * MINUTE
    assert analyst.get("/queue").headers["location"].startswith("/sign-in")


def test_session_ends_after_twelve_hours_whatever_is_done(console: Site) -> None:
    analyst = console.person(Role.ANALYST)
    for minutes in range(0, 12 * 60, 20):
        console.clock.now = NOW + minutes * MINUTE
        assert analyst.get("/queue").status_code == 200
    console.clock.now = NOW + 12 * HOUR
    assert analyst.get("/queue").status_code == 303


def test_cookies_are_out_of_reach_of_scripts_and_bound_to_tls_behind_it(tmp_path: Path, console: Site) -> None:
    plain = console.browser().get("/sign-in").headers["set-cookie"]
    assert "HttpOnly" in plain
    assert "SameSite=lax" in plain
    (tmp_path / "tls").mkdir()
    made = site(tmp_path / "tls", tls=True)
    answer = made.browser(origin="https://console.test").get("/sign-in")
    bound = answer.headers["set-cookie"]
    assert bound.startswith("__Host-")
    assert "Secure" in bound
    assert "Path=/;" in bound
    assert "Domain" not in bound
    assert answer.headers["strict-transport-security"].startswith("max-age=31536000")
    made.database.close()


def test_sign_in_goes_on_to_pages_of_this_console_only(console: Site) -> None:
    console.person(Role.ANALYST)
    browser = console.browser()
    for wanted, found in {
        "/cases/7": "/cases/7",
        "//evil.example": "/",
        "https://evil.example/": "/",
        "/%09/evil.example": "/",
        "http://[": "/",
        "//%E2%84%80.example": "/",
    }.items():
        browser.get("/sign-in")
        given = {"email": "analyst@example.org", "password": PASSWORD}
        assert browser.post(f"/sign-in?next={wanted}", given).headers["location"] == found


def test_name_with_marks_of_addresses_in_it_is_still_one_after_the_sign_in(console: Site) -> None:
    answer = console.browser().get("/entities/merchant/a%2Fb%3Fc%23d?after=1")
    wanted = parse_qs(urlsplit(answer.headers["location"]).query)["next"]
    assert wanted == ["/entities/merchant/a%2Fb%3Fc%23d?after=1"]


def test_referrer_that_is_no_address_leads_to_the_first_page(console: Site) -> None:
    analyst = console.person(Role.ANALYST)
    answer = analyst.post("/tags", {"alert": "1", "tag": "a"}, referer="http://[")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


# --- too many tries


def test_sixth_try_of_an_account_is_refused_with_the_right_password_too(console: Site) -> None:
    console.person(Role.ANALYST)
    for place in range(5):
        browser = console.browser(address=f"198.51.{place}.1")
        assert browser.sign_in("analyst@example.org", "wrong password").status_code == 403
    answer = console.browser(address="198.51.9.1").sign_in("analyst@example.org")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) <= 16 * 60
    console.clock.now += 16 * MINUTE
    assert console.browser().sign_in("analyst@example.org").status_code == 303


def test_network_is_refused_after_twenty_tries_whatever_accounts_it_names(console: Site) -> None:
    console.person(Role.ANALYST)
    for number in range(20):
        browser = console.browser(address=f"203.0.113.{number}")
        assert browser.sign_in(f"user{number}@example.org", "wrong password").status_code == 403
    assert console.browser(address="203.0.113.77").sign_in("analyst@example.org").status_code == 429
    assert console.browser(address="203.0.114.77").sign_in("analyst@example.org").status_code == 303


def test_unknown_account_and_wrong_password_are_told_alike(console: Site) -> None:
    console.person(Role.ANALYST)
    told = []
    for name in ("analyst", "nobody"):
        browser = console.browser()
        answer = browser.sign_in(f"{name}@example.org", "wrong password")
        told.append((answer.status_code, answer.text.replace(browser.csrf, "").replace(name, "")))
    assert told[0] == told[1]


# --- a code beside the password


def test_right_password_opens_nothing_before_its_code(tmp_path: Path) -> None:
    made = site(tmp_path, second_factor="viewer")
    token = made.accounts.invite(Role.ADMIN, NOW, email="ada@example.org")
    half = made.accounts.accept(token, "Ada", "ada@example.org", PASSWORD, NOW).token
    browser = made.browser()
    browser.get("/sign-in")
    answer = browser.post("/sign-in?next=/audit", {"email": "ada@example.org", "password": PASSWORD})
    assert answer.headers["location"] == "/sign-in/code?next=%2Faudit"
    for path in ("/audit", "/queue.json", "/settings/second-factor"):
        assert browser.get(path).status_code in (303, 401)
    assert browser.post("/settings/users/invite", {"role": "admin"}).status_code in (303, 403)
    page = browser.get("/sign-in/code?next=/audit")
    codes = made.app.state.console.doors.codes
    secret = base64.b32decode(codes.offered(browser.cookies["fraud-session"], NOW).secret.replace(" ", ""))
    assert codes.offered(half, NOW).secret not in page.text, "each session offers a secret of its own"
    wrong = browser.post("/sign-in/code?next=/audit", {"code": "000000"})
    assert (wrong.status_code, "This code is wrong" in wrong.text) == (403, True)
    assert browser.post("/sign-in/code", {"code": code_of(secret, NOW // STEP)}, csrf="guessed").status_code == 403
    answer = browser.post("/sign-in/code?next=/audit", {"code": code_of(secret, NOW // STEP)})
    assert answer.headers["location"] == "/audit"
    assert browser.get("/audit").status_code == 200
    made.database.close()


def test_program_is_told_that_a_code_is_asked_for(tmp_path: Path) -> None:
    made = site(tmp_path, second_factor="viewer")
    token = made.accounts.invite(Role.VIEWER, NOW, email="ann@example.org")
    made.accounts.accept(token, "Ann", "ann@example.org", PASSWORD, NOW)
    browser = made.browser()
    browser.get("/sign-in")
    given = {"email": "ann@example.org", "password": PASSWORD}
    told = browser.post("/sign-in", given, accept="application/json").json()
    assert told == {"waits_for": "set_up", "csrf": browser.csrf}
    assert browser.json("/sign-in/code")["secret"]
    refused = browser.post("/sign-in/code", {"code": "1"}, accept="application/json")
    assert (refused.status_code, refused.json()["title"]) == (403, "Forbidden")
    made.database.close()


def test_code_page_is_nothing_without_a_password_before_it(console: Site) -> None:
    browser = console.browser()
    page = browser.get("/sign-in/code")
    assert (page.status_code, "sign in again" in page.text) == (410, True)
    assert browser.post("/sign-in/code", {"code": "123456"}).status_code == 410


def test_second_factor_is_set_up_and_taken_away_by_whoever_is_signed_in(console: Site) -> None:
    analyst = console.person(Role.ANALYST)
    offered = analyst.json("/settings/second-factor")
    assert (offered["state"], offered["needed"]) == ("none", False)
    secret = base64.b32decode(offered["secret"].replace(" ", ""))
    assert analyst.post("/settings/second-factor", {"code": "000000"}).status_code == 403
    assert analyst.post("/settings/second-factor", {"code": code_of(secret, NOW // STEP)}).status_code == 303
    assert analyst.json("/settings/second-factor")["state"] == "set"
    console.clock.now += MINUTE
    later = code_of(secret, console.clock.now // STEP)
    assert analyst.post("/settings/second-factor", {"code": later, "remove": "1"}).status_code == 303
    assert analyst.json("/settings/second-factor")["state"] == "none"


# --- headers, errors


@pytest.mark.parametrize("path", ["/queue", "/sign-in", "/nothing", "/livez", "/queue.json", "/static/none.js"])
def test_every_answer_has_the_headers(console: Site, path: str) -> None:
    headers = console.person(Role.VIEWER).get(path).headers
    assert headers["content-security-policy"] == CSP
    assert CSP == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


REFUSALS = {
    UnknownError("There is no case 7."): 404, ForbiddenError("Not yours."): 403, ConflictError("B. was first."): 409,
    GoneError("Too late."): 410, InvalidError("200 at most."): 422, TooManyError("Wait.", 9): 429,
}  # fmt: skip


@pytest.mark.parametrize(("error", "status"), REFUSALS.items(), ids=lambda each: str(each))
def test_refusal_is_the_same_sentence_on_the_page_and_in_its_twin(console: Site, error: Exception, status: int) -> None:
    viewer = console.person(Role.VIEWER)
    console.desk.raises["case"] = error
    page, twin = viewer.get("/cases/7"), viewer.get("/cases/7.json")
    assert page.status_code == twin.status_code == status
    assert str(error) in page.text
    assert twin.headers["content-type"] == "application/problem+json"
    assert twin.json()["detail"] == str(error)
    assert twin.json()["status"] == status


def test_unforeseen_error_gives_nothing_away(console: Site) -> None:
    viewer = console.person(Role.VIEWER)
    console.desk.raises["case"] = RuntimeError("/srv/secret/file.py: password=hunter2")
    for answer in (viewer.get("/cases/7"), viewer.get("/cases/7.json")):
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
        assert answer.headers["content-security-policy"] == CSP


def test_parameter_that_does_not_fit_is_named(console: Site) -> None:
    viewer = console.person(Role.VIEWER)
    assert "hops" in viewer.get("/cases/7/graph?hops=9").text
    assert viewer.get("/cases/0.json").status_code == 422
    assert viewer.get("/cases/99999999999999999999.json").status_code == 422
    assert viewer.get("/search?q=%00").status_code == 422


def test_large_body_is_refused(console: Site) -> None:
    analyst = console.person(Role.ANALYST)
    console.desk.asked.clear()
    assert analyst.post("/rules/check", {"text": "x" * 3_000_000}).status_code == 413
    assert console.desk.asked == []


def test_static_file_of_a_name_that_no_disk_has_is_not_there(console: Site) -> None:
    assert console.browser().get(f"/static/{'x' * 600}").status_code == 404


def test_static_file_is_served_from_its_folder_only(console: Site, tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("b{}")
    browser = console.browser()
    assert browser.get("/static/a.css?v=abc").headers["cache-control"] == "public, max-age=31536000, immutable"
    assert browser.get("/static/a.css").headers["cache-control"] == "no-cache"
    for outside in ("/static/..%2f..%2fetc%2fpasswd", "/static/%2e%2e/%2e%2e/etc/passwd", "/static//etc/passwd"):
        assert browser.get(outside).status_code == 404
