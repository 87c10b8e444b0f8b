"""Sampling: every fraud, genuine rows by stratum, enough of them, and bins that see what the trees see."""

import numpy as np
import pytest

from fraud.training.dataset import FRAUD, Dataset
from fraud.training.sampling import Shares, bin_edges, drawn, strata, worst
from fraud.training.train import usual_slices


def test_every_fraud_is_drawn_and_genuine_rows_by_their_stratum(data: Dataset) -> None:
    inner = usual_slices(data).inner
    ranked = np.random.default_rng(0).random(len(inner))
    chances = strata(inner, ranked, Shares(0.2, 0.15, 0.5), 1)
    kept = [drawn(data, chances, 0, epoch) for epoch in range(20)]
    fraud = np.flatnonzero(data.fraud == FRAUD)
    hardest = inner[ranked >= np.quantile(ranked, 0.98)]
    hardest = hardest[data.fraud[hardest] != FRAUD]
    for some, log_share in kept:
        assert np.isin(np.intersect1d(inner, fraud), some).all()
        assert sorted(set(np.round(np.exp(log_share), 4).tolist())) == pytest.approx([0.15, 0.2, 0.5], abs=1e-4)
    assert np.mean([np.isin(hardest, some).mean() for some, _ in kept]) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("least", "drawn_share"), [(1, 0.05), (50_000, 0.25), (500_000, 1.0)])
def test_an_epoch_draws_enough_rows_where_there_are(least: int, drawn_share: float) -> None:
    """A stream of 200,000 payments gave 60 steps an epoch, and the network learned half of what it could."""
    scores = np.random.default_rng(0).random(200_000)
    chances = strata(np.arange(200_000), scores, Shares(0.03, 0.15, 0.5), least)
    assert float(chances.share.mean()) == pytest.approx(drawn_share, abs=0.01)
    assert chances.share[chances.hard].min() >= chances.share[~chances.hard].max()
    assert int(chances.hard.sum()) == 4_000


@pytest.mark.parametrize(("plain", "expected"), [(0, 0.02), (0.985, 0.015), (1.0, 0.0), (0.5, 0.02)])
def test_equal_scores_do_not_make_everything_hard(plain: float, expected: float) -> None:
    """A booster of two trees gave 98.5 % of the rows one score: all were hard, and hard rows no longer stood out."""
    scores = np.random.default_rng(0).random(20_000)
    scores[: int(plain * len(scores))] = 0.0
    assert worst(scores, 0.02).mean() == pytest.approx(expected, abs=1e-4)
    if 0 < expected:
        assert scores[worst(scores, 0.02)].min() > scores[~worst(scores, 0.02)].max() - 1e-12


def test_bins_see_a_threshold_in_the_tail_as_the_trees_do() -> None:
    """A fraud is any amount above 220; one amount in 500 is: quantiles alone leave one bin from 160 on."""
    rng = np.random.default_rng(1)
    amounts = rng.gamma(2.0, 30.0, (20_000, 1)).astype(np.float32)
    splits = [np.sort(np.concatenate([np.full(40, 220.0), rng.uniform(10, 150, 20)]))]
    plain, told = bin_edges(amounts, 16)[0], bin_edges(amounts, 16, splits)[0]
    assert plain[-2] < 200
    assert 220.0 in told
    assert (np.diff(told) >= 0).all()
    assert told[0] == plain[0]
    assert told[-1] == plain[-1]
    np.testing.assert_array_equal(bin_edges(amounts, 16, [np.array([220.0])])[0], plain)
