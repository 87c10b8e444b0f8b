"""Secrets among the settings: read from files and environment, and never shown."""

import pytest

from fraud.core.errors import SettingsError
from fraud.core.fields import Address, Secret, without_password
from fraud.core.settings import describe, load
from streaming.settings import ServiceSettings, changed

HUNTER = "hunter2"
FILES = {"/run/url": f"redis://:{HUNTER}@host:1/0", "/run/password": HUNTER}


def settings(text: str = "", **env: str) -> ServiceSettings:
    return load(text, env, ServiceSettings, FILES.__getitem__)


@pytest.mark.parametrize(
    "shown",
    [str, repr, "{}".format, "{:>5}".format, lambda secret: "%s" % secret, lambda secret: f"{secret!r} {[secret]}"],  # noqa: UP031
)
def test_secret_is_not_shown_however_it_is_printed(shown: object) -> None:
    assert HUNTER not in shown(Secret(HUNTER))  # type: ignore[operator]
    assert HUNTER not in shown(Address(f"redis://:{HUNTER}@host"))  # type: ignore[operator]


def test_secret_is_itself_for_whoever_needs_it() -> None:
    assert (Secret(HUNTER).plain, type(Secret(HUNTER).plain), Secret(HUNTER).encode()) == (HUNTER, str, b"hunter2")
    assert (Secret(HUNTER) == HUNTER, str(Secret(""))) == (True, "")
    url = FILES["/run/url"]
    assert (Secret(Secret(HUNTER)).plain, Address(Address(url)).plain, Secret().plain) == (HUNTER, url, "")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rediss://me:p@ss@host:1/0", "rediss://***@host:1/0"),
        ("redis://host:1", "redis://host:1"),
        (
            "postgresql://me@host/db?sslmode=require&password=hunter2",
            "postgresql://***@host/db?sslmode=require&password=***",
        ),
        ("postgresql//me:hunter2@host", "***@host"),
        ("sqlite:///build/console.db", "sqlite:///build/console.db"),
    ],
)
def test_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert (without_password(url), str(Address(url))) == (shown, shown)


@pytest.mark.parametrize(
    "given",
    [
        {"FRAUD_STORE__URL": FILES["/run/url"]},
        {"FRAUD_STORE__URL_FILE": "/run/url"},
        {"text": '[store]\nurl = { file = "/run/url" }'},
        {"text": f'[store]\nurl = "{FILES["/run/url"]}"'},
    ],
)
def test_secret_comes_from_environment_settings_or_a_file(given: dict[str, str]) -> None:
    found = settings(**given).store.url
    assert (found, str(found)) == (FILES["/run/url"], "redis://***@host:1/0")


@pytest.mark.parametrize(
    "given",
    [
        {"FRAUD_KAFKA__CLIENT__sasl_plain_password_FILE": "/run/password"},
        {"FRAUD_KAFKA__CLIENT__sasl_plain_password": HUNTER},
        {"FRAUD_KAFKA__CLIENT": '{ sasl_plain_password = { file = "/run/password" } }'},
        {"text": '[kafka.client]\nsasl_plain_password = { file = "/run/password" }'},
        {"text": f'[kafka]\nclient = {{ sasl_plain_password = "{HUNTER}" }}'},
    ],
)
def test_password_among_the_options_of_a_client_is_a_secret(given: dict[str, str]) -> None:
    found = settings(**given)
    assert found.kafka.client == {"sasl_plain_password": HUNTER}
    assert HUNTER not in repr(found)


def test_password_of_a_client_outlives_what_a_command_line_changes_beside_it() -> None:
    found = changed(settings(FRAUD_KAFKA__CLIENT__sasl_plain_password=HUNTER), "kafka", bootstrap="broker:9093")
    assert (found.kafka.bootstrap, found.kafka.client["sasl_plain_password"]) == ("broker:9093", HUNTER)
    assert HUNTER not in repr(found)


def test_password_of_digits_stays_a_text() -> None:
    found = settings(FRAUD_KAFKA__CLIENT__sasl_plain_password="123456").kafka.client
    assert (found["sasl_plain_password"], str(found["sasl_plain_password"])) == ("123456", "***")


def test_secret_in_two_places_is_refused() -> None:
    with pytest.raises(SettingsError, match="FRAUD_STORE__URL and FRAUD_STORE__URL_FILE are both set"):
        settings(FRAUD_STORE__URL="redis://a", FRAUD_STORE__URL_FILE="/run/url")


def test_only_a_secret_may_lie_in_a_file() -> None:
    with pytest.raises(SettingsError, match=r"'money\.base\.file' has nothing below it"):
        settings("[money]\nbase = { file = '/run/url' }")
    with pytest.raises(SettingsError, match=r"unknown key 'money\.base_file'"):
        settings(FRAUD_MONEY__BASE_FILE="/run/url")


def test_secret_of_another_kind_is_refused_without_being_shown() -> None:
    with pytest.raises(SettingsError, match=r"store\.url: Expected `str`, got `int`") as fault:
        settings("[store]\nurl = 4711")
    assert "4711" not in str(fault.value)


def test_secret_that_a_command_line_gives_is_hidden_too() -> None:
    found = changed(settings(), "store", url=FILES["/run/url"])
    assert (found.store.url, HUNTER in repr(found)) == (FILES["/run/url"], False)


def test_description_shows_no_secret() -> None:
    found = settings(
        '[kafka.client]\nsasl_plain_password = { file = "/run/password" }', FRAUD_STORE__URL_FILE="/run/url"
    )
    lines = list(describe(ServiceSettings, found))
    assert HUNTER not in repr(lines)
    assert {line.key for line in lines if line.secret} >= {"store.url", "console.database"}
