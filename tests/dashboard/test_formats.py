"""Numbers, money, shares, times and versions as the console writes them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from fraud.core.records import DAY, HOUR, MINUTE, SECOND
from fraud.dashboard import formats

DASH, MINUS, THIN = "\u2013", "\u2212", "\u202f"


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("minor", "currency", "told"),
    [
        (123_450, "EUR", "1,234.50"),
        (0, "EUR", "0.00"),
        (-5, "EUR", f"{MINUS}0.05"),
        (99_999_999, "EUR", "999,999.99"),
        (124_000_000, "EUR", "1.24 M"),
        (-350_000_000, "EUR", f"{MINUS}3.50 M"),
        (940, "JPY", "940"),
        (1_250, "KWD", "1.250"),
        (None, "EUR", DASH),
    ],
)
def test_money_is_told_by_its_currency_and_shortened_from_a_million_on(
    minor: int | None, currency: str, told: str
) -> None:
    assert formats.money(minor, currency) == told


@pytest.mark.parametrize(
    ("minor", "told"), [(1_234_000, "+12,340"), (-20_800, f"{MINUS}208"), (0, "0"), (-20, "0"), (None, DASH)]
)
def test_gain_carries_its_sign_and_no_cents(minor: int | None, told: str) -> None:
    assert formats.gain(minor) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.061, "6.1 %"),
        (0.41, "41 %"),
        (0.0994, "9.9 %"),
        (0.0996, "10 %"),
        (0.0031, "0.31 %"),
        (0.01, "1.0 %"),
        (0, "0 %"),
        (1, "100 %"),
        (0.00001, "0.0010 %"),
        (None, DASH),
    ],
)
def test_share_has_two_figures_under_ten_percent_and_none_behind_the_point_above(
    value: float | None, told: str
) -> None:
    assert formats.share(value) == told


@pytest.mark.parametrize(
    ("value", "told"), [(0.9999, "> 99 %"), (1.0, "> 99 %"), (0.0, "< 0.1 %"), (0.6, "60 %"), (None, DASH)]
)
def test_probability_is_never_told_as_certain(value: float | None, told: str) -> None:
    assert formats.probability(value) == told


def test_shares_carry_their_interval_and_differences_their_points() -> None:
    assert formats.between(0.38, 0.31, 0.46) == "38 % [31, 46]"
    assert formats.between(0.38, None, None) == "38 %"
    assert formats.between(None, 0.1, 0.2) == DASH
    assert formats.points(0.008, 0.002, 0.014) == "+0.8 pt [0.2, 1.4]"
    assert formats.points(-0.008) == f"{MINUS}0.8 pt"
    assert formats.points(None) == DASH


def test_counts_have_thin_thousands_and_tell_zero_from_unknown() -> None:
    assert formats.count(216_110) == f"216{THIN}110"
    assert formats.count(0) == "0"
    assert formats.count(None) == DASH


@pytest.mark.parametrize(
    ("effect", "told"),
    [
        (0.742, "\u00d7 2.1 odds"),
        (0.06, "\u00d7 1.06 odds"),
        (0.048, ""),
        (-0.742, "\u00f7 2.1 odds"),
        (3.0, "\u00d7 20 odds"),
        (None, ""),
    ],
)
def test_odds_are_told_from_five_percent_on(effect: float | None, told: str) -> None:
    assert formats.odds(effect) == told


@pytest.mark.parametrize(
    ("then", "told", "by_day"),
    [
        ("2026-11-30T14:03:22", "14:03:22", "14:03"),
        ("2026-11-28T14:03:22", "28 Nov 14:03", "28 Nov"),
        ("2025-11-28T14:03:22", "2025-11-28", "2025-11-28"),
    ],
)
def test_moments_are_as_short_as_they_stay_clear(then: str, told: str, by_day: str) -> None:
    now = at("2026-11-30T21:00:00")
    assert formats.clock(at(then), now) == told
    assert formats.day(at(then), now) == by_day


def test_moments_go_by_the_zone_of_the_reader_and_hover_by_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    then = at("2026-11-29T16:00:00")
    assert formats.clock(then, at("2026-11-30T03:00:00"), tokyo) == "01:00:00"
    assert formats.clock(then, at("2026-11-30T03:00:00")) == "29 Nov 16:00"
    assert formats.utc(then) == "2026-11-29 16:00:00 UTC"
    assert formats.machine(then) == "2026-11-29T16:00:00Z"
    assert (formats.clock(None, 0), formats.day(None, 0), formats.utc(None), formats.machine(None)) == (
        DASH,
        DASH,
        "",
        "",
    )


@pytest.mark.parametrize(
    ("length", "told"),
    [
        (42 * SECOND, "42 s"),
        (MINUTE, "1 min"),
        (90 * MINUTE, "90 min"),
        (3 * HOUR, "3 h"),
        (47 * HOUR, "47 h"),
        (4 * DAY, "4 d"),
        (-SECOND, "0 s"),
        (None, DASH),
    ],
)
def test_lengths_of_time_go_by_their_largest_unit(length: int | None, told: str) -> None:
    assert formats.span(length) == told


def test_age_counts_from_now() -> None:
    assert formats.age(5 * MINUTE, 7 * MINUTE) == "2 min"
    assert formats.age(None, 7 * MINUTE) == DASH


def test_time_left_is_urgent_in_the_last_quarter_of_its_span_and_says_so_without_colour() -> None:
    assert formats.left(100 * MINUTE, 0, 74 * MINUTE) == ("26 min", False)
    assert formats.left(100 * MINUTE, 0, 76 * MINUTE) == ("24 min !", True)
    assert formats.left(100 * MINUTE, 0, 101 * MINUTE) == ("time out !", True)
    assert formats.left(None, 0, 1) == ("", False)
    assert formats.left(100 * MINUTE, None, 99 * MINUTE) == ("1 min", False)


def test_short_times_of_machines_have_two_figures() -> None:
    assert (formats.seconds(0.42), formats.seconds(38.2), formats.seconds(None)) == ("0.4 s", "38 s", DASH)
    assert [formats.milliseconds(value) for value in (0.123, 2.71, 41.2, None)] == ["0.12", "2.7", "41", DASH]


def test_versions_are_told_by_six_characters_and_their_name() -> None:
    assert formats.version("blend@da1d90b7c2") == "blend@da1d90"
    assert formats.version("fbc320aa17") == "fbc320"
    assert formats.version(None) == DASH


def test_risk_has_four_bands_and_names_the_rule_that_lifted_it() -> None:
    assert [formats.band(score) for score in (0.0, 0.079, 0.08, 0.3, 0.8, 1.0)] == [1, 1, 2, 3, 4, 4]
    assert formats.risk(0.2, 0.031) == "20 % by rule, model 3.1 %"
    assert formats.risk(0.2, 0.2001) == "20 %"
    assert formats.risk(0.2) == "20 %"


def test_numbers_have_a_real_minus_and_no_minus_before_zero() -> None:
    assert formats.number(-1234.5, 1) == f"{MINUS}1,234.5"
    assert formats.number(-0.001, 2) == "0.00"
    assert formats.number(None) == DASH
