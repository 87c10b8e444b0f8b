"""Reasons in words: the numbers are the vector's, and what is missing does not break the sentence."""

import math

import numpy as np
import pytest

from features.spec import spec
from models.reasons.of_booster import GROUPS, Explainer, group_of
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
        ("log_amount", {"amount": 12.5}, "Amount 12.50, without a past to compare it with"),
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
        ("card_since_last", {}, "First payment by this card"),
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
    assert [code for code, _ in reason(effects)] == ["merchant-frauds", "amount-vs-card", "time"]


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


def test_every_declared_feature_has_a_group_of_its_own() -> None:
    assert [name for name in NAMES if GROUPS[group_of(name)].code == "other"] == []


def test_unknown_feature_is_told_by_name() -> None:
    (found,) = Explainer(("ring_degree",)).reasons(np.array([3.5], np.float32), np.array([1.0]))
    assert (found.code, found.text) == ("other", "ring_degree is 3.5")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0, "0 seconds"), (59.0, "59 seconds"), (3_600.0, "1 hour"), (2 * 86_400.0, "2 days")]
)
def test_duration_uses_the_largest_whole_unit(seconds: float, words: str) -> None:
    assert duration(seconds) == words
