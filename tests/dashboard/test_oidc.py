"""Signing in by a provider of identities over real HTTP: the way there and back, and every lie that is not believed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from fraud.core.errors import SettingsError
from fraud.core.fields import Secret
from fraud.core.records import MINUTE, SECOND
from fraud.dashboard.oidc import Provider
from fraud.review.people import Role
from streaming.settings import OidcSection
from tests.dashboard.providers import CLIENT, SECRET, FakeProvider, provided
from tests.dashboard.site import NOW, ORIGIN, PASSWORD, Browser, Site, site

SECONDS = NOW // SECOND


class Steady:
    """A clock that goes on as a test says."""

    now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def fake() -> Iterator[FakeProvider]:
    with provided() as server:
        yield server


def section(fake: FakeProvider, **changes: Any) -> OidcSection:
    own = {"issuer": fake.issuer, "client_id": CLIENT, "secret": Secret(SECRET), "name": "Example"}
    return OidcSection(**{**own, **changes})


@pytest.fixture
def clock() -> Steady:
    return Steady()


@pytest.fixture
def console(tmp_path: Path, fake: FakeProvider, clock: Steady) -> Iterator[Site]:
    made = site(tmp_path, provider=Provider(section(fake), clock))
    made.accounts.invite(Role.LEAD, NOW, email="ann@example.org")
    yield made
    made.database.close()


def come_back(browser: Browser, fake: FakeProvider, **changes: str) -> Any:
    """Go to the provider and come back, with other parameters than it gave."""
    there = browser.get("/oidc?next=%2Fteam")
    assert there.status_code == 303, there.text
    given = fake.visit(there.headers["location"]) | changes
    return browser.get(f"/oidc/back?{'&'.join(f'{name}={value}' for name, value in given.items())}")


def refused(answer: Any, why: str) -> None:
    assert answer.status_code in (403, 410, 503), answer.status_code
    assert why in answer.text
    assert "<h1>sign_in</h1>" in answer.text
    assert "session" not in answer.headers.get("set-cookie", "")


def test_person_whom_the_provider_vouches_for_is_signed_in_where_they_wanted_to_go(
    console: Site, fake: FakeProvider
) -> None:
    browser = console.browser()
    assert "Example" in browser.get("/sign-in").text
    answer = come_back(browser, fake)
    assert (answer.status_code, answer.headers["location"]) == (303, "/team")
    assert browser.get("/team").status_code == 200
    assert console.told[-1][:3] == ("Ann of id", "account.sign-in", "account/1")
    cookies = [value for name, value in answer.headers.multi_items() if name == "set-cookie"]
    assert all("HttpOnly" in cookie and "SameSite=lax" in cookie for cookie in cookies)
    assert "fraud-ticket" not in browser.cookies


def test_program_is_told_who_it_is(console: Site, fake: FakeProvider) -> None:
    browser = console.browser()
    given = fake.visit(browser.get("/oidc").headers["location"])
    answer = browser.get(f"/oidc/back?code={given['code']}&state={given['state']}", accept="application/json")
    assert (answer.json()["name"], answer.json()["role"]) == ("Ann of id", "lead")


LIES: dict[str, tuple[dict[str, Any], str]] = {
    "another nonce": ({"nonce": "of another sign-in"}, "it answers another sign-in"),
    "no nonce": ({"nonce": None}, "nonce"),
    "another audience": ({"aud": "somebody else"}, "Audience"),
    "audiences without a party": ({"aud": [CLIENT, "somebody else"]}, "made for another client"),
    "another party": ({"azp": "somebody else"}, "made for another client"),
    "another issuer": ({"iss": "https://evil.example"}, "ssuer"),
    "expired": ({"exp": SECONDS - 61}, "it has expired"),
    "made long ago": ({"iat": SECONDS - 700, "exp": SECONDS + 9_999}, "it has expired"),
    "made in the future": ({"iat": SECONDS + 120, "exp": SECONDS + 9_999}, "of the future"),
    "times that are none": ({"exp": "soon"}, "its times are no numbers"),
    "nobody": ({"sub": ""}, "its subject has 0 characters"),
    "no subject": ({"sub": None}, "sub"),
    "no end": ({"exp": None}, "exp"),
}


@pytest.mark.parametrize("lie", LIES)
def test_word_that_is_not_for_this_sign_in_is_not_believed(console: Site, fake: FakeProvider, lie: str) -> None:
    fake.told.claims, why = LIES[lie]
    refused(come_back(console.browser(), fake), why)
    assert console.accounts.nobody()


def test_several_audiences_are_believed_where_this_client_was_meant(console: Site, fake: FakeProvider) -> None:
    fake.told.claims = {"aud": [CLIENT, "somebody else"], "azp": CLIENT}
    assert come_back(console.browser(), fake).status_code == 303


def test_word_signed_by_somebody_else_is_not_believed(console: Site, fake: FakeProvider) -> None:
    fake.told.key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    refused(come_back(console.browser(), fake), "Signature verification failed")


def test_word_signed_by_a_shared_secret_or_by_nobody_is_not_believed(console: Site, fake: FakeProvider) -> None:
    fake.told.key, fake.told.algorithm = "known to both " * 5, "HS256"
    refused(come_back(console.browser(), fake), "it is signed by &#x27;HS256&#x27;")
    fake.told.algorithm = "none"
    refused(come_back(console.browser(), fake), "it is signed by &#x27;none&#x27;")


def test_key_that_is_new_at_the_provider_is_asked_for_once_a_minute(
    console: Site, fake: FakeProvider, clock: Steady
) -> None:
    assert come_back(console.browser(), fake).status_code == 303
    fake.add_key("k2")
    fake.told.kid, fake.told.algorithm = "k2", "ES256"
    refused(come_back(console.browser(), fake), "a key &#x27;k2&#x27; that the provider does not name")
    clock.now = 61 * SECOND
    assert come_back(console.browser(), fake).status_code == 303
    assert fake.asked.count("/jwks") == 2
    assert fake.asked.count("/.well-known/openid-configuration") == 1


def test_sign_in_that_was_not_begun_in_this_browser_is_refused(console: Site, fake: FakeProvider) -> None:
    victim, attacker = console.browser(), console.browser()
    given = fake.visit(attacker.get("/oidc").headers["location"])
    address = f"/oidc/back?code={given['code']}&state={given['state']}"
    refused(victim.get(address), "was not begun in this browser")
    victim.get("/oidc")
    refused(victim.get(address), "was not begun in this browser")
    refused(come_back(console.browser(), fake, state="x"), "was not begun in this browser")


def test_state_that_was_used_is_refused_with_its_cookie_too(console: Site, fake: FakeProvider) -> None:
    browser = console.browser()
    given = fake.visit(browser.get("/oidc").headers["location"])
    ticket, known = browser.cookies["fraud-ticket"], fake.codes[given["code"]]
    address = f"/oidc/back?code={given['code']}&state={given['state']}"
    assert browser.get(address).status_code == 303
    thief = console.browser()
    refused(thief.get(address), "was not begun in this browser")
    thief.cookies.set("fraud-ticket", ticket)
    refused(thief.get(address), "does not take the sign-in back")
    fake.codes[given["code"]] = known  # a provider that lets a code be used twice
    thief.cookies.set("fraud-ticket", ticket)
    refused(thief.get(address), "has come to an end already")


def test_email_that_the_provider_has_not_verified_finds_no_account(
    console: Site, fake: FakeProvider, tmp_path: Path
) -> None:
    for claims in ({"email_verified": False}, {"email_verified": None}, {"email_verified": "true"}):
        fake.told.claims = claims
        refused(come_back(console.browser(), fake), "vouches for no email")
    (tmp_path / "other").mkdir()
    trusting = site(tmp_path / "other", provider=Provider(section(fake, trust_email=True), Steady()))
    trusting.accounts.invite(Role.LEAD, NOW, email="ann@example.org")
    assert come_back(trusting.browser(), fake).status_code == 303
    trusting.database.close()


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"realm": {"roles": ["staff", "fraud-lead", "fraud-view"]}}, "lead"),
        ({"realm": {"roles": "fraud-view"}}, "viewer"),
        ({"realm": {"roles": ["staff"]}}, None),
        ({"realm": "fraud-lead"}, None),
        ({}, None),
    ],
)
def test_claim_gives_the_highest_role_that_it_names(
    tmp_path: Path, fake: FakeProvider, claims: dict[str, Any], role: str | None
) -> None:
    words = {"fraud-lead": "lead", "fraud-view": "viewer"}
    made = site(tmp_path, provider=Provider(section(fake, role_claim="realm.roles", roles=words), Steady()))
    fake.told.claims = claims
    browser = made.browser()
    answer = come_back(browser, fake)
    if role is None:
        refused(answer, "gives you no role")
    else:
        assert answer.status_code == 303
        (row,) = made.accounts.users(NOW).users
        assert (row.role, row.signs_in_by) == (role, "provider")
    made.database.close()


def test_refusals_of_the_provider_are_told_on_the_sign_in_page(console: Site, fake: FakeProvider) -> None:
    browser = console.browser()
    given = fake.visit(browser.get("/oidc").headers["location"])
    answer = browser.get(f"/oidc/back?error=access_denied&error_description=not%20today&state={given['state']}")
    refused(answer, "Example says: access_denied: not today")
    fake.told.refuses = True
    refused(come_back(console.browser(), fake), "does not take the sign-in back: invalid_grant: this code is not good")


def test_provider_that_does_not_answer_or_is_another_one_is_told(
    console: Site, fake: FakeProvider, tmp_path: Path
) -> None:
    fake.told.discovery = {"issuer": "https://evil.example"}
    refused(console.browser().get("/oidc"), "it calls itself")
    fake.told.discovery = {"token_endpoint": 7}
    refused(console.browser().get("/oidc"), "cannot be read")
    (tmp_path / "other").mkdir()
    gone = site(tmp_path / "other", provider=Provider(section(fake, issuer="http://127.0.0.1:1"), Steady()))
    refused(gone.browser().get("/oidc"), "does not answer as a provider of identities does (ConnectError)")
    gone.database.close()


def test_secret_goes_in_the_form_where_the_provider_wants_it_there(console: Site, fake: FakeProvider) -> None:
    fake.told.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert come_back(console.browser(), fake).status_code == 303


def test_sign_out_leads_to_that_of_the_provider(console: Site, fake: FakeProvider) -> None:
    browser = console.browser()
    come_back(browser, fake)
    browser.get("/team")
    assert browser.post("/sign-out").headers["location"] == "/sign-in?out=1"
    assert browser.get("/team").status_code == 303
    out = browser.get("/oidc/out").headers["location"]
    assert out.startswith(f"{fake.issuer}/logout?client_id={CLIENT}&post_logout_redirect_uri=http%3A%2F%2Fconsole.test")


def test_console_without_a_provider_has_none_of_its_addresses(tmp_path: Path) -> None:
    made = site(tmp_path)
    for path in ("/oidc", "/oidc/back", "/oidc/out"):
        assert made.browser().get(path).status_code == 404
    made.database.close()


def test_address_that_one_goes_on_to_is_of_this_console(console: Site, fake: FakeProvider) -> None:
    browser = console.browser()
    given = fake.visit(browser.get("/oidc?next=https%3A%2F%2Fevil.example").headers["location"])
    answer = browser.get(f"/oidc/back?code={given['code']}&state={given['state']}")
    assert answer.headers["location"] == "/"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"issuer": "http://id.example.org"}, "begins with https"),
        ({"client_id": ""}, "client_id is empty"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(fake: FakeProvider, changes: dict[str, str], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        Provider(section(fake, **changes), Steady())


def test_code_is_asked_for_beside_a_password_and_not_beside_a_provider(tmp_path: Path, fake: FakeProvider) -> None:
    made = site(tmp_path, provider=Provider(section(fake), Steady()), second_factor="viewer")
    made.accounts.invite(Role.LEAD, NOW, email="ann@example.org")
    assert come_back(made.browser(), fake).headers["location"] == "/team"
    token = made.accounts.invite(Role.ANALYST, NOW, email="ben@example.org")
    made.accounts.accept(token, "Ben", "ben@example.org", PASSWORD, NOW)
    browser = made.browser()
    browser.get("/sign-in")
    answer = browser.post("/sign-in", {"email": "ben@example.org", "password": PASSWORD})
    assert answer.headers["location"] == "/sign-in/code?next=%2F"
    assert browser.get("/queue").headers["location"].startswith("/sign-in")
    made.database.close()


def test_whole_way_fits_into_ten_minutes(console: Site, fake: FakeProvider) -> None:
    browser = console.browser()
    given = fake.visit(browser.get("/oidc").headers["location"])
    console.clock.now += 12 * MINUTE
    refused(browser.get(f"/oidc/back?code={given['code']}&state={given['state']}"), "it has expired")
    assert ORIGIN == "http://console.test"
