"""Reasons in words: the numbers are the vector's, and what is missing does not break the sentence."""

import math

import numpy as np
import pytest

from features.spec import spec
from models.reasons.of_booster import Explainer
from models.reasons.sentences import duration

NAMES = spec().names


def reason(effects: dict[str, float], **values: float) -> list[tuple[str, str]]:
    """Return (code, text) for a vector with these values, NaN elsewhere."""
    vector = np.array([values.get(name, math.nan) for name in NAMES], dtype=np.float32)
    given = np.array([effects.get(name, 0.0) for name in NAMES])
    return [(r.code, r.text) for r in Explainer(NAMES).reasons(vector, given)]


@pytest.mark.parametrize(
    ("feature", "values", "text"),
    [
        (
            "card_amount_z",
            {"amount": 940.0, "card_amount_vs_median": 940 / 31},
            "Amount 940.00 is 30 times this card's median of 31.00",
        ),
        ("log_amount", {"amount": 12.5}, "Amount 12.50, without earlier payments to compare it with"),
        (
            "log_amount",
            {"amount": 50.0, "card_amount_vs_median": 1.0, "merchant_amount_vs_median": 20.0},
            "Amount 50.00 is 1 times this card's median of 50.00 and 20 times this merchant's median of 2.50",
        ),
        (
            "log_amount",
            {"amount": 50.0, "card_amount_vs_median": 5.0, "merchant_amount_vs_median": 9.0},
            "Amount 50.00 is 5 times this card's median of 10.00",
        ),
        (
            "pair_amount_vs_mean",
            {"amount": 50.0, "card_amount_vs_median": 5.0, "pair_amount_vs_mean": 2.0, "merchant_amount_vs_median": 40},
            "Amount 50.00 is 5 times this card's median of 10.00 "
            "and 2 times this card's mean at this merchant of 25.00",
        ),
        (
            "merchant_fraud_run",
            {"merchant_frauds_7d": 4, "merchant_labels_7d": 6},
            "4 known frauds at this merchant in the last 7 days (of 6 labelled)",
        ),
        (
            "card_since_fraud",
            {"card_frauds_30d": 1, "card_labels_30d": 9},
            "1 known fraud on this card in the last 30 days (of 9 labelled)",
        ),
        (
            "merchant_since_fraud",
            {"merchant_since_fraud": 86_400 * 45.5},
            "The newest known fraud at this merchant was paid 45 days ago",
        ),
        ("device_last_verdict", {}, "No fraud is known on this device (0 labelled in 30 days)"),
        (
            "card_count_10m",
            {
                "card_count_10m": 5,
                "card_count_1h": 5,
                "card_count_1d": 6,
                "card_count_30d": 60,
                "card_since_first": 9e6,
            },
            "6 payments by this card in 10 minutes; usual is 2 a day",
        ),
        ("card_since_last", {}, "No payment by this card in the 30 days before this one"),
        (
            "card_since_last",
            {"card_since_first": 9e6, "card_count_30d": 0},
            "No payment by this card in the 30 days before this one",
        ),
        (
            "merchant_max_1d",
            {"amount": 5.0, "merchant_sum_1d": 95.0, "merchant_sum_30d": 300.0, "merchant_since_first": 9e6},
            "100.00 spent at this merchant in 1 day; usual is 10.00 a day",
        ),
        (
            "pair_since_fraud",
            {"pair_frauds": 1, "pair_labels": 3, "pair_since_fraud": 86_400 * 3},
            "1 known fraud of this card at this merchant (of 3 labelled), the newest paid 3 days ago",
        ),
        ("pair_labels", {"pair_labels": 3}, "No fraud of this card is known at this merchant (3 labelled)"),
        ("pair_count_30d", {}, "This card has not paid at this merchant before"),
        (
            "pair_since_first",
            {"pair_since_last": 7_300, "pair_count_30d": 1},
            "This card last paid at this merchant 2 hours ago, 1 time in 30 days",
        ),
        ("hour", {"hour": 3.2, "weekday": 6}, "Paid on a Sunday at 03:12 UTC"),
        ("mcc", {"mcc": 7995, "card_present": 0}, "Payment, card not present, merchant category 7995"),
        ("device_since_first", {}, "This device was never seen before"),
        (
            "device_cards_1d",
            {"device_cards_1d": 7, "device_cards_30d": 9},
            "This device used 7 cards in 1 day before this payment; 9 in 30 days",
        ),
    ],
)
def test_reason_of_a_feature_reads_as_expected(feature: str, values: dict[str, float], text: str) -> None:
    assert [found for _, found in reason({feature: 1.0}, **values)] == [text]


def test_reasons_are_the_three_strongest_groups_that_raise_the_score() -> None:
    effects = {
        "merchant_frauds_7d": 1.0, "merchant_fraud_run": 1.5, "card_amount_z": 2.0, "hour": 0.5, "mcc": 0.2,
        "card_count_1d": -3.0,
    }  # fmt: skip
    assert [code for code, _ in reason(effects)] == ["merchant-frauds", "amount", "time"]


def test_reasons_without_a_positive_effect_are_none() -> None:
    assert reason({"hour": -1.0}) == []


def test_effect_of_a_reason_is_the_sum_over_its_features() -> None:
    effects = np.array([0.25 if name.startswith("device_cards") else 0.0 for name in NAMES])
    (found,) = Explainer(NAMES).reasons(np.zeros(len(NAMES), np.float32), effects)
    assert found.effect == pytest.approx(0.25 * sum(name.startswith("device_cards") for name in NAMES))


@pytest.mark.parametrize("fill", [math.nan, 0.0, -1.0, 1e30, math.inf])
def test_every_sentence_copes_with_any_value(fill: float) -> None:
    explainer = Explainer(NAMES)
    vector = np.full(len(NAMES), fill, dtype=np.float32)
    for place in range(len(NAMES)):
        (found,) = explainer.reasons(vector, np.eye(len(NAMES))[place])
        assert found.text


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ("card_count_1h", "9 payments by this card in 1 hour; usual is 2 a day"),
        ("card_sum_7d", "90.00 spent by this card in 1 day; usual is 20.00 a day"),
        ("card_merchants_10m", "This card paid at 7 merchants in 1 day before this payment; 9 in 30 days"),
    ],
)
def test_group_of_several_facts_tells_that_of_its_strongest_feature(feature: str, text: str) -> None:
    values = {
        "card_since_first": 9e6, "card_count_1h": 8, "card_count_30d": 60, "card_sum_1d": 80, "card_sum_30d": 600,
        "amount": 10, "card_merchants_1d": 7, "card_merchants_30d": 9,
    }  # fmt: skip
    assert reason({feature: 1.0, "card_since_last": 0.5}, **values) == [("card-recent", text)]


def test_unknown_feature_is_told_by_name() -> None:
    (found,) = Explainer(("ring_degree",)).reasons(np.array([3.5], np.float32), np.array([1.0]))
    assert (found.code, found.text) == ("other", "ring_degree is 3.5")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0, "0 seconds"), (59.0, "59 seconds"), (3_600.0, "1 hour"), (2 * 86_400.0, "2 days")]
)
def test_duration_uses_the_largest_whole_unit(seconds: float, words: str) -> None:
    assert duration(seconds) == words
