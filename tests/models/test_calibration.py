"""Beta calibration: right in the mean, and never a change of order."""

import numpy as np
import pytest

from models.calibration import Beta, fit


def sigmoid(x: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return 1 / (1 + np.exp(-x))


def test_fit_recovers_a_known_distortion() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(-2, 2, size=200_000)
    fraud = rng.random(len(truth)) < sigmoid(truth)
    beta = fit((truth - 0.7) / 1.5, fraud)
    probabilities = np.array(beta.probabilities(((truth - 0.7) / 1.5).tolist()))
    assert np.abs(probabilities - sigmoid(truth)).max() < 0.03
    assert probabilities.mean() == pytest.approx(fraud.mean(), abs=1e-4)


def test_probabilities_keep_the_order_and_stay_inside_the_unit_interval() -> None:
    raw = np.linspace(-60, 60, 5_001).tolist()
    values = Beta(1.3, 0.4, -0.2).probabilities(raw)
    assert values == sorted(values)
    assert all(0 <= value <= 1 for value in Beta().probabilities([-1e4, 1e4]))


def test_identity_is_the_logistic_function() -> None:
    raw = np.linspace(-30, 30, 101)
    np.testing.assert_allclose(Beta().probabilities(raw.tolist()), sigmoid(raw), rtol=1e-12)


def test_fit_on_scores_that_rank_backwards_never_reverses_the_order() -> None:
    raw = np.linspace(-3, 3, 1_000)
    a, b, _ = fit(raw, raw < 0)
    assert a >= 0
    assert b >= 0


def test_fit_of_scores_far_from_the_truth_converges() -> None:
    """Full Newton steps oscillate here: every probability ended at 1e-217."""
    rng = np.random.default_rng(2)
    raw = np.concatenate([rng.normal(-40, 12, 20_000), rng.normal(-10, 30, 400)])
    fraud = np.concatenate([rng.random(20_000) < 2e-3, rng.random(400) < 0.8])
    probabilities = np.array(fit(raw, fraud).probabilities(raw.tolist()))
    assert probabilities.mean() == pytest.approx(fraud.mean(), rel=1e-3)
    assert len(np.unique(probabilities)) > 20_000


@pytest.mark.parametrize("verdict", [True, False])
def test_fit_on_one_kind_of_verdict_changes_nothing(verdict: bool) -> None:
    assert fit(np.zeros(3), np.full(3, verdict)) == Beta()
