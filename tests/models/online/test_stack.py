"""Paces and mixture together: what is published, snapshots, and payments that are weighed only."""

import numpy as np
import pytest

from fraud.core.errors import StateError
from fraud.core.learning.mixture import Mixture
from fraud.core.learning.outcomes import Outcome, loss
from models.online.learner import FAST, SLOW, LeafLearner
from models.online.parameters import CLIP, corrections, experts, neutral, towards
from models.online.stack import MIXTURE, Learned, OnlineStack
from tests.models.online.drawn import LEAVES, payments


def labels(seed: int, count: int) -> list[Learned]:
    rng = np.random.default_rng(seed)
    said = rng.uniform(0.01, 0.99, (count, 3)).tolist()
    return [Learned(*one, tuple(p)) for one, p in zip(payments(seed, count), said, strict=True)]


def taught(stack: OnlineStack, some: list[Learned]) -> OnlineStack:
    for one in some:
        stack.learn(one)
    return stack


def test_stack_is_two_paces_and_a_mixture() -> None:
    some = labels(1, 200)
    found = taught(OnlineStack(LEAVES), some).export()
    mixture = Mixture()
    for pace, changes in zip((SLOW, FAST), found.changes, strict=True):
        learner = LeafLearner(LEAVES, pace)
        for one in some:
            learner.learn(one.leaves, one.base, one.outcome)
        np.testing.assert_array_equal(changes, learner.values().astype(np.float32))
    for one in some:
        mixture.learn([loss(one.outcome, p) for p in one.experts])
    assert found.weights == mixture.weights


def test_payment_that_was_not_kept_is_weighed_and_not_learned() -> None:
    stack = OnlineStack(LEAVES)
    stack.learn(Learned([0, 5], -3.0, Outcome(False, 1.0, 0.0), (0.1, 0.2, 0.3)))
    assert not stack.export().changes.any()
    assert stack.weights[0] > 0.5


def test_told_fraud_is_always_learned() -> None:
    stack = OnlineStack(LEAVES)
    stack.learn(Learned([0, 5], -3.0, Outcome(True, 1.0, 0.05), (0.1, 0.2, 0.3)))
    assert stack.export().changes.any()


@pytest.mark.parametrize("cut", [0, 61, 199])
def test_restored_stack_goes_on_to_the_bit(cut: int) -> None:
    some = labels(2, 200)
    whole = taught(OnlineStack(LEAVES), some).snapshot()
    restored = OnlineStack(LEAVES)
    restored.restore(taught(OnlineStack(LEAVES), some[:cut]).snapshot())
    found = taught(restored, some[cut:]).snapshot()
    assert found.keys() == whole.keys()
    assert all(np.array_equal(found[name], whole[name]) for name in whole)


def test_state_is_plain_numbers() -> None:
    assert {array.dtype.char for array in OnlineStack(LEAVES).snapshot().values()} <= {"d", "l", "q"}


def test_incomplete_state_is_refused() -> None:
    state = OnlineStack(LEAVES).snapshot()
    del state[MIXTURE]
    with pytest.raises(StateError, match="no weight for each of frozen, slow, fast"):
        OnlineStack(LEAVES).restore(state)


def test_experts_of_a_correction_by_hand() -> None:
    found = experts(np.array([0.0]), np.array([[1.0, -9.0]]))
    np.testing.assert_allclose(found, [[0.5, 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(CLIP))]])


def test_neutral_parameters_correct_nothing() -> None:
    leaves = np.array([[0, 5], [1, 6]], np.int32)
    assert not corrections(neutral(LEAVES), leaves).any()


def test_share_of_a_step_lies_between() -> None:
    live, then = neutral(LEAVES), taught(OnlineStack(LEAVES), labels(3, 50)).export()
    half = towards(live, then, 0.5)
    np.testing.assert_allclose(half.changes, then.changes / 2)
    assert half.weights == pytest.approx([(a + b) / 2 for a, b in zip(live.weights, then.weights, strict=True)])
    assert towards(live, then, 1) == then
