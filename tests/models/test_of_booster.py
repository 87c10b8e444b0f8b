"""Reasons in words: the numbers are the vector's, and what is missing does not break the sentence."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from features.spec import spec
from fraud.core.records import Reason, Values
from models.reasons.of_booster import Explainer
from models.reasons.sentences import duration

NAMES = spec().names


def half(values: Values, known: NDArray[np.uint8]) -> list[float]:
    """Return a probability of a half whatever is known."""
    return [0.5] * len(known)


def explained(names: Sequence[str], vector: Values, effects: NDArray[np.float64]) -> tuple[Reason, ...]:
    return Explainer(names).explain(vector, effects, half).reasons


def reason(effects: dict[str, float], **values: float) -> list[tuple[str, str]]:
    """Return (code, text) for a vector with these values, NaN elsewhere."""
    vector = np.array([values.get(name, math.nan) for name in NAMES], dtype=np.float32)
    given = np.array([effects.get(name, 0.0) for name in NAMES])
    return [(r.code, r.text) for r in explained(NAMES, vector, given)]


@pytest.mark.parametrize(
    ("feature", "values", "text"),
    [
        (
            "card_amount_z",
            {"amount": 940.0, "card_amount_vs_median": 940 / 31},
            "Amount 940.00 is 30 times this card's median of about 31",
        ),
        ("log_amount", {"amount": 12.5}, "Amount 12.50, without earlier payments to compare it with"),
        (
            "log_amount",
            {"amount": 50.0, "card_amount_vs_median": 1.0, "merchant_amount_vs_median": 20.0},
            "Amount 50.00 is 20 times this merchant's median of about 2.5",
        ),
        (
            "log_amount",
            {"amount": 50.0, "card_amount_vs_median": 5.0, "merchant_amount_vs_median": 9.0},
            "Amount 50.00 is 5 times this card's median of about 10",
        ),
        (
            "pair_amount_vs_mean",
            {"amount": 50.0, "card_amount_vs_median": 5.0, "pair_amount_vs_mean": 2.0, "merchant_amount_vs_median": 40},
            "Amount 50.00 is 5 times this card's median of about 10 "
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
            {"merchant_since_fraud": 86_400 * 45.5, "merchant_labels_30d": 12},
            "The newest known fraud at this merchant was paid 45 days ago",
        ),
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
        ("card_since_last", {"card_count_30d": 0}, "This card was never seen before"),
        ("merchant_count_1d", {"merchant_count_30d": 0}, "This merchant was never seen before"),
        (
            "card_count_1h",
            {"card_count_10m": 2, "card_count_1h": 2, "card_count_30d": 2, "card_since_first": 500},
            "3 payments by this card in 10 minutes; first seen 8 minutes ago",
        ),
        (
            "card_sum_1d",
            {"amount": 90.0, "card_sum_1d": 10, "card_sum_30d": 10, "card_mean_30d": 10, "card_since_first": 0.5},
            "100.00 spent by this card in 1 day; first seen less than a second ago",
        ),
        (
            "card_sum_1d",
            {"amount": 9.0, "card_sum_30d": 0.06, "card_since_first": 86_400 * 12.5},
            "9.00 spent by this card in 1 day; usual is 0.06 in 12 days",
        ),
        ("card_frauds_7d", {"card_frauds_7d": 1, "card_labels_7d": 0}, "1 known fraud on this card in the last 7 days"),
        (
            "card_since_last",
            {"card_since_first": 9e6, "card_count_30d": 0},
            "No payment by this card in the 30 days before this one",
        ),
        (
            "merchant_max_1d",
            {"amount": 5.0, "merchant_sum_1d": 95.0, "merchant_sum_30d": 300.0, "merchant_since_first": 9e6},
            "100.00 spent at this merchant in 1 day; usual is 10 a day",
        ),
        (
            "pair_since_fraud",
            {"pair_frauds": 1, "pair_labels": 3, "pair_since_fraud": 86_400 * 3},
            "1 known fraud of this card at this merchant (of 3 labelled), the newest paid 3 days ago",
        ),
        ("pair_count_30d", {}, "This card has not paid at this merchant before"),
        (
            "pair_since_first",
            {
                "pair_since_last": 300,
                "pair_since_first": 9e6,
                "pair_count_1h": 2,
                "pair_count_1d": 2,
                "pair_count_30d": 3,
            },
            "3 payments by this card at this merchant in 1 hour; usual is 3 in 30 days",
        ),
        ("hour", {"hour": 3.2, "weekday": 6}, "Paid on a Sunday at 03:12 UTC"),
        ("mcc", {"mcc": 7995, "card_present": 0}, "Payment, card not present, merchant category 7995"),
        ("device_since_first", {"device_count_30d": 0}, "This device was never seen before"),
        ("card_since_first", {"card_since_first": 86_400 * 6.9}, "This card was first seen 6 days ago"),
        ("money_back", {"money_back": 1, "card_present": 1, "mcc": 5411}, "Refund or reversal, merchant category 5411"),
        (
            "device_cards_1d",
            {"device_cards_1d": 7, "device_cards_30d": 9},
            "This device used 7 cards in 1 day before this payment; 9 in 30 days",
        ),
    ],
)
def test_reason_of_a_feature_reads_as_expected(feature: str, values: dict[str, float], text: str) -> None:
    assert [found for _, found in reason({feature: 1.0}, **values)] == [text]


SPEAKING = {
    "merchant_frauds_7d": 1, "merchant_labels_7d": 2, "amount": 9.0, "card_amount_vs_median": 3, "hour": 3.0,
    "card_present": 0,
}  # fmt: skip
"""A payment of which verdicts at the merchant, amount, hour and channel speak for fraud."""
EFFECTS = {
    "merchant_frauds_7d": 1.0, "merchant_fraud_run": 1.5, "card_amount_z": 2.0, "hour": 0.5, "mcc": 0.2,
    "card_count_1d": -3.0,
}  # fmt: skip


def test_reasons_are_the_three_strongest_groups_that_raise_the_score() -> None:
    assert [code for code, _ in reason(EFFECTS, **SPEAKING)] == ["merchant-frauds", "amount", "time"]


def test_group_of_which_nothing_speaks_for_fraud_gives_its_place_to_the_next() -> None:
    usual = SPEAKING | {"card_amount_vs_median": 1.0}
    assert [code for code, _ in reason(EFFECTS, **usual)] == ["merchant-frauds", "time", "channel"]
    assert reason({"card_amount_z": 2.0}, **usual) == []


def test_sentence_that_one_group_has_told_no_other_tells() -> None:
    effects = {"merchant_since_first": 1.0, "merchant_count_1d": 2.0, "hour": 0.5}
    new = {"merchant_count_30d": 0.0, "hour": 3.0, "weekday": 6.0}
    assert reason(effects, **new) == [
        ("merchant-recent", "This merchant was never seen before"),
        ("time", "Paid on a Sunday at 03:00 UTC"),
    ]


def test_group_below_what_is_material_is_not_told() -> None:
    assert [code for code, _ in reason({"hour": 0.05, "mcc": 0.049}, **SPEAKING)] == ["time"]


@pytest.mark.parametrize(
    ("feature", "values"),
    [
        ("card_amount_z", {"amount": 92.25, "card_amount_vs_median": 0.4}),
        ("amount", {"amount": 50.0, "card_amount_vs_median": 1.4, "merchant_amount_vs_median": 1.1}),
        ("amount", {"amount": 0.0, "card_amount_vs_median": 0.0}),
        ("amount", {"amount": 0.0}),
        ("card_sum_1d", {"amount": 9.0, "card_sum_30d": 0.001, "card_since_first": 9e6}),
        ("card_frauds_7d", {"card_frauds_7d": 0.4, "card_labels_7d": 0.4}),
        ("card_last_verdict", {"card_labels_30d": 40, "card_frauds_30d": 0}),
        ("merchant_fraud_run", {"merchant_frauds_30d": 5, "merchant_labels_30d": 2_000}),
        ("merchant_since_fraud", {"merchant_since_fraud": 9e6, "merchant_labels_30d": 900}),
        ("pair_labels", {"pair_labels": 3}),
        ("card_count_1d", {"card_count_1d": 2, "card_count_30d": 60, "card_since_first": 9e6}),
        (
            "card_sum_1d",
            {"amount": 92.25, "card_sum_30d": 7_450, "card_mean_30d": 80.0, "card_count_30d": 93,
             "card_since_first": 9e6},
        ),
        (
            "card_merchants_1d",
            {"card_merchants_1d": 5, "card_merchants_30d": 5, "card_count_1d": 5, "card_count_30d": 150,
             "card_since_first": 9e6},
        ),
        ("device_cards_30d", {"device_cards_1d": 1, "device_cards_30d": 1}),
        ("device_since_last", {}),
        ("device_since_first", {}),
        ("card_since_first", {"card_since_first": 86_400 * 140}),
        ("pair_since_last", {"pair_since_last": 9_000, "pair_since_first": 9e6, "pair_count_30d": 30}),
        ("hour", {"hour": 14.5, "weekday": 2}),
        ("hour", {}),
        ("mcc", {"mcc": 5411, "card_present": 1, "money_back": 0}),
    ],
)  # fmt: skip
def test_nothing_usual_small_or_free_of_fraud_is_told(feature: str, values: dict[str, float]) -> None:
    assert reason({feature: 1.0}, **values) == []


def test_reasons_without_a_positive_effect_are_none() -> None:
    assert reason({"hour": -1.0}) == []


def test_effect_of_a_reason_is_the_sum_over_its_features() -> None:
    effects = np.array([0.25 if name.startswith("device_cards") else 0.0 for name in NAMES])
    vector = np.array([7.0 if name == "device_cards_1d" else 0.0 for name in NAMES], np.float32)
    (found,) = explained(NAMES, vector, effects)
    assert found.effect == pytest.approx(0.25 * sum(name.startswith("device_cards") for name in NAMES))


@pytest.mark.parametrize("fill", [math.nan, 0.0, -1.0, 1e30, math.inf])
def test_every_sentence_copes_with_any_value(fill: float) -> None:
    vector = np.full(len(NAMES), fill, dtype=np.float32)
    told = [found for place in range(len(NAMES)) for found in explained(NAMES, vector, np.eye(len(NAMES))[place])]
    assert all(found.text for found in told)


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ("card_count_1h", "9 payments by this card in 1 hour; usual is 2 a day"),
        ("card_sum_7d", "90.00 spent by this card in 1 day; usual is 20 a day"),
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
    (found,) = explained(("ring_degree",), np.array([3.5], np.float32), np.array([1.0]))
    assert (found.code, found.text) == ("other", "ring_degree is 3.5")


def test_probability_without_a_group_is_asked_for_with_its_features_unknown() -> None:
    asked = []

    def knowing(values: Values, known: NDArray[np.uint8]) -> list[float]:
        asked.append(known)
        return [0.1 * number for number in range(len(known))]

    vector = np.array([SPEAKING.get(name, math.nan) for name in NAMES], np.float32)
    effects = np.array([EFFECTS.get(name, 0.0) for name in NAMES])
    told = Explainer(NAMES).explain(vector, effects, knowing).reasons
    assert [one.without for one in told] == [0.0, 0.1, 0.2]
    (known,) = asked
    unknown = [{name for name, one in zip(NAMES, row, strict=True) if not one} for row in known]
    assert {"merchant_fraud_run", "merchant_labels_1d"} <= unknown[0]
    assert {"amount", "pair_amount_vs_mean"} <= unknown[1]
    assert unknown[2] == {"hour", "weekday"}


def test_grounds_hold_the_effects_of_all_groups() -> None:
    effects = np.array([EFFECTS.get(name, 0.0) for name in NAMES])
    found = Explainer(NAMES).explain(np.zeros(len(NAMES), np.float32), effects, half).effects
    assert dict(found) == pytest.approx(
        {"amount": 2.0, "merchant-frauds": 2.5, "card-recent": -3.0, "time": 0.5, "channel": 0.2}
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.9, "less than a second"),
        (1.0, "1 second"),
        (59.0, "59 seconds"),
        (3_600.0, "1 hour"),
        (2 * 86_400.0, "2 days"),
    ],
)
def test_duration_uses_the_largest_whole_unit(seconds: float, words: str) -> None:
    assert duration(seconds) == words
