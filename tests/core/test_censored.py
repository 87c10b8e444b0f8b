"""Figures corrected for frauds not told yet, against a known truth: the naive ones are wrong, these are right."""

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from fraud.core import metrics
from fraud.core.censored import RecentFigures, SideBySide, ToldByAge, side_by_side
from fraud.core.errors import DataError
from fraud.core.records import DAY


class World(NamedTuple):
    """Payments with their truth, and how long after them a fraud is told (ns)."""

    fraud: NDArray[np.bool_]
    score: NDArray[np.float64]
    age: NDArray[np.int64]
    delay: NDArray[np.int64]

    @property
    def told(self) -> NDArray[np.bool_]:
        return self.fraud & (self.delay <= self.age)


def world(seed: int, count: int = 200_000, days: float = 60, mean: float = 15) -> World:
    """Return payments evenly over the last days; chargebacks come after an exponential delay, 45 days at most."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-5, 1.6, count)
    p = 1 / (1 + np.exp(-logit))
    fraud = rng.random(count) < p
    age = (rng.random(count) * days * DAY).astype(np.int64)
    delay = (np.minimum(rng.exponential(mean, count), 45) * DAY).astype(np.int64)
    return World(fraud, p, age, delay)


def seen(one: World) -> SideBySide:
    """Return the figures as somebody sees them who knows only what was told."""
    told = one.told
    shares = ToldByAge(one.delay[told], one.age[told]).share(one.age)
    return side_by_side(told, shares, one.score)


def test_told_share_by_age_is_the_distribution_of_delays() -> None:
    one = world(1)
    share = ToldByAge(one.delay[one.told], one.age[one.told]).share([2 * DAY, 7 * DAY, 15 * DAY, 30 * DAY, 46 * DAY])
    assert share == pytest.approx([1 - np.exp(-a / 15) for a in (2, 7, 15, 30)] + [1], abs=0.03)


def test_counting_delays_without_the_window_tells_too_much() -> None:
    # the share among told ones is what a plain count gives: long delays of young payments are not there yet
    one = world(1)
    plain = float((one.delay[one.told] <= 7 * DAY).mean())
    assert plain > 1 - np.exp(-7 / 15) + 0.05


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_naive_figures_are_wrong_and_corrected_ones_right(seed: int) -> None:
    one = world(seed)
    found = seen(one)
    old = ToldByAge(one.delay[one.told], one.age[one.told]).share(one.age) >= 0.1
    truth = metrics.average_precision(one.fraud[old], one.score[old])
    share = float(one.fraud[old].mean())
    assert found.naive.ap < truth - 0.03
    assert found.corrected.ap == pytest.approx(truth, abs=0.025)
    assert found.naive.fraud_share < 0.8 * share
    assert found.corrected.fraud_share == pytest.approx(share, rel=0.05)


def test_a_better_model_of_fresh_frauds_is_seen_as_better_only_by_the_corrected_figures() -> None:
    # tactics change ten days ago: one model knows the new ones, which nobody has told of yet, the other the old ones
    rng = np.random.default_rng(4)
    one = world(4)
    fresh = one.age < 10 * DAY
    noise = rng.normal(0, 1, (2, len(one.fraud)))
    knows_new = noise[0] + one.fraud * np.where(fresh, 3.5, 1.5)
    knows_old = noise[1] + one.fraud * np.where(fresh, 1.5, 2.3)
    told = one.told
    shares = ToldByAge(one.delay[told], one.age[told]).share(one.age)
    old = shares >= 0.1
    true_new, true_old = (metrics.average_precision(one.fraud[old], s[old]) for s in (knows_new, knows_old))
    new, former = (side_by_side(told, shares, s) for s in (knows_new, knows_old))
    true_difference = true_new - true_old
    assert abs((new.corrected.ap - former.corrected.ap) - true_difference) < 0.4 * abs(
        (new.naive.ap - former.naive.ap) - true_difference
    )


def test_where_all_is_told_both_agree_with_the_plain_measure() -> None:
    one = world(5, count=5_000)
    found = side_by_side(one.fraud, np.ones(len(one.fraud)), one.score)
    assert found.naive == found.corrected
    assert found.naive.ap == pytest.approx(metrics.average_precision(one.fraud, one.score))
    assert (found.rows, found.left_out) == (5_000, 0)


def test_payments_too_young_are_left_out_of_both() -> None:
    found = side_by_side([True, False, False], [1.0, 0.05, 0.5], [0.9, 0.8, 0.1])
    assert (found.rows, found.told, found.left_out) == (2, 1, 1)
    assert found.naive.ap == 1


def test_nothing_known_is_none_and_no_error() -> None:
    found = side_by_side([], [], [])
    assert found.shown()["ap_naive"] is None
    assert ToldByAge([], []).share([DAY]).tolist() == [0.0]
    assert RecentFigures().figures().rows == 0


def test_fraud_told_in_the_future_is_refused() -> None:
    with pytest.raises(DataError, match="1 of 2 frauds were told after"):
        ToldByAge([DAY, 3 * DAY], [2 * DAY, 2 * DAY])


def test_running_figures_are_those_of_the_last_payments() -> None:
    one, recent = world(6, count=3_000), RecentFigures(most=1_000)
    for told, score in zip(one.told.tolist(), one.score.tolist(), strict=True):
        recent.add(told=told, share=0.5, score=score)
    assert recent.figures() == side_by_side(one.told[-1_000:], np.full(1_000, 0.5), one.score[-1_000:])
    assert recent.figures().corrected.fraud_share == pytest.approx(2 * recent.figures().naive.fraud_share)
