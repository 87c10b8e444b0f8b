"""A learner on River against the sum written out, through snapshots, and beside a twin."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from fraud.core.errors import StateError
from fraud.core.learning.outcomes import Outcome, probability, slope
from models.online.learner import EPS, FAST, SQUARES, WEIGHT, LeafLearner, OutcomeLoss
from models.online.parameters import CLIP
from tests.models.online.drawn import LEAVES, Payments, payments


def taught(learner: LeafLearner, labels: Payments) -> LeafLearner:
    for leaves, base, outcome in labels:
        learner.learn(leaves, base, outcome)
    return learner


def by_hand(labels: Payments, lr: float) -> NDArray[np.float64]:
    """Return the changes that AdaGrad makes, written out."""
    weight, squares = np.zeros(LEAVES), np.zeros(LEAVES)
    for leaves, base, outcome in labels:
        e = slope(outcome, base + float(np.clip(weight[leaves].sum(), -CLIP, CLIP)))
        squares[leaves] += e * e
        weight[leaves] -= lr * e / np.sqrt(squares[leaves] + EPS)
    return weight


@pytest.mark.parametrize("lr", [FAST, 2.0])
def test_changes_are_those_of_adagrad_written_out(lr: float) -> None:
    labels = payments(1, 500)
    np.testing.assert_allclose(taught(LeafLearner(LEAVES, lr), labels).values(), by_hand(labels, lr), atol=1e-12)


def test_first_step_by_hand() -> None:
    learner = LeafLearner(LEAVES, 0.01)
    learner.learn([3, 7], 0.0, Outcome(True))
    # the slope of a fraud at p = 1/2 is -1/2: .01 * .5 / sqrt(.25 + .0001)
    expected = 0.005 / math.sqrt(0.2501)
    assert learner.values()[[3, 7]] == pytest.approx(expected)
    assert learner.values().sum() == pytest.approx(2 * expected)
    assert learner.probability([3, 7], 0.0) == pytest.approx(probability(2 * expected))


def test_correction_is_clipped() -> None:
    learner = LeafLearner(LEAVES, 2.0)
    for _ in range(50):
        learner.learn([0, 5, 10], -5.0, Outcome(True))
    assert learner.values()[[0, 5, 10]].sum() > CLIP
    assert learner.probability([0, 5, 10], -5.0) == probability(-5.0 + CLIP)


def test_untaught_learner_says_what_the_base_says() -> None:
    assert LeafLearner(LEAVES, FAST).probability([1, 2], -4.0) == probability(-4.0)
    assert not LeafLearner(LEAVES, FAST).values().any()


def test_reading_changes_nothing() -> None:
    learner, twin = (taught(LeafLearner(LEAVES, FAST), payments(2, 50)) for _ in range(2))
    learner.probability([29, 1], 0.0)
    learner.values()
    learner.snapshot()
    rest = payments(3, 50)
    assert np.array_equal(taught(learner, rest).values(), taught(twin, rest).values())


def test_learners_fed_the_same_labels_are_equal_to_the_bit() -> None:
    labels = payments(4, 400)
    one, other = (taught(LeafLearner(LEAVES, FAST), labels).snapshot() for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("cut", [0, 1, 37, 399])
def test_restored_learner_goes_on_to_the_bit(cut: int) -> None:
    labels = payments(5, 400)
    whole = taught(LeafLearner(LEAVES, 2.0), labels).snapshot()
    restored = LeafLearner(LEAVES, 2.0)
    restored.restore(taught(LeafLearner(LEAVES, 2.0), labels[:cut]).snapshot())
    found = taught(restored, labels[cut:]).snapshot()
    assert all(np.array_equal(whole[name], found[name]) for name in whole)


def test_restoring_leaves_nothing_of_before() -> None:
    used = taught(LeafLearner(LEAVES, FAST), payments(6, 100))
    used.restore(LeafLearner(LEAVES, FAST).snapshot())
    assert not used.values().any()
    assert not used.snapshot()[SQUARES].any()


def test_state_of_other_trees_is_refused() -> None:
    with pytest.raises(StateError, match=r"'weight' has shape \(31,\), expected \(30,\)"):
        LeafLearner(LEAVES, FAST).restore(LeafLearner(LEAVES + 1, FAST).snapshot())
    with pytest.raises(StateError, match="'squares' has shape none"):
        LeafLearner(LEAVES, FAST).restore({WEIGHT: np.zeros(LEAVES)})


def test_loss_after_learning_is_not_to_be_had() -> None:
    with pytest.raises(NotImplementedError, match="not prequential"):
        OutcomeLoss()(Outcome(True), 0.0)
