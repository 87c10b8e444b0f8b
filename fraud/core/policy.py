"""Score to action: thresholds from a cost matrix, from an alert capacity, or fixed.

Precedence, strongest first: block list, allow list, rules, model. `decide` lifts the score to the rules' floor, asks
the policy, then clamps the action from above (`at_most`, an allow list) and at last from below (`at_least`, a rule or
a block list), so the harder bound wins. Who silences whom among rules and lists is settled by the rule book before.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.core.errors import SettingsError
from fraud.core.fields import setting
from fraud.core.metrics import within_budget
from fraud.core.ports import Policy, RuleOutcome
from fraud.core.records import Action, Score, Transaction

NEVER = math.inf
ACTIONS = tuple(Action)


def decide(tx: Transaction, score: Score, outcome: RuleOutcome, policy: Policy) -> tuple[Action, float]:
    """Return the action and the score it rests on, rules and lists taken into account."""
    value = max(score.value, outcome.floor)
    action = policy.action(value, tx.base_amount)
    if outcome.at_most is not None and action.rank > outcome.at_most.rank:
        action = outcome.at_most
    if outcome.at_least is not None and action.rank < outcome.at_least.rank:
        action = outcome.at_least
    return action, value


class Thresholds(NamedTuple):
    """The least probability at which the action is at least this hard; infinite when it never is."""

    challenge: float
    review: float
    decline: float

    def action(self, score: float) -> Action:
        """Return the hardest action whose threshold the score reaches."""
        if score < self.challenge:
            return Action.APPROVE
        if score < self.review:
            return Action.CHALLENGE
        return Action.REVIEW if score < self.decline else Action.DECLINE


class ThresholdPolicy(msgspec.Struct, frozen=True, dict=True, forbid_unknown_fields=True):
    """Fixed thresholds on the calibrated probability: at or above it, the action is at least this hard."""

    challenge: Annotated[float, setting("Challenge at or above.", "probability")] = 0.1
    review: Annotated[float, setting("Review at or above.", "probability")] = 0.3
    decline: Annotated[float, setting("Decline at or above.", "probability")] = 0.9

    def __post_init__(self) -> None:
        """Refuse thresholds that are out of order; raise SettingsError."""
        _check_order(self.thresholds(0))

    @cached_property
    def version(self) -> str:
        """Return a hash of the thresholds."""
        return content_hash(self)

    def thresholds(self, base_amount: int) -> Thresholds:
        """Return the thresholds; they are the same for every amount."""
        del base_amount
        return Thresholds(self.challenge, self.review, self.decline)

    def action(self, score: float, base_amount: int) -> Action:
        """Return the hardest action whose threshold the score reaches."""
        return self.thresholds(base_amount).action(score)

    def expected_loss(self, score: float, base_amount: int) -> int:
        """Return probability times amount, in minor units."""
        return math.floor(score * base_amount + 0.5)

    def at_stake(self, action: Action, score: float, base_amount: int, timed_out: Action = Action.APPROVE) -> int:
        """Return the expected cost of leaving a payment alone, by the default costs: thresholds have none."""
        return DEFAULT_COSTS.left_alone(action, claimed(self, action, score, base_amount), base_amount, timed_out)


class CapacityPolicy(ThresholdPolicy, frozen=True, forbid_unknown_fields=True):
    """The thresholds that an alert budget would have met on a reference sample of scores; `fit_capacity` makes it.

    `alert_share` is the budget as a share of payments, `sample` the number of scores it was fitted on.
    """

    alert_share: float = 0.0
    sample: int = 0


class ActionCost(msgspec.Struct, frozen=True):
    """What one action costs: a share of the amount and a fixed sum in minor units if it is fraud, and if it is not.

    `fixed` is due either way.
    """

    fraud_share: float = 0.0
    fraud_fixed: float = 0.0
    genuine_share: float = 0.0
    genuine_fixed: float = 0.0
    fixed: float = 0.0

    @property
    def line(self) -> tuple[float, float, float, float]:
        """Return the cost at probability 0, and how much more it is at 1; each as share of the amount and fixed sum."""
        more = self.fraud_share - self.genuine_share, self.fraud_fixed - self.genuine_fixed
        return self.genuine_share, self.genuine_fixed + self.fixed, *more


class CostPolicy(msgspec.Struct, frozen=True, dict=True, forbid_unknown_fields=True):
    """The action of least expected cost at this probability and amount; of equals, the mildest.

    Shares are of the amount, fixed sums in minor units of the base currency.

    - A fraud let through costs `fraud_share` of the amount and `fraud_fixed` for the chargeback's handling.
    - A challenge stops `challenge_stops` of the frauds; of genuine sales it loses `challenge_share` in given-up
      purchases, and `challenge_fixed` in messages and patience whoever is asked.
    - A review stops `review_stops` of the frauds, costs `review_fixed` of an analyst's time, and loses `review_share`
      of genuine sales that would not wait.
    - A decline stops every fraud and costs `decline_share` (margin) and `decline_fixed` (anger) of a genuine sale.

    The expected cost of each action is a straight line over the probability, and a harder action's line must fall more
    steeply (or rise less) at every amount: so a higher probability never gives a milder action. Costs for which that
    does not hold are refused.

    >>> policy = CostPolicy()
    >>> policy.action(0.001, 5_000), policy.action(0.5, 5_000)
    (<Action.APPROVE: 'approve'>, <Action.REVIEW: 'review'>)
    >>> [round(p, 3) for p in policy.thresholds(5_000)]
    [0.058, 0.081, 0.576]
    """

    fraud_share: Annotated[float, setting("Cost of a fraud let through.", "share of the amount")] = 1.0
    fraud_fixed: Annotated[float, setting("The same, whatever the amount: the chargeback fee.", "minor units")] = (
        1_500.0
    )
    challenge_stops: Annotated[float, setting("Frauds that a challenge stops.", "share")] = 0.70
    challenge_share: Annotated[float, setting("Genuine sales given up at a challenge.", "share of the amount")] = 0.05
    challenge_fixed: Annotated[float, setting("Cost of a challenge.", "minor units")] = 30.0
    review_stops: Annotated[float, setting("Frauds that a review stops.", "share")] = 0.95
    review_share: Annotated[float, setting("Genuine sales that do not wait for it.", "share of the amount")] = 0.02
    review_fixed: Annotated[float, setting("Cost of a review.", "minor units")] = 300.0
    decline_share: Annotated[float, setting("Margin lost with a genuine sale.", "share of the amount")] = 0.15
    decline_fixed: Annotated[float, setting("Anger of a holder declined wrongly.", "minor units")] = 500.0

    def __post_init__(self) -> None:
        """Refuse costs that are no costs, or that would make a riskier payment pass; raise SettingsError."""
        for name in self.__struct_fields__:
            _check_cost(name, getattr(self, name))
        for (mild, low), (hard, high) in pairwise(self.matrix.items()):
            _check_steeper(mild, low, hard, high)

    @cached_property
    def version(self) -> str:
        """Return a hash of the costs."""
        return content_hash(self)

    @cached_property
    def matrix(self) -> dict[Action, ActionCost]:
        """Return the cost of each action, mildest first."""
        return {
            Action.APPROVE: ActionCost(self.fraud_share, self.fraud_fixed),
            Action.CHALLENGE: self._stopping(self.challenge_stops, self.challenge_share, self.challenge_fixed),
            Action.REVIEW: self._stopping(self.review_stops, self.review_share, self.review_fixed),
            Action.DECLINE: ActionCost(genuine_share=self.decline_share, genuine_fixed=self.decline_fixed),
        }

    def action(self, score: float, base_amount: int) -> Action:
        """Return the cheapest action; of equals, the mildest."""
        costs = self.costs(score, base_amount)
        return ACTIONS[costs.index(min(costs))]

    def costs(self, score: float, base_amount: int) -> list[float]:
        """Return the expected cost of each action in order of hardness, in minor units."""
        return [
            share * base_amount + fixed + score * (more_share * base_amount + more_fixed)
            for share, fixed, more_share, more_fixed in self._lines
        ]

    def thresholds(self, base_amount: int) -> Thresholds:
        """Return, for one amount, the probabilities at which a harder action becomes the cheapest."""
        starts = self.costs(0.0, base_amount)
        slopes = [more_share * base_amount + more_fixed for _, _, more_share, more_fixed in self._lines]
        return Thresholds(*(_overtakes(starts, slopes, rank) for rank in (1, 2, 3)))

    def table(self, amounts: Sequence[int] = (500, 2_000, 5_000, 20_000, 100_000)) -> Iterator[tuple[int, Thresholds]]:
        """Yield the thresholds of several amounts (minor units), for a listing."""
        for amount in amounts:
            yield amount, self.thresholds(amount)

    def expected_loss(self, score: float, base_amount: int) -> int:
        """Return probability times what a fraud of this amount costs when let through, in minor units."""
        return math.floor(score * (self.fraud_share * base_amount + self.fraud_fixed) + 0.5)

    def at_stake(self, action: Action, score: float, base_amount: int, timed_out: Action = Action.APPROVE) -> int:
        """Return the expected cost of leaving a payment alone; a held one ends with the action `timed_out`."""
        return self.left_alone(action, claimed(self, action, score, base_amount), base_amount, timed_out)

    def left_alone(self, action: Action, score: float, base_amount: int, timed_out: Action) -> int:
        """Return the same of a score that the action may rest on."""
        last = timed_out if action is Action.REVIEW else action
        return math.floor(self.costs(score, base_amount)[last.rank] + 0.5)

    @cached_property
    def _lines(self) -> tuple[tuple[float, float, float, float], ...]:
        return tuple(cost.line for cost in self.matrix.values())

    def _stopping(self, stops: float, genuine_share: float, fixed: float) -> ActionCost:
        """Return the cost of an action that stops a share of the frauds, and costs `fixed` either way."""
        passed = 1.0 - stops
        return ActionCost(passed * self.fraud_share, passed * self.fraud_fixed, genuine_share, fixed=fixed)


def fit_capacity(
    scores: NDArray[np.floating] | Sequence[float],
    *,
    share: float | None = None,
    alerts_a_day: float | None = None,
    payments_a_day: float | None = None,
) -> CapacityPolicy:
    """Return the policy that would have put no more than the budget of a reference sample above approve.

    The budget is a `share` of payments, or `alerts_a_day` among `payments_a_day`. Equal scores stay on one side, so
    with ties fewer may be alerted, never more. Of the alerts the upper half is reviewed and the top twentieth declined.

    Raises:
        SettingsError: when the budget is no share in (0, 1], or the sample is empty.
    """
    sample = np.sort(np.asarray(scores, np.float64))
    budget = _budget_share(share, alerts_a_day, payments_a_day)
    if not 0.0 < budget <= 1.0 or not len(sample) or np.isnan(sample[-1]):
        msg = (
            f"alert budget {budget:g} of payments over {len(sample)} scores: expected a share in (0, 1] and at least "
            "one score, none of them NaN"
        )
        raise SettingsError(msg)
    alerts = within_budget(budget, len(sample))
    challenge, review, decline = (_least_of_top(sample, count) for count in (alerts, alerts // 2, alerts // 20))
    return CapacityPolicy(challenge, review, decline, alert_share=budget, sample=len(sample))


def claimed(policy: ThresholdPolicy | CostPolicy, action: Action, score: float, base_amount: int) -> float:
    """Return the score, or the least one that takes the action where a rule has asked for more than the score does."""
    if policy.action(score, base_amount).rank >= action.rank:
        return score
    return min(policy.thresholds(base_amount)[action.rank - 1], 1.0)


def content_hash(policy: msgspec.Struct) -> str:
    """Return a short hash of a policy's kind and numbers."""
    numbers = [f"{name}={float(getattr(policy, name)).hex()}" for name in policy.__struct_fields__]
    text = "\n".join([type(policy).__name__, *numbers])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _overtakes(lines: Sequence[float], slopes: Sequence[float], rank: int) -> float:
    """Return the least probability at which some action of at least this rank is cheaper than every milder one.

    Lines fall more steeply with rank, so a harder action overtakes a milder one once and stays ahead.
    """
    points = (
        max(_crossing(lines[hard] - lines[mild], slopes[mild] - slopes[hard]) for mild in range(rank))
        for hard in range(rank, len(lines))
    )
    least = min(points)
    return least if least <= 1.0 else NEVER


