"""Measures against scikit-learn, against plain recomputation, and at their edges."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sklearn

from fraud.core import metrics
from fraud.core.errors import DataError

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=40)
CARD_DAYS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=14
)
Arrays = tuple[NDArray[np.bool_], NDArray[np.float64]]


def arrays(rows: list[tuple[bool, int]]) -> Arrays:
    """Return verdicts and scores."""
    return np.array([row[0] for row in rows]), np.array([row[1] / 6 for row in rows])


def drawn(seed: int, rows: int = 2_000, levels: int = 50) -> Arrays:
    """Return verdicts and scores with many ties; frauds score higher."""
    rng = np.random.default_rng(seed)
    fraud = rng.random(rows) < 0.05
    return fraud, np.round(np.clip(rng.normal(0.3 + 0.3 * fraud, 0.2), 0, 1) * levels) / levels


@given(ROWS)
def test_average_precision_is_that_of_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    fraud, score = arrays(rows)
    assume(fraud.any())
    assert metrics.average_precision(fraud, score) == pytest.approx(sklearn.average_precision_score(fraud, score))


@given(ROWS)
def test_roc_auc_is_that_of_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    fraud, score = arrays(rows)
    assume(fraud.any() and not fraud.all())
    assert metrics.roc_auc(fraud, score) == pytest.approx(sklearn.roc_auc_score(fraud, score))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("levels", [4, 10**9])
def test_ranking_and_calibration_measures_agree_with_scikit_learn_on_many_rows(seed: int, levels: int) -> None:
    fraud, score = drawn(seed, levels=levels)
    assert metrics.average_precision(fraud, score) == pytest.approx(sklearn.average_precision_score(fraud, score))
    assert metrics.roc_auc(fraud, score) == pytest.approx(sklearn.roc_auc_score(fraud, score))
    assert metrics.brier(fraud, score) == pytest.approx(sklearn.brier_score_loss(fraud, score))
    p = np.clip(score, 1e-6, 1 - 1e-6)
    assert metrics.log_loss(fraud, p) == pytest.approx(sklearn.log_loss(fraud, p))


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.72, 1.1])
def test_point_agrees_with_scikit_learn(threshold: float) -> None:
    fraud, score = drawn(4)
    point = metrics.at_threshold(fraud, score, threshold)
    genuine_passed, false, missed, hit = sklearn.confusion_matrix(fraud, score >= threshold, labels=[0, 1]).ravel()
    assert point.recall == pytest.approx(hit / (hit + missed))
    assert point.false_positive_rate == pytest.approx(false / (false + genuine_passed))
    assert point.alert_rate == pytest.approx((hit + false) / len(fraud))
    assert point.f1 == pytest.approx(sklearn.f1_score(fraud, score >= threshold))
    if hit:
        assert point.precision == pytest.approx(sklearn.precision_score(fraud, score >= threshold))
        assert point.false_positives_per_fraud == pytest.approx(false / hit)
    else:
        assert math.isnan(point.precision)
        assert math.isnan(point.false_positives_per_fraud)


def test_scores_without_bound_are_ranked_and_tied_like_others() -> None:
    fraud, score = np.array([True, False, True, False]), np.array([np.inf, np.inf, -np.inf, -np.inf])
    assert metrics.average_precision(fraud, score) == pytest.approx(0.5)
    assert metrics.roc_auc(fraud, score) == pytest.approx(0.5)


@pytest.mark.parametrize("rows", [0, 5])
def test_measures_without_a_fraud_are_undefined(rows: int) -> None:
    fraud, score = np.zeros(rows, bool), np.linspace(0, 1, rows)
    assert math.isnan(metrics.average_precision(fraud, score))
    assert math.isnan(metrics.roc_auc(fraud, score))
    assert math.isnan(metrics.recall_at_budget(fraud, score, 0.5))
    assert math.isnan(metrics.value_recall(fraud, score, score, 0.5))
    assert math.isnan(metrics.at_threshold(fraud, score, 0.5).recall)


def test_measures_of_frauds_alone_are_perfect_or_undefined() -> None:
    fraud, score = np.ones(4, bool), np.array([0.1, 0.2, 0.3, 0.4])
    assert metrics.average_precision(fraud, score) == 1.0
    assert math.isnan(metrics.roc_auc(fraud, score))
    assert metrics.recall_at_budget(fraud, score, 0.5) == 0.5
    assert math.isnan(metrics.at_threshold(fraud, score, 0.25).false_positive_rate)


def test_calibration_of_no_rows_is_undefined() -> None:
    assert math.isnan(metrics.log_loss([], []))
    assert math.isnan(metrics.brier([], []))
    assert metrics.reliability([], []) == []
    assert math.isnan(metrics.calibration_error([], []))


def recall_by_chance(fraud: NDArray[np.bool_], score: NDArray[np.float64], budget: int) -> float:
    """Return the recall of the first `budget` rows, averaged over every order of equal scores."""
    orders = [order for order in itertools.permutations(range(len(score))) if sorted_down(score[list(order)])]
    return float(np.mean([fraud[list(order[:budget])].sum() for order in orders]) / fraud.sum())


def sorted_down(values: NDArray[np.float64]) -> bool:
    """Tell whether values never rise."""
    return bool(np.all(values[1:] <= values[:-1]))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=1, max_size=6), st.integers(1, 6))
def test_recall_at_budget_is_that_of_a_random_order_of_equal_scores(rows: list[tuple[bool, int]], budget: int) -> None:
    fraud, score = arrays(rows)
    assume(fraud.any() and budget <= len(rows))
    expected = recall_by_chance(fraud, score, budget)
    assert metrics.recall_at_budget(fraud, score, budget / len(rows)) == pytest.approx(expected)


def test_recall_at_budget_of_equal_scores_is_the_budget_not_everything() -> None:
    fraud = np.arange(1_000) % 10 == 0
    assert metrics.recall_at_budget(fraud, np.zeros(1_000), 0.01) == pytest.approx(0.01)


def test_recall_at_budget_counts_whole_rows() -> None:
    fraud, score = np.ones(100, bool), np.arange(100.0)
    assert metrics.recall_at_budget(fraud, score, 0.29) == pytest.approx(0.29)  # 0.29 * 100 is below 29 in doubles
    assert math.isnan(metrics.recall_at_budget(fraud, score, 0.009))


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01])
def test_recall_at_an_impossible_budget_is_refused(share: float) -> None:
    with pytest.raises(DataError, match="share"):
        metrics.recall_at_budget([True], [1.0], share)


def card_precision(rows: list[Any], k: int) -> float:
    """Return card precision at k by the definition in words."""
    gone: set[int] = set()
    daily = []
    for day in sorted({row[3] for row in rows}):
        today = [row for row in rows if row[3] == day and row[2] not in gone]
        best = {card: max(row[1] for row in today if row[2] == card) for card in {row[2] for row in today}}
        first = sorted(best, key=lambda card: (-best[card], card))[:k]
        hit = {card for card in first if any(row[0] for row in today if row[2] == card)}
        gone |= hit
        daily.append(len(hit) / k)
    return float(np.mean(daily))


def columns(rows: list[Any]) -> tuple[NDArray[Any], ...]:
    """Return verdict, score, card and day as arrays."""
    return tuple(np.array(column) for column in zip(*rows, strict=True))


@given(CARD_DAYS, st.integers(1, 3))
def test_card_precision_follows_the_definition_and_keeps_below_its_ceiling(rows: list[Any], k: int) -> None:
    fraud, score, card, day = columns(rows)
    value, ceiling = metrics.card_precision_at_k(fraud, score, card, day, k)
    assert value == pytest.approx(card_precision(rows, k))
    assert 0 <= value <= ceiling + 1e-12


@given(st.lists(st.tuples(st.booleans(), st.just(0), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=6))
def test_card_precision_ceiling_is_attained_by_some_ranking(rows: list[Any]) -> None:
    fraud, _, card, day = columns(rows)
    places = sorted({(row[2], row[3]) for row in rows})
    best = 0.0
    for order in itertools.permutations(range(len(places))):
        score = [order[places.index((row[2], row[3]))] for row in rows]
        best = max(best, metrics.card_precision_at_k(fraud, score, card, day, 1).value)
    assert metrics.card_precision_at_k(fraud, fraud, card, day, 1).ceiling == pytest.approx(best)


def most_cards(days: dict[int, list[int]], k: int) -> int:
    """Return how many cards can be found, trying every choice of a day (or none) for each."""
    best = 0
    for choice in itertools.product(*[[*when, None] for when in days.values()]):
        found = [day for day in choice if day is not None]
        best = max(best, len(found) if all(found.count(day) <= k for day in found) else 0)
    return best


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("seed", range(8))
def test_card_precision_ceiling_is_that_of_every_choice_tried(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    days = {card: np.flatnonzero(rng.random(4) < (0.3 if card else 1)).tolist() for card in range(6)}
    card = [one for one, when in days.items() for _ in when]
    day = [each for when in days.values() for each in when]
    fraud = np.ones(len(card), bool)
    found = metrics.card_precision_at_k(fraud, fraud, card, day, k).ceiling
    assert found == pytest.approx(most_cards(days, k) / (k * len(set(day))))


def test_card_precision_ceiling_moves_a_card_only_from_where_it_is() -> None:
    card, day = [0, 0, 0, 1, 2], [0, 1, 2, 0, 0]  # cards 1 and 2 share their only day
    found = metrics.card_precision_at_k([True] * 5, [1.0] * 5, card, day, 1).ceiling
    assert found == pytest.approx(2 / 3)


def test_card_precision_ceiling_looks_ahead() -> None:
    fraud, card, day = [True, True, True], [1, 2, 1], [0, 0, 1]
    found = metrics.card_precision_at_k(fraud, [0.5, 0.9, 0.5], card, day, 1)
    assert found == (1.0, 1.0)  # card 2 on the first day, for card 1 can still be found on the second


def test_card_that_was_hit_leaves_the_following_days() -> None:
    found = metrics.card_precision_at_k([True, True], [0.9, 0.9], ["a", "a"], [0, 1], 1)
    assert found == (0.5, 0.5)


def test_card_precision_at_no_card_is_refused() -> None:
    with pytest.raises(DataError, match="k is 0"):
        metrics.card_precision_at_k([True], [1.0], [1], [1], 0)


def test_card_precision_of_no_rows_is_undefined() -> None:
    value, ceiling = metrics.card_precision_at_k([], [], [], [], 5)
    assert math.isnan(value)
    assert math.isnan(ceiling)


def test_money_counts_each_payment_once() -> None:
    fraud, score = [True, True, False, False], [0.9, 0.1, 0.8, 0.2]
    found = metrics.money(fraud, score, [100, 40, 30, 7], 0.5, review=2.0, margin=0.1)
    assert found == (100.0, 40.0, 30.0, 4.0, 100.0 - 3.0 - 4.0)
    assert metrics.value_recall(fraud, score, [100, 40, 30, 7], 0.5) == pytest.approx(100 / 140)


@given(ROWS, st.integers(0, 7), st.lists(st.integers(1, 1_000), min_size=40, max_size=40))
def test_money_prevented_and_missed_are_all_frauds(rows: list[tuple[bool, int]], level: int, money: list[int]) -> None:
    fraud, score = arrays(rows)
    amount = np.array(money[: len(rows)])
    found = metrics.money(fraud, score, amount, level / 6, review=1.0, margin=0.0)
    assert found.loss_prevented + found.loss_missed == pytest.approx(amount[fraud].sum())
    assert found.net == pytest.approx(found.loss_prevented - found.review_cost)
    if fraud.any():
        share = metrics.value_recall(fraud, score, amount, level / 6)
        assert share == pytest.approx(found.loss_prevented / amount[fraud].sum())


@given(ROWS, st.integers(1, 12))
def test_reliability_groups_hold_every_row_once_and_no_equal_scores_apart(
    rows: list[tuple[bool, int]], bins: int
) -> None:
    fraud, score = arrays(rows)
    groups = metrics.reliability(fraud, score, bins)
    assert 1 <= len(groups) <= bins
    assert sum(rows for _, _, rows in groups) == len(rows)
    assert sum(share * rows for _, share, rows in groups) == pytest.approx(fraud.sum())
    assert sum(p * rows for p, _, rows in groups) == pytest.approx(score.sum())
    means = [p for p, _, _ in groups]
    assert means == sorted(set(means))


def test_reliability_of_different_scores_agrees_with_scikit_learn() -> None:
    fraud, score = drawn(7, levels=10**9)
    score = (np.argsort(np.argsort(score, kind="stable")) + 0.5) / len(score)
    share, mean = sklearn_curve(fraud, score)
    groups = metrics.reliability(fraud, score, 10)
    assert [p for p, _, _ in groups] == pytest.approx(mean)
    assert [hit for _, hit, _ in groups] == pytest.approx(share)
    assert {rows for _, _, rows in groups} == {200}


def sklearn_curve(fraud: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Return scikit-learn's curve of ten groups of equal size."""
    from sklearn.calibration import calibration_curve

    share, mean = calibration_curve(fraud, score, n_bins=10, strategy="quantile")
    return share.tolist(), mean.tolist()


