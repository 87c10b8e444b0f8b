"""Bootstrap intervals: the measures against plain ones, the draws, pairing, and how often the truth is inside."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fraud.core import intervals, metrics
from fraud.core.errors import DataError

Column = NDArray[np.float64]


def rows(seed: int, groups: int = 60, each: int = 10) -> tuple[NDArray[np.bool_], Column, NDArray[np.int64]]:
    """Return verdict, score (with ties) and group; some groups are bad and score high."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), each)
    fraud = rng.random(len(group)) < np.where(rng.random(groups) < 0.2, 0.6, 0.02)[group]
    return fraud, np.round(rng.normal(0.3 + 0.2 * fraud, 0.2), 1), group


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=15))
def test_weighted_average_precision_is_that_of_repeated_rows(table: list[tuple[bool, int, int]]) -> None:
    fraud, score, times = (np.array(column) for column in zip(*table, strict=True))
    repeated = metrics.average_precision(np.repeat(fraud, times), np.repeat(score, times))
    weighted = intervals.average_precision(fraud, score)(times[None].astype(float))
    assert weighted[0] == pytest.approx(repeated, nan_ok=True)


def test_weighted_average_precision_takes_each_draw_by_itself() -> None:
    fraud, score, _ = rows(1)
    measure = intervals.average_precision(fraud, score)
    weights = np.random.default_rng(2).integers(0, 3, (5, len(fraud))).astype(float)
    assert measure(weights) == pytest.approx(np.array([measure(one[None])[0] for one in weights]), rel=1e-12)


def test_estimate_is_the_measure_of_all_rows_and_lies_inside() -> None:
    fraud, score, group = rows(3)
    found = intervals.interval(intervals.average_precision(fraud, score), group, np.random.default_rng(0))
    assert found.estimate == pytest.approx(metrics.average_precision(fraud, score))
    assert found.low < found.estimate < found.high


def test_share_and_total_are_ratio_and_sum() -> None:
    fraud, score, _ = rows(4)
    whole = np.ones((1, len(fraud)))
    recall = intervals.share(fraud & (score >= 0.5), fraud)
    assert recall(whole)[0] == pytest.approx(metrics.at_threshold(fraud, score, 0.5).recall)
    assert intervals.total(score)(2 * whole)[0] == pytest.approx(2 * score.sum())


def test_draws_depend_on_the_seed_alone_not_on_the_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    fraud, score, group = rows(5)
    measure = intervals.average_precision(fraud, score)
    whole = intervals.draws(measure, group, np.random.default_rng(1), times=50)
    monkeypatch.setattr(intervals, "CELLS", 7 * len(fraud))
    assert intervals.draws(measure, group, np.random.default_rng(1), times=50) == pytest.approx(whole, rel=1e-12)
    assert intervals.draws(measure, group, np.random.default_rng(2), times=50).tolist() != whole.tolist()


def test_rows_of_a_group_are_drawn_together() -> None:
    seen: list[Column] = []

    def spy(weights: Column) -> Column:
        seen.append(weights)
        return weights[:, 0]

    intervals.draws(spy, np.repeat(np.arange(20), 3), np.random.default_rng(0), times=30)
    weights = np.concatenate(seen)
    assert weights.shape == (30, 60)
    assert np.array_equal(weights[:, ::3], weights[:, 1::3])
    assert (weights[:, ::3].sum(axis=1) == 20).all()


def test_interval_over_groups_is_wider_than_over_rows_when_groups_agree() -> None:
    rng = np.random.default_rng(6)
    group = np.repeat(np.arange(50), 20)
    hit = (rng.random(50) < 0.5)[group]
    measure = intervals.share(hit, np.ones(len(hit)))
    grouped = intervals.interval(measure, group, np.random.default_rng(0))
    single = intervals.interval(measure, np.arange(len(hit)), np.random.default_rng(0))
    ratio = (grouped.high - grouped.low) / (single.high - single.low)
    assert ratio == pytest.approx(math.sqrt(20), rel=0.2)


def test_paired_difference_is_narrower_than_either_model() -> None:
    fraud, score, group = rows(7)
    better = score + 0.05 * fraud
    one, other = intervals.average_precision(fraud, better), intervals.average_precision(fraud, score)
    gain = intervals.interval(intervals.difference(one, other), group, np.random.default_rng(0))
    alone = intervals.interval(one, group, np.random.default_rng(0))
    assert gain.estimate > 0
    assert gain.high - gain.low < 0.5 * (alone.high - alone.low)


def test_same_model_differs_from_itself_by_nothing() -> None:
    fraud, score, group = rows(8)
    one = intervals.average_precision(fraud, score)
    assert intervals.interval(intervals.difference(one, one), group, np.random.default_rng(0)) == (0.0, 0.0, 0.0)


def test_interval_holds_the_true_share_about_as_often_as_it_says() -> None:
    rng, inside = np.random.default_rng(9), 0
    for _ in range(200):
        hit = np.repeat(rng.random(80) < 0.3, 3)
        found = intervals.interval(
            intervals.share(hit, np.ones(240)), np.repeat(np.arange(80), 3), rng, times=200, confidence=0.9
        )
        inside += found.low <= 0.3 <= found.high
    assert 0.83 < inside / 200 < 0.96


def test_measure_without_a_fraud_has_no_interval() -> None:
    found = intervals.interval(
        intervals.average_precision([False] * 4, [0.1] * 4), [0, 1, 2, 3], np.random.default_rng(0)
    )
    assert all(math.isnan(value) for value in found)


def test_draws_without_a_fraud_are_left_out() -> None:
    fraud = np.array([True, False, False])
    found = intervals.interval(
        intervals.average_precision(fraud, [0.9, 0.5, 0.1]), ["a", "b", "c"], np.random.default_rng(0)
    )
    assert found == (1.0, 1.0, 1.0)


def test_no_rows_have_no_interval() -> None:
    found = intervals.interval(intervals.average_precision([], []), [], np.random.default_rng(0))
    assert all(math.isnan(value) for value in found)


def test_faulty_arguments_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="shape"):
        intervals.average_precision([True], [0.1, 0.2])
    with pytest.raises(DataError, match="none NaN"):
        intervals.average_precision([True], [np.nan])
    with pytest.raises(DataError, match="2 groups"):
        intervals.draws(intervals.total([1.0, 1.0]), [0, 2], rng, groups=2)
    with pytest.raises(DataError, match="0 groups"):
        intervals.draws(intervals.total([]), [], rng)
    with pytest.raises(DataError, match=r"confidence is 95"):
        intervals.bounds(np.ones(3), 95)
