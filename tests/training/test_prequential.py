"""Frozen against refreshed: weeks, gain under the same draws, calibration, and figures as known on a day."""

import numpy as np
import pytest

from fraud.core import metrics
from fraud.core.records import DAY
from fraud.training import prequential
from fraud.training.prequential import NEVER, Decided


def decided(seed: int = 0, count: int = 20_000, weeks: int = 4) -> tuple[Decided, np.ndarray]:
    """Return payments of some weeks with a base that knows half, and the probabilities of a model that knows all."""
    rng = np.random.default_rng(seed)
    half, other = rng.normal(-4.5, 1.2, count), rng.normal(0, 1.2, count)
    truth, base = 1 / (1 + np.exp(-half - other)), 1 / (1 + np.exp(-half))
    fraud = rng.random(count) < truth
    time = np.sort((rng.random(count) * weeks * 7 * DAY).astype(np.int64)) + 100 * DAY
    told = np.where(fraud, time + (rng.exponential(8, count) * DAY).astype(np.int64), NEVER)
    return Decided(time, rng.integers(0, 300, count), fraud, told, base), truth


def test_gain_is_the_mean_over_weeks_of_each_weeks_own() -> None:
    of, better = decided()
    found = prequential.against_frozen(of, better, draws=50)
    each = [
        metrics.average_precision(of.fraud[of.week == n], better[of.week == n])
        - metrics.average_precision(of.fraud[of.week == n], of.frozen[of.week == n])
        for n in range(4)
    ]
    assert found["gain"] == pytest.approx(np.mean(each), abs=1e-4)
    low, high = found["interval"]
    assert 0 < low < found["gain"] < high
    assert found["log_loss"][1] < found["log_loss"][0]
    assert found["slope"][1] == pytest.approx(1, abs=0.1)
    assert found["top_1pct"][1] == pytest.approx(1, abs=0.1)


def test_the_frozen_model_gains_nothing_on_itself() -> None:
    of, _ = decided()
    found = prequential.against_frozen(of, of.frozen, draws=50)
    assert (found["gain"], found["interval"]) == (0, [0, 0])


def test_scores_that_drift_between_weeks_cost_no_weekly_precision() -> None:
    of, better = decided()
    drifting = better * np.array([1, 0.1, 0.01, 0.001])[of.week]
    found = prequential.against_frozen(of, drifting, draws=10)
    assert found["gain"] == prequential.against_frozen(of, better, draws=10)["gain"]
    assert found["pooled"][1] < 0.8 * metrics.average_precision(of.fraud, better)


def test_weeks_of_few_frauds_are_shown_without_precision_and_left_out_of_the_mean() -> None:
    of, better = decided()
    quiet = of._replace(fraud=of.fraud & (of.week != 1))
    shown = prequential.weeks(quiet, better)
    assert [one["ap"][0] is None for one in shown] == [False, True, False, False]
    assert sum(one["rows"] for one in shown) == len(of.time)
    assert prequential.against_frozen(quiet, better, draws=10)["gain"] is not None


def test_no_fraud_at_all_is_none_and_no_error() -> None:
    of, better = decided(count=500)
    found = prequential.against_frozen(of._replace(fraud=np.zeros(500, bool)), better, draws=10)
    assert found["gain"] is None
    assert found["interval"] == [None, None]


def test_bands_hold_every_payment_and_the_frauds_to_be_expected() -> None:
    of, better = decided()
    found = prequential.bands(of.fraud, better)
    assert sum(one["rows"] for one in found) == len(better)
    assert sum(one["frauds"] for one in found) == of.fraud.sum()
    for one in found:
        if one["expected"] > 100:
            assert one["frauds"] == pytest.approx(one["expected"], rel=0.2)


def test_figures_as_known_on_a_day_are_shown_with_and_without_the_correction() -> None:
    of, better = decided(count=100_000)
    found = prequential.as_known(of, {"frozen": of.frozen, "refreshed": better}, int(of.time[-1]))
    assert found["told_share"] == pytest.approx([1 - np.exp(-a / 8) for a in (1, 7, 28)], abs=0.06)
    for name in ("frozen", "refreshed"):
        figures = found[name]
        assert figures["ap_naive"] < figures["ap"] - 0.03
        assert figures["ap_corrected"] == pytest.approx(figures["ap"], abs=0.03)
        assert figures["fraud_share_naive"] < 0.8 * found["fraud_share"]
        assert figures["fraud_share_corrected"] == pytest.approx(found["fraud_share"], rel=0.06)


def test_figures_as_known_before_anything_was_told_are_none() -> None:
    of, better = decided(count=500)
    found = prequential.as_known(of, {"refreshed": better}, int(of.time[0]) - 1)
    assert found["refreshed"]["ap_naive"] is None
    assert found["fraud_share"] is None