def _crossing(ahead: float, gain: float) -> float:
    """Return where a line that starts `ahead` above another one, and gains on it, meets it."""
    if ahead < 0.0:
        return 0.0
    return ahead / gain if gain > 0.0 else NEVER


def _check_cost(name: str, value: float) -> None:
    most = 1.0 if name.endswith("_stops") else math.inf
    if not 0.0 <= value <= most or math.isinf(value):
        msg = f"policy cost {name} = {value}: expected a number from 0" + (" to 1" if most == 1.0 else " upwards")
        raise SettingsError(msg)


def _check_steeper(mild: Action, low: ActionCost, hard: Action, high: ActionCost) -> None:
    """Refuse a harder action whose cost gains less on a rising probability than the milder one's."""
    if low.line[2] < high.line[2] or low.line[3] < high.line[3]:
        msg = (
            f"policy costs: {hard} would become worse than {mild} as fraud becomes likelier; expected {hard} to stop "
            f"at least as many frauds as {mild}, or to lose more genuine sales (raise {hard}'s shares, lower {mild}'s)"
        )
        raise SettingsError(msg)


def _check_order(given: Thresholds) -> None:
    if not 0.0 <= given.challenge <= given.review <= given.decline:
        msg = (
            f"policy thresholds challenge={given.challenge}, review={given.review}, decline={given.decline} are out "
            "of order: expected 0 <= challenge <= review <= decline"
        )
        raise SettingsError(msg)


def _budget_share(share: float | None, alerts_a_day: float | None, payments_a_day: float | None) -> float:
    if share is not None and alerts_a_day is None and payments_a_day is None:
        return share
    if share is None and alerts_a_day is not None and payments_a_day:
        return min(alerts_a_day / payments_a_day, 1.0)
    msg = "alert budget: expected either share, or alerts_a_day together with payments_a_day (above 0)"
    raise SettingsError(msg)


def _least_of_top(ascending: NDArray[np.float64], count: int) -> float:
    """Return the least score that at most `count` of the sample reach; infinite when none can be let in."""
    if count < 1:
        return NEVER
    threshold = ascending[len(ascending) - count]
    if count < len(ascending) and ascending[len(ascending) - count - 1] == threshold:
        above = np.searchsorted(ascending, threshold, "right")
        return float(ascending[above]) if above < len(ascending) else NEVER
    return float(threshold)


DEFAULT_COSTS = CostPolicy()
"""The costs that what is at stake goes by where a policy has none of its own."""