def test_one_rightly_calibrated_score_has_no_calibration_error() -> None:
    fraud = np.arange(1_000) < 100
    assert metrics.calibration_error(fraud, np.full(1_000, 0.1)) == pytest.approx(0.0)
    assert metrics.calibration_error(fraud, np.full(1_000, 0.4)) == pytest.approx(0.3)


def test_reliability_without_groups_is_refused() -> None:
    with pytest.raises(DataError, match="bins is 0"):
        metrics.reliability([True], [0.5], 0)


@pytest.mark.parametrize(
    "measure", [metrics.average_precision, metrics.roc_auc, metrics.brier, metrics.log_loss, metrics.reliability]
)
def test_score_without_number_or_of_other_length_is_refused(measure: Any) -> None:
    with pytest.raises(DataError, match="1 of 2 scores are NaN"):
        measure([True, False], [0.5, np.nan])
    with pytest.raises(DataError, match=r"shapes \(2,\), \(3,\)"):
        measure([True, False], [0.5, 0.1, 0.2])
    with pytest.raises(DataError, match="shapes"):
        measure([True, False], [[0.5], [0.1]])


def test_amounts_of_other_length_are_refused() -> None:
    with pytest.raises(DataError, match="shapes"):
        metrics.money([True], [0.5], [1, 2], 0.5, review=1.0, margin=0.1)
    with pytest.raises(DataError, match="shapes"):
        metrics.value_recall([True], [0.5], [1, 2], 0.5)


