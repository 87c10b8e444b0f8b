"""The mixture's weights against Bayes' rule, its bound, and its snapshots."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.core.errors import StateError
from fraud.core.learning.mixture import PRIOR, SHARE, Mixture

LOSSES = st.lists(st.tuples(*(st.floats(0, 14) for _ in PRIOR)), max_size=30)


def test_weights_by_hand() -> None:
    mixture = Mixture()
    mixture.learn([math.log(2), 0.0, math.log(4)])
    # .5 / 2, .25, .25 / 4 are .25, .25, .0625 of .5625
    for weight, bayes, prior in zip(mixture.weights, (4 / 9, 4 / 9, 1 / 9), PRIOR, strict=True):
        assert weight == pytest.approx((1 - SHARE) * bayes + SHARE * prior)


@given(LOSSES)
def test_weights_are_a_distribution_that_shuts_nobody_out(losses: list[tuple[float, ...]]) -> None:
    mixture = Mixture()
    for some in losses:
        mixture.learn(some)
    assert sum(mixture.weights) == pytest.approx(1)
    assert all(weight >= SHARE * prior for weight, prior in zip(mixture.weights, PRIOR, strict=True))
    assert 0 <= mixture.probability((0.1, 0.9, 1.0)) <= 1


@given(st.lists(st.tuples(*(st.floats(0.01, 0.99) for _ in PRIOR), st.booleans()), min_size=1, max_size=60))
def test_mixture_loses_little_more_than_its_best_expert(said: list[tuple[float, float, float, bool]]) -> None:
    mixture, mixed, alone = Mixture(), 0.0, [0.0] * len(PRIOR)
    for *experts, fraud in said:
        losses = [-math.log(p if fraud else 1 - p) for p in experts]
        p = mixture.probability(experts)
        mixed -= math.log(p if fraud else 1 - p)
        alone = [had + loss for had, loss in zip(alone, losses, strict=True)]
        mixture.learn(losses)
    dealt = -len(said) * math.log1p(-SHARE)
    assert all(mixed <= had - math.log(prior) + dealt + 1e-9 for had, prior in zip(alone, PRIOR, strict=True))


@given(LOSSES, LOSSES)
def test_restored_mixture_goes_on_to_the_bit(first: list[tuple[float, ...]], then: list[tuple[float, ...]]) -> None:
    one, other = Mixture(), Mixture()
    for some in first:
        one.learn(some)
    other.restore(one.snapshot())
    for some in then:
        one.learn(some)
        other.learn(some)
    assert one.weights == other.weights


def test_foreign_state_is_refused() -> None:
    two = Mixture((0.5, 0.5))
    with pytest.raises(StateError, match="holds 3 weights, expected 2"):
        two.restore(Mixture().snapshot())
    with pytest.raises(StateError, match="cannot be read"):
        two.restore(b"\xc1")
    with pytest.raises(ValueError, match="1 in all"):
        Mixture((0.5, 0.6))
