"""Card numbers and their tokens: what looks like one, what is left alone, keys, and what a new key does."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.core.card_numbers import CardNumbers, CardsSection, masked, passes_luhn
from fraud.core.errors import CardNumberError, SettingsError
from fraud.core.fields import Secret

OLD, MIDDLE, NEW = "old" * 12, "middle" * 6, "new" * 12
PAN = "4111111111111111"
TOKEN = r"pan_[a-p]{4}_[a-p]{24}"


def cards(*keys: str, numbers: str = "token") -> CardNumbers:
    """Return what becomes of card numbers under keys, oldest first."""
    secrets = [Secret(key) for key in keys]
    key, previous = (secrets[-1], tuple(secrets[:-1])) if secrets else (Secret(""), ())
    return CardNumbers(CardsSection(numbers, key, previous))  # type: ignore[arg-type]


def with_check_digit(digits: str) -> str:
    return next(number for last in "0123456789" if passes_luhn(number := digits + last))


numbers = st.from_regex(r"[1-9][0-9]{11,17}", fullmatch=True).map(with_check_digit)
"""13 to 19 digits that pass the Luhn check."""


@pytest.mark.parametrize(
    ("digits", "passes"),
    [("4111111111111111", True), ("4111111111111112", False), ("378282246310005", True), ("18", True)],
)
def test_luhn_check_is_that_of_the_standard(digits: str, passes: bool) -> None:
    assert passes_luhn(digits) is passes


@given(numbers)
def test_card_number_becomes_a_token_without_any_of_its_digits(number: str) -> None:
    assert re.fullmatch(TOKEN, cards(NEW).card(number))


@given(numbers, numbers)
def test_another_number_or_key_gives_another_token(one: str, other: str) -> None:
    assert (cards(NEW).card(one) == cards(NEW).card(other)) is (one == other)
    assert cards(NEW).card(one) != cards(OLD).card(one)


@pytest.mark.parametrize(
    "written",
    ["4111 1111 1111 1111", "4111-1111-1111-1111", "411111 1111111111", "4111 1111-11111111", "0004111111111111111"],
)
def test_number_in_groups_or_with_zeros_before_it_is_the_same_card(written: str) -> None:
    assert cards(NEW).card(written) == cards(NEW).card(PAN)


@pytest.mark.parametrize(
    "written", ["3782 822463 10005", "4222 2222 2222 2", "6011 0009 9013 9424", "5019 7170 1010 3742"]
)
def test_grouping_of_every_scheme_is_seen(written: str) -> None:
    assert re.fullmatch(TOKEN, cards(NEW).card(written))


@given(st.text("abc ,.;:/\nP-", max_size=12), numbers, st.text("abc ,.;:/\nP-", max_size=12))
def test_text_around_a_number_stays(before: str, number: str, after: str) -> None:
    token = cards(NEW).card(number)
    assert cards(NEW).text(before + number + after) == before + token + after
    assert masked(before + number + after) == before + "*" * len(number) + after


def test_every_number_of_a_text_is_found_though_other_digits_stand_beside_it() -> None:
    text = "order 12 4111 1111 1111 1111, then 378282246310005; tel 0043 1 58058"
    found = cards(NEW).text(text)
    assert re.fullmatch(rf"order 12 {TOKEN}, then {TOKEN}; tel 0043 1 58058", found)


@pytest.mark.parametrize(
    "text",
    [
        "C000097", "", "4111111111111112", "41111111111111112512", "411111111111111", "0000000000000000", "1234",
        "pan_abcd_" + "a" * 24, "2026-01-31T12:00:00Z", "4111.1111.1111.1111", "4111  1111  1111  1111",
        "\uff14" + "\uff11" * 15, "\ud800" + "4" * 5, "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
    ],
)  # fmt: skip
def test_what_does_not_look_like_a_number_is_left_as_it_is(text: str) -> None:
    for each in (cards(NEW), cards(), cards(NEW, numbers="refuse")):
        assert (each.card(text), each.text(text), masked(text)) == (text, text, text)


@given(st.text())
def test_token_is_never_taken_for_a_number_again(text: str) -> None:
    once = cards(NEW).text(text)
    assert cards(NEW).text(once) == once


def test_attributes_are_looked_through_at_any_depth_and_only_their_texts() -> None:
    given = {"a": PAN, "b": [1, {"c": f"x {PAN}"}], "d": int(PAN), "e": None, PAN: True}
    token = cards(NEW).card(PAN)
    assert cards(NEW).attrs(given) == {"a": token, "b": [1, {"c": f"x {token}"}], "d": int(PAN), "e": None, PAN: True}
    assert cards(NEW).attrs(None) is None


# --- keys, and what settings say -------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["card", "text", "attrs"])
def test_number_without_a_key_is_refused_with_the_repair_and_without_the_number(field: str) -> None:
    with pytest.raises(
        CardNumberError, match=rf"^{field} holds what looks like a card number.*--make-key FILE"
    ) as fault:
        cards().text(f"x {PAN}", field)
    assert (PAN[:6] in str(fault.value), PAN[-4:] in str(fault.value)) == (False, False)


def test_number_is_refused_where_the_settings_say_so() -> None:
    with pytest.raises(CardNumberError, match=r"cards\.numbers is 'refuse': send a token"):
        cards(NEW, numbers="refuse").card(PAN)


def test_number_is_left_as_it_is_where_a_sites_own_tokens_look_so() -> None:
    allowed = cards(numbers="allow")
    assert (allowed.card(PAN), allowed.masked(PAN), allowed.shows(PAN), allowed.attrs({"a": PAN})) == (
        PAN, PAN, False, {"a": PAN}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (CardsSection(key=Secret("short")), "one has 5 characters"),
        (CardsSection(previous=(Secret(OLD),)), "there is none"),
        (CardsSection(key=Secret(OLD), previous=(Secret(NEW), Secret("x"))), "one has 1 characters"),
        (CardsSection(key=Secret(OLD), previous=(Secret(OLD),)), "twice"),
    ],
)
def test_faulty_keys_are_refused_and_not_shown(section: CardsSection, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as fault:
        CardNumbers(section)
    assert OLD not in str(fault.value)


# --- a new key -------------------------------------------------------------------------------------------------------


def test_older_token_is_brought_up_to_the_key_in_use_without_the_number() -> None:
    first, second, third = cards(OLD), cards(OLD, MIDDLE), cards(OLD, MIDDLE, NEW)
    newest = third.card(PAN)
    assert len({first.card(PAN), second.card(PAN), newest}) == 3
    for older in (first.card(PAN), second.card(PAN), newest):
        assert third.card(older) == newest
        assert third.text(f"list stolen block card {{ {older} }}") == f"list stolen block card {{ {newest} }}"


def test_names_of_a_card_are_all_that_something_of_it_may_lie_under() -> None:
    names = cards(OLD).card(PAN), cards(OLD, MIDDLE).card(PAN), cards(OLD, MIDDLE, NEW).card(PAN)
    assert cards(OLD, MIDDLE, NEW).names("4111 1111 1111 1111") == (names[2], names[1], names[0])
    assert cards(OLD, MIDDLE, NEW).names(names[0]) == (names[2], names[1], names[0])
    assert cards(NEW).names("C17") == ("C17",)


def test_former_token_is_known_once_the_card_was_met() -> None:
    rotated = cards(OLD, NEW)
    token = rotated.card(PAN)
    assert rotated.former(token) == (cards(OLD).card(PAN),)
    assert (rotated.former("C17"), cards(NEW).former(cards(NEW).card(PAN))) == ((), ())


def test_token_of_a_key_that_is_not_named_stays_as_it_is() -> None:
    token = cards(OLD).card(PAN)
    assert cards(MIDDLE, NEW).card(token) == token
