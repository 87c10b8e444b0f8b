"""What a label says to a learner: slopes against likelihoods, thinning and told shares."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.core.errors import StateError
from fraud.core.learning.outcomes import (
    HARD,
    Outcome,
    kept_share,
    log_odds,
    loss,
    outcome_of,
    probability,
    slope,
)
from fraud.core.learning.told import ToldShare

LOGITS = st.floats(-12, 12)
SHARES = st.floats(0.02, 1)


def likelihood(outcome: Outcome, logit: float) -> float:
    """Return the chance of what was seen of a payment that was kept, from its definition."""
    p = 1 / (1 + math.exp(-logit))
    told, untold = outcome.told * p, outcome.kept * (1 - outcome.told * p)
    return (told if outcome.fraud else untold) / (told + untold)


@given(LOGITS, SHARES, SHARES, st.booleans())
def test_slope_is_the_derivative_of_the_likelihood(logit: float, told: float, kept: float, fraud: bool) -> None:
    outcome, h = Outcome(fraud, told, kept), 1e-5
    up, down = (-math.log(likelihood(outcome, logit + step)) for step in (h, -h))
    assert slope(outcome, logit) == pytest.approx((up - down) / (2 * h), abs=1e-5)


@given(LOGITS, SHARES, SHARES)
def test_slopes_cancel_where_the_probability_is_right(logit: float, told: float, kept: float) -> None:
    p = probability(logit)
    mean = told * p * slope(Outcome(True, told, kept), logit) + kept * (1 - told * p) * slope(
        Outcome(False, told, kept), logit
    )
    assert mean == pytest.approx(0, abs=1e-12)


@given(LOGITS, SHARES)
def test_slope_unthinned_is_delayed_feedback(logit: float, told: float) -> None:
    q = probability(logit)
    assert slope(Outcome(True, told), logit) == pytest.approx(q - 1)
    assert slope(Outcome(False, told), logit) == pytest.approx(told * q * (1 - q) / (1 - told * q), rel=1e-6, abs=1e-12)


@given(LOGITS, SHARES)
def test_slope_of_sure_labels_is_that_of_an_offset(logit: float, kept: float) -> None:
    q = probability(logit - math.log(kept))
    assert slope(Outcome(True, 1.0, kept), logit) == pytest.approx(q - 1)
    assert slope(Outcome(False, 1.0, kept), logit) == pytest.approx(q)


def test_slope_by_hand() -> None:
    # p = 1/2, F = 1/2, r = 1: .5 * .5 * .5 / (1 - .25)
    assert slope(Outcome(False, 0.5), 0.0) == pytest.approx(1 / 6)
    # p = 1/2, F = 1/2, r = 1/4: D = 1/4 + 3/4 * 1/4 = 7/16; -(1/2)(1/4) / D and (1/8) / (3/4 * D)
    assert slope(Outcome(True, 0.5, 0.25), 0.0) == pytest.approx(-2 / 7)
    assert slope(Outcome(False, 0.5, 0.25), 0.0) == pytest.approx(8 / 21)


@given(st.floats(-800, 800), SHARES, SHARES, st.booleans())
def test_slope_is_bounded_far_out(logit: float, told: float, kept: float, fraud: bool) -> None:
    assert -1 <= slope(Outcome(fraud, told, kept), logit) <= 1


def test_loss_by_hand() -> None:
    assert loss(Outcome(True, 0.5, 0.05), 0.25) == pytest.approx(math.log(4))
    assert loss(Outcome(False), 0.25) == pytest.approx(-math.log(0.75))
    assert loss(Outcome(False, 0.5), 0.5) == pytest.approx(-math.log(0.75))
    assert loss(Outcome(True), 0.0) == pytest.approx(-math.log(1e-6))


@given(st.floats(1e-10, 1 - 1e-10))
def test_log_odds_is_the_inverse(p: float) -> None:
    assert probability(log_odds(p)) == pytest.approx(p)


def test_all_hard_payments_are_kept_and_a_share_of_the_others() -> None:
    ids = [f"T{number}" for number in range(20_000)]
    assert all(kept_share(tx_id, HARD) == 1 for tx_id in ids)
    easy = [kept_share(tx_id, 0.001) for tx_id in ids]
    assert set(easy) == {0.0, 0.05}
    assert sum(share > 0 for share in easy) == pytest.approx(1_000, abs=120)
    assert easy == [kept_share(tx_id, 0.002) for tx_id in ids]


def test_outcome_of_a_told_fraud_is_kept_with_the_chance_it_would_have_had() -> None:
    assert outcome_of("T1", 0.5, fraud=False) == Outcome(False)
    assert outcome_of("T1", 0.5, fraud=True, told=0.4) == Outcome(True, 0.4)
    assert {outcome_of(f"T{n}", 0.001, fraud=True) for n in range(200)} == {Outcome(True, 1.0, 0.05)}
    assert {outcome_of(f"T{n}", 0.001, fraud=False).kept for n in range(200)} == {0.0, 0.05}


def test_told_share_goes_from_the_prior_to_what_was_seen() -> None:
    shares = ToldShare(prior=0.5, weight=20)
    assert shares.share("ecom") == 0.5
    for number in range(80):
        shares.closed("ecom", told_after=5 if number % 4 else 9, age=7)
    assert shares.share("ecom") == pytest.approx((60 + 10) / 100)
    assert shares.share("pos") == 0.5


def test_told_share_survives_a_snapshot() -> None:
    shares, other = ToldShare(), ToldShare()
    shares.closed("pos", 1, 7)
    other.restore(shares.snapshot())
    assert other.share("pos") == shares.share("pos")
    with pytest.raises(StateError, match="restore what `snapshot` returned"):
        other.restore(b"?")
