"""Mixtures, calibration and the risk control of early approval."""

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from fraud.core import metrics
from fraud.training import blend
from fraud.training.blend import early_thresholds, fit_exits, most_lost, upper_bound


@pytest.mark.parametrize(("lost", "frauds"), [(0, 630), (3, 2_000), (1, 50), (0, 10)])
def test_upper_bound_is_clopper_and_pearsons(lost: int, frauds: int) -> None:
    assert upper_bound(lost, frauds) == pytest.approx(stats.beta.ppf(0.95, lost + 1, frauds - lost), abs=1e-9)


def test_most_lost_needs_enough_frauds_to_prove_anything() -> None:
    assert most_lost(0) == -1
    assert most_lost(590) == -1
    assert most_lost(630) == 0
    assert most_lost(2_000) == 4


def rows(count: int = 40_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return verdicts and two scorers that each know a part of the truth."""
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=count), rng.normal(size=count)
    logit = -6 + 2 * one + 2 * two
    fraud = rng.random(count) < 1 / (1 + np.exp(-logit))
    return fraud, -6 + 2 * one, (-6 + 2 * two)[:, None]


def test_mixture_weighs_both_parts_and_is_calibrated() -> None:
    fraud, raw, logits = rows()
    exits = fit_exits(raw, logits, fraud)
    assert len(exits) == 2
    assert exits[1].booster == pytest.approx(1, abs=0.15)
    assert exits[1].network == pytest.approx(1, abs=0.15)
    for one, own in zip(exits, (raw, logits[:, 0]), strict=True):
        assert one.probabilities(raw, own).sum() == pytest.approx(fraud.sum(), rel=0.02)


def test_mixture_gives_a_part_that_misleads_no_weight() -> None:
    fraud, raw, logits = rows()
    exits = fit_exits(raw, -logits, fraud)
    assert exits[1].network == 0
    assert exits[1].booster > 0.5


def test_network_alone_has_no_weight_on_the_booster() -> None:
    fraud, raw, logits = rows()
    assert fit_exits(np.zeros_like(raw), logits, fraud)[1].booster == 0


def test_early_threshold_loses_no_more_frauds_than_the_bound_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blend, "MOST_AP", 1.0)
    fraud, raw, logits = rows()
    exits = fit_exits(raw, logits, fraud)
    limit = early_thresholds(exits, raw, logits, fraud)[0]
    last = exits[-1].probabilities(raw, logits[:, 0])
    leaves = exits[0].probabilities(raw, raw) < limit
    lost = int((fraud & (last >= np.quantile(last, 0.99)) & leaves).sum())
    assert 0 < lost <= most_lost(int(fraud.sum()))
    assert upper_bound(lost, int(fraud.sum())) <= 0.005


def test_early_threshold_keeps_the_ranking() -> None:
    fraud, raw, logits = rows()
    exits = fit_exits(raw, logits, fraud)
    limit = early_thresholds(exits, raw, logits, fraud)[0]
    early, last = exits[0].probabilities(raw, raw), exits[-1].probabilities(raw, logits[:, 0])
    leaves = early < limit
    full = metrics.average_precision(fraud, last)
    assert 0.1 < leaves.mean() < 1
    assert metrics.average_precision(fraud, np.where(leaves, early, last)) >= full - 0.001


def test_early_exit_stays_shut_where_too_few_frauds_prove_it_safe() -> None:
    fraud, raw, logits = rows(2_000)
    exits = fit_exits(raw, logits, fraud)
    assert most_lost(int(fraud.sum())) == -1
    assert early_thresholds(exits, raw, logits, fraud) == (0.0,)
