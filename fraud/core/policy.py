"""Score to action: thresholds from a cost matrix, from an alert capacity, or fixed.

A block list beats an allow list, which beats the model: `decide` lifts the score to the rules' floor, asks the policy,
then clamps the action from above (allow) and from below (block).
"""

import hashlib
import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.core.errors import SettingsError
from fraud.core.ports import Policy, RuleOutcome
from fraud.core.records import Action, Score, Transaction


def decide(tx: Transaction, score: Score, outcome: RuleOutcome, policy: Policy) -> tuple[Action, float]:
    """Return the action and the score it rests on, rules and lists taken into account."""
    value = max(score.value, outcome.floor)
    action = policy.action(value, tx.base_amount)
    if outcome.at_most is not None and action.rank > outcome.at_most.rank:
        action = outcome.at_most
    if outcome.at_least is not None and action.rank < outcome.at_least.rank:
        action = outcome.at_least
    return action, value


class ThresholdPolicy(msgspec.Struct, frozen=True):
    """Fixed thresholds on the calibrated probability: at or above it, the action is at least this hard."""

    challenge: float = 0.1
    review: float = 0.3
    decline: float = 0.9

    def __post_init__(self) -> None:
        """Refuse thresholds that are out of order; raise SettingsError."""
        if not 0.0 <= self.challenge <= self.review <= self.decline:
            msg = (
                f"policy thresholds challenge={self.challenge}, review={self.review}, decline={self.decline} are out "
                "of order: expected 0 <= challenge <= review <= decline"
            )
            raise SettingsError(msg)

    @property
    def version(self) -> str:
        """Return a hash of the thresholds."""
        return content_hash(self)

    def action(self, score: float, base_amount: int) -> Action:
        """Return the hardest action whose threshold the score reaches."""
        del base_amount
        if score < self.challenge:
            return Action.APPROVE
        if score < self.review:
            return Action.CHALLENGE
        return Action.REVIEW if score < self.decline else Action.DECLINE

    def expected_loss(self, score: float, base_amount: int) -> int:
        """Return probability times amount, in minor units."""
        return math.floor(score * base_amount + 0.5)


class ActionCost(msgspec.Struct, frozen=True):
    """What one action costs: shares of the amount, and fixed minor units, in each of the two worlds."""

    fraud_share: float
    genuine_share: float
    fixed: int

    def at(self, probability: float, base_amount: int) -> float:
        """Return the expected cost, in minor units."""
        share = probability * self.fraud_share + (1.0 - probability) * self.genuine_share
        return share * base_amount + self.fixed


class CostPolicy(msgspec.Struct, frozen=True):
    """The action of least expected cost at this probability and amount.

    Defaults: a fraud let through costs its amount; a challenge stops 90 % of frauds and loses 2 % of genuine sales'
    amount in abandonment; a review stops 95 %, delays the sale (1 %) and costs 3.00; a decline stops all and loses a
    quarter of a genuine sale in margin and goodwill.
    """

    approve: ActionCost = ActionCost(1.0, 0.0, 0)
    challenge: ActionCost = ActionCost(0.10, 0.02, 20)
    review: ActionCost = ActionCost(0.05, 0.01, 300)
    decline: ActionCost = ActionCost(0.0, 0.25, 0)

    @property
    def version(self) -> str:
        """Return a hash of the costs."""
        return content_hash(self)

    def action(self, score: float, base_amount: int) -> Action:
        """Return the cheapest action; of equals, the mildest."""
        costs = self.costs(score, base_amount)
        return min(Action, key=lambda action: costs[action.rank])

    def costs(self, score: float, base_amount: int) -> tuple[float, float, float, float]:
        """Return the expected cost of each action in order of hardness, in minor units."""
        every = self.approve, self.challenge, self.review, self.decline
        first, second, third, fourth = (cost.at(score, base_amount) for cost in every)
        return first, second, third, fourth

    def expected_loss(self, score: float, base_amount: int) -> int:
        """Return the expected cost of letting the payment through, in minor units."""
        return math.floor(self.approve.at(score, base_amount) + 0.5)


def capacity_policy(scores: NDArray[np.float64] | Sequence[float], alert_share: float) -> ThresholdPolicy:
    """Return thresholds that would have put `alert_share` of a reference sample of scores above approve.

    Half of the alerts are challenged, the upper half reviewed, the top twentieth declined.

    Raises:
        SettingsError: when the share is not in (0, 1] or the sample is empty.
    """
    sample = np.asarray(scores, np.float64)
    if not 0.0 < alert_share <= 1.0 or not len(sample):
        msg = f"alert share {alert_share} over {len(sample)} scores: expected a share in (0, 1] and at least one score"
        raise SettingsError(msg)
    challenge, review, decline = np.quantile(sample, [1 - alert_share, 1 - alert_share / 2, 1 - alert_share / 20])
    return ThresholdPolicy(float(challenge), float(review), float(decline))


def content_hash(policy: msgspec.Struct) -> str:
    """Return a short hash of a policy's kind and numbers."""
    text = type(policy).__name__.encode() + msgspec.json.encode(policy)
    return hashlib.sha256(text).hexdigest()[:12]