# --- calibration of a served model -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stretch", [0.5, 1.0, 2.0])
def test_calibration_slope_tells_how_much_too_extreme_probabilities_are(stretch: float) -> None:
    rng = np.random.default_rng(1)
    logit = rng.normal(-3, 1.5, 40_000)
    fraud = rng.random(40_000) < 1 / (1 + np.exp(-logit))
    said = 1 / (1 + np.exp(-stretch * logit))
    assert metrics.calibration_slope(fraud, said) == pytest.approx(1 / stretch, rel=0.04)


def test_calibration_slope_is_nan_where_there_is_none() -> None:
    assert np.isnan(metrics.calibration_slope([0, 0], [0.1, 0.2]))
    assert np.isnan(metrics.calibration_slope([1, 1], [0.1, 0.2]))
    assert np.isnan(metrics.calibration_slope([0, 1], [0.1, 0.1]))
    assert np.isnan(metrics.calibration_slope([], []))


def test_calibration_slope_of_a_perfect_ranking_ends() -> None:
    assert metrics.calibration_slope([0] * 50 + [1] * 50, np.linspace(0.01, 0.99, 100)) > 1


def test_top_ratio_compares_the_highest_scores_with_what_came_of_them() -> None:
    fraud = [True, False] * 5 + [False] * 990
    said = [0.9] * 10 + [0.001] * 990
    assert metrics.top_ratio(fraud, said) == pytest.approx(0.9 / 0.5)
    assert np.isnan(metrics.top_ratio([False] * 100, [0.1] * 100))
    assert np.isnan(metrics.top_ratio([], []))
