"""Sentences about histories: the numbers are the tokens', the baseline stands beside them, and nothing breaks them."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from features.spec import spec
from fraud.core.ports import Tokens
from models.reasons.catalogue import GROUPS, PLACES
from models.reasons.reading import Reading
from models.reasons.sentences import amount
from tests.models.histories import DAY, event, fraud, genuine, summary, tokens

NAMES = spec().names
FEATURES = {name: place for place, name in enumerate(NAMES)}
NONE = tokens({}, sides=3)


def told(code: str, history: Tokens | None, **values: float) -> str | None:
    """Return the sentence of a group for a vector with these values, NaN elsewhere; None where it has none."""
    vector = np.array([values.get(name, math.nan) for name in NAMES], dtype=np.float32)
    return GROUPS[PLACES[code]].words(Reading(FEATURES, vector, tokens=history))


def texted(history: Tokens) -> Tokens:
    """Return tokens of a payment with a descriptor."""
    return Tokens(history.raw, history.sums, history.codes, np.ones_like(history.text))


def hours(*when: float) -> list[NDArray[np.float32]]:
    return [event(DAY, c2=math.sin(h / 12 * math.pi), c3=math.cos(h / 12 * math.pi)) for h in when]


@pytest.mark.parametrize(
    ("code", "history", "values", "text"),
    [
        (
            "merchant-frauds",
            tokens({1: [event(DAY)] * 6 + [fraud(8.22 * DAY)] * 5 + [genuine(9 * DAY)] * 7}, {},
                   {1: [summary(160, 150, 1, 90 * DAY, last_fraud=50 * DAY)]}),
            {},
            "5 of the last 12 payments with a verdict at this merchant are known frauds, the newest 8.2 days old; "
            "before them 1 of 150",
        ),
        (
            "card-frauds",
            tokens({0: [fraud(3.5 * 3_600)]}),
            {},
            "1 of the last 1 payment with a verdict of this card is a known fraud, the newest 3 hours old",
        ),
        (
            "merchant-frauds",
            tokens({1: [genuine(DAY)] * 9}, {1: [fraud(34 * DAY)] * 16},
                   {1: [summary(640, 600, 21, 90 * DAY, last_fraud=34 * DAY)]}),
            {},
            "21 known frauds at this merchant among 600 older verdicts, the newest 34.0 days old",
        ),
        (
            "device-frauds",
            tokens({}, sides=3),
            {"device_frauds_7d": 2, "device_labels_7d": 3},
            "2 known frauds on this device in the last 7 days (of 3 labelled)",
        ),
        (
            "amount",
            tokens({0: [event(DAY, 20.0), event(DAY, 61.2), event(DAY, 3.0)]}),
            {"amount": 940.0, "card_amount_vs_median": 940 / 31},
            "Amount 940.00 is 30 times this card's median of about 31; the largest of the card's last 3 is 61.2",
        ),
        (
            "amount", NONE, {"amount": 50.0, "merchant_amount_vs_median": 5.0},
            "Amount 50.00 is 5 times this merchant's median of about 10",
        ),
        (
            "card-recent",
            tokens({0: [event(DAY, c7=1.5)] * 6 + [event(DAY)] * 4}),
            {"card_count_1d": 1, "card_count_30d": 30, "card_since_first": 1e7},
            "6 of this card's last 10 payments were over twice its median amount",
        ),
        (
            "card-recent",
            NONE,
            {"card_count_10m": 5, "card_count_1h": 5, "card_count_1d": 6, "card_count_30d": 60,
             "card_since_first": 9e6},
            "6 payments by this card in 10 minutes; usual is 2 a day",
        ),
        (
            "card-recent",
            tokens({0: [event(DAY, c17=0.4)] * 9 + [event(DAY)]}),
            {},
            "9 of this card's last 10 payments were at merchants with known frauds",
        ),
        (
            "merchant-recent",
            NONE,
            {"merchant_cards_1d": 40, "merchant_cards_30d": 60, "merchant_count_1d": 41, "merchant_count_30d": 100,
             "merchant_since_first": 9e6},
            "This merchant saw 40 cards in 1 day before this payment; 60 in 30 days",
        ),
        (
            "card-history",
            tokens({}, {}, {0: [summary(16, 0, 0, 60 * DAY, 20.0), summary(64, 0, 0, 140.5 * DAY, 20.0)]}),
            {"amount": 100.0},
            "This card has 80 older payments, the first 140 days ago, of typically 20; this one is 5 times that",
        ),
        ("merchant-history", NONE, {"merchant_since_first": 5 * DAY}, "This merchant was first seen 5 days ago"),
        ("device-history", NONE, {"device_count_30d": 0}, "This device was never seen before"),
        (
            "device-history",
            tokens({}, {}, {2: [summary(20, 0, 0, 3.5 * DAY, 50.0)]}, sides=3),
            {"amount": 40.0, "device_since_first": 3.5 * DAY},
            "This device was first seen 3 days ago",
        ),
        (
            "device-recent",
            NONE,
            {"device_cards_1d": 7, "device_cards_30d": 9},
            "This device used 7 cards in 1 day before this payment; 9 in 30 days",
        ),
        (
            "pair-frauds",
            tokens({0: [fraud(DAY, c26=1)]}),
            {"pair_frauds": 2, "pair_labels": 2},
            "2 known frauds of this card at this merchant (of 2 labelled)",
        ),
        (
            "pair-history",
            tokens({0: [event(DAY, c26=1)] + [event(DAY)] * 9}),
            {"pair_since_last": 40 * DAY, "pair_since_first": 50 * DAY, "pair_count_30d": 0},
            "No payment by this card at this merchant in the 30 days before this one",
        ),
        ("pair-history", tokens({0: [event(DAY)] * 9}), {}, "This card has not paid at this merchant before"),
        (
            "pair-history", NONE,
            {"pair_since_last": 60, "pair_since_first": 9e6, "pair_count_10m": 2, "pair_count_30d": 3},
            "3 payments by this card at this merchant in 10 minutes; usual is 3 in 30 days",
        ),
        (
            "time",
            tokens({0: hours(12.0, 13.0, 1.5, 23.0)}),
            {"hour": 0.2, "weekday": 6},
            "Paid on a Sunday at 00:12 UTC",
        ),
        (
            "time",
            tokens({0: hours(*[2.0] * 20, 13.0)}),
            {"hour": 14.25, "weekday": 6},
            "Paid on a Sunday at 14:15 UTC; 1 of this card's last 21 payments were within 2 hours of that time of day",
        ),
        (
            "channel",
            tokens({0: [event(DAY, c29=1)] + [event(DAY)] * 3}),
            {"mcc": 7995, "card_present": 0},
            "Payment, card not present, merchant category 7995",
        ),
        (
            "channel",
            tokens({0: [event(DAY, c29=1)] + [event(DAY)] * 19}),
            {"mcc": 7995, "card_present": 1},
            "Payment, merchant category 7995; 1 of this card's last 20 payments were in it",
        ),
        (
            "channel",
            tokens({0: [event(DAY, c9=1, c29=1)] * 10}),
            {"mcc": 7995, "card_present": 0},
            "Payment, card not present; 0 of this card's last 10 payments were without it",
        ),
        (
            "channel",
            tokens({0: [event(DAY, c9=1)] * 10}),
            {"mcc": 7995, "card_present": 1, "money_back": 1},
            "Refund or reversal, merchant category 7995",
        ),
        (
            "descriptor",
            texted(tokens({0: [event(DAY)] * 4, 1: [event(DAY)] * 12})),
            {},
            "0 of this card's last 4 payments carried this descriptor, 0 of this merchant's last 12 payments did",
        ),
        (
            "descriptor",
            tokens({1: [fraud(DAY, c31=1)]}, {1: [fraud(40 * DAY, c31=1)]}),
            {},
            "2 known frauds of this card, merchant or device carried this descriptor",
        ),
    ],
)  # fmt: skip
def test_sentence_reads_as_expected(code: str, history: Tokens | None, values: dict[str, float], text: str) -> None:
    assert told(code, history, **values) == text


@pytest.mark.parametrize(
    ("code", "history", "values"),
    [
        ("amount", tokens({0: [event(DAY, 20.0)] * 9}), {"amount": 22.0, "card_amount_vs_median": 1.1}),
        ("card-frauds", tokens({0: [genuine(DAY)] * 9}), {"card_labels_30d": 9}),
        (
            "merchant-frauds",
            tokens({1: [genuine(DAY)] * 9}, {1: [fraud(34 * DAY)]},
                   {1: [summary(640, 600, 1, 90 * DAY, last_fraud=34 * DAY)]}),
            {},
        ),
        ("device-frauds", NONE, {}),
        ("card-recent", tokens({0: [event(DAY, c7=1.5)] * 2 + [event(DAY)] * 8}),
         {"card_count_30d": 30, "card_since_first": 1e7}),
        ("merchant-recent", tokens({1: [event(DAY, c17=0.4)] * 2 + [event(DAY)] * 8}),
         {"merchant_count_30d": 30, "merchant_since_first": 1e7}),
        ("card-history", tokens({}, {}, {0: [summary(80, 0, 0, 140 * DAY, 20.0)]}),
         {"amount": 25.0, "card_since_first": 140 * DAY}),
        ("pair-history", tokens({0: [event(DAY, c26=1)] + [event(DAY)] * 9}), {}),
        ("pair-history", NONE, {"pair_since_last": 7_300, "pair_since_first": 9e6, "pair_count_30d": 30}),
        ("time", tokens({0: hours(*[1.0] * 10)}), {"hour": 1.5}),
        ("time", tokens({0: hours(*[13.0] * 9)}), {"hour": 9.5}),
        ("channel", tokens({0: [event(DAY, c9=-1, c29=1)] * 10}), {"mcc": 5411, "card_present": 0}),
        ("descriptor", texted(tokens({0: [event(DAY)] * 9, 1: [event(DAY, c31=1)] * 12})), {}),
        ("descriptor", tokens({0: [event(DAY)] * 9, 1: [event(DAY)] * 12}), {}),
        ("other", NONE, {}),
    ],
)  # fmt: skip
def test_nothing_usual_small_or_free_of_fraud_is_told(code: str, history: Tokens, values: dict[str, float]) -> None:
    assert told(code, history, **values) is None


def test_largest_of_the_card_is_told_where_the_amount_is_above_it() -> None:
    history = tokens({0: [event(DAY, 1_000.0), event(DAY, 61.2), event(DAY, 3.0)]})
    values = {"amount": 940.0, "card_amount_vs_median": 940 / 31}
    assert told("amount", history, **values) == "Amount 940.00 is 30 times this card's median of about 31"


@pytest.mark.parametrize("code", list(PLACES))
@pytest.mark.parametrize("fill", [math.nan, 0.0, -1.0, 1e30, math.inf])
@pytest.mark.parametrize("history", [None, NONE, tokens({s: [fraud(0.0)] for s in range(3)}, sides=3)])
def test_every_sentence_copes_with_any_value(code: str, fill: float, history: Tokens | None) -> None:
    vector = np.full(len(NAMES), fill, dtype=np.float32)
    found = GROUPS[PLACES[code]].words(Reading(FEATURES, vector, NAMES[0], history))
    assert found is None or found


@pytest.mark.parametrize(
    ("digits", "paid", "told"), [(0, 8000.0, "Amount 8000,"), (2, 80.5, "Amount 80.50,"), (3, 8.125, "Amount 8.125,")]
)
def test_amounts_are_told_with_the_digits_of_the_base_currency(digits: int, paid: float, told: str) -> None:
    vector = np.full(len(FEATURES), np.nan, np.float32)
    vector[FEATURES["amount"]], vector[FEATURES["log_amount"]] = paid, np.log1p(paid * 10**digits)
    fact = amount(Reading(FEATURES, vector))
    assert fact is not None
    assert fact.text.startswith(told)
    assert Reading(FEATURES, vector).major(float(np.log1p(paid * 10**digits)) / 10) == pytest.approx(paid)
