"""Policies: monotone, versioned by content, cheapest action, budget kept; lists and rules beat the model."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.core.errors import SettingsError
from fraud.core.policy import CapacityPolicy, CostPolicy, ThresholdPolicy, decide, fit_capacity
from fraud.core.ports import Policy, RuleOutcome
from fraud.core.records import Action, Score, Transaction

PROBABILITY = st.floats(0.0, 1.0)
AMOUNT = st.integers(0, 10_000_000)
POLICIES: list[Policy] = [CostPolicy(), ThresholdPolicy(), CapacityPolicy(0.01, 0.2, 0.8, alert_share=0.01, sample=9)]


def payment(base_amount: int = 5_000) -> Transaction:
    return Transaction(
        id="t", card="c", merchant="m", amount=base_amount, base_amount=base_amount, happened_at=0, seen_at=0
    )


def cost_policies() -> st.SearchStrategy[CostPolicy]:
    share = st.floats(0.0, 0.2)
    fixed = st.floats(0.0, 3_000.0)
    return st.builds(
        CostPolicy,
        fraud_fixed=fixed,
        challenge_stops=st.floats(0.3, 0.7),
        challenge_share=share,
        challenge_fixed=fixed,
        review_stops=st.floats(0.91, 1.0),
        review_share=share.map(lambda x: x / 10),
        review_fixed=fixed,
        decline_share=st.floats(0.1, 0.4),
        decline_fixed=fixed,
    )


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
@given(first=PROBABILITY, second=PROBABILITY, amount=AMOUNT)
def test_action_never_softens_as_probability_rises(policy: Policy, first: float, second: float, amount: int) -> None:
    low, high = sorted((first, second))
    assert policy.action(low, amount).rank <= policy.action(high, amount).rank


@given(probability=PROBABILITY, amount=AMOUNT, policy=cost_policies())
def test_cost_policy_takes_the_cheapest_action(probability: float, amount: int, policy: CostPolicy) -> None:
    costs = policy.costs(probability, amount)
    assert costs[policy.action(probability, amount).rank] == min(costs)


@given(policy=cost_policies(), first=PROBABILITY, second=PROBABILITY, amount=AMOUNT)
def test_cost_policy_of_any_accepted_costs_is_monotone(
    policy: CostPolicy, first: float, second: float, amount: int
) -> None:
    low, high = sorted((first, second))
    assert policy.action(low, amount).rank <= policy.action(high, amount).rank


@given(probability=PROBABILITY, amount=AMOUNT, policy=cost_policies())
def test_cost_thresholds_say_what_the_action_does(probability: float, amount: int, policy: CostPolicy) -> None:
    thresholds = policy.thresholds(amount)
    if all(abs(probability - point) > 1e-6 for point in thresholds):
        assert thresholds.action(probability) is policy.action(probability, amount)


def test_cost_policy_defaults_ask_before_they_decline() -> None:
    for amount, thresholds in CostPolicy().table():
        assert 0.01 < thresholds.challenge < 0.1, amount
        assert thresholds.challenge <= thresholds.review <= thresholds.decline
        assert 0.4 < thresholds.decline < 0.8, amount


def test_cost_policy_review_dearer_than_all_it_saves_is_never_chosen() -> None:
    policy = CostPolicy(review_fixed=1e9)
    assert {policy.action(p / 100, 5_000) for p in range(101)} == {Action.APPROVE, Action.CHALLENGE, Action.DECLINE}
    assert policy.thresholds(5_000).review == policy.thresholds(5_000).decline


def test_cost_policy_that_lets_riskier_payments_pass_is_refused() -> None:
    with pytest.raises(SettingsError, match="review would become worse than challenge"):
        CostPolicy(challenge_stops=0.95, review_stops=0.5)


@pytest.mark.parametrize(("name", "value"), [("review_fixed", -1.0), ("review_stops", 1.2), ("fraud_share", math.nan)])
def test_cost_policy_impossible_cost_is_named(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=f"policy cost {name} = "):
        CostPolicy(**{name: value})


def test_cost_policy_expected_loss_counts_the_chargeback_fee() -> None:
    assert CostPolicy(fraud_fixed=1_000).expected_loss(0.5, 5_000) == 3_000


def test_thresholds_out_of_order_are_refused() -> None:
    with pytest.raises(SettingsError, match="out of order"):
        ThresholdPolicy(challenge=0.5, review=0.4)


def test_policy_version_follows_content_and_kind() -> None:
    versions = {
        CostPolicy().version,
        CostPolicy(review_fixed=301).version,
        ThresholdPolicy().version,
        ThresholdPolicy(decline=0.95).version,
        CapacityPolicy().version,
    }
    assert len(versions) == 5
    assert ThresholdPolicy(0, 1, 1).version == ThresholdPolicy(0.0, 1.0, 1.0).version


@given(
    scores=st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]) | PROBABILITY, min_size=1, max_size=200),
    share=st.floats(0.001, 1.0),
)
def test_capacity_policy_keeps_its_budget_on_the_sample(scores: list[float], share: float) -> None:
    policy = fit_capacity(scores, share=share)
    alerts = sum(policy.action(score, 100) is not Action.APPROVE for score in scores)
    assert alerts <= share * len(scores) + 1e-6
    if len(set(scores)) == len(scores):
        assert alerts == int(share * len(scores) + 1e-9)


def test_capacity_policy_takes_alerts_a_day() -> None:
    policy = fit_capacity(np.linspace(0, 1, 10_000), alerts_a_day=100, payments_a_day=5_000)
    actions = [policy.action(score, 1) for score in np.linspace(0, 1, 10_000).tolist()]
    counts = [actions.count(action) for action in (Action.CHALLENGE, Action.REVIEW, Action.DECLINE)]
    assert counts == [100, 90, 10]


def test_capacity_policy_equal_scores_beyond_the_budget_are_all_approved() -> None:
    assert fit_capacity([0.0] * 100, share=0.01).action(0.0, 1) is Action.APPROVE


@pytest.mark.parametrize("budget", [{"share": 0.0}, {"share": 1.5}, {"alerts_a_day": 5.0}, {}])
def test_capacity_policy_budget_without_meaning_is_refused(budget: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="alert budget"):
        fit_capacity([0.1, 0.2], **budget)


def test_capacity_policy_without_scores_is_refused() -> None:
    with pytest.raises(SettingsError, match="over 0 scores"):
        fit_capacity([], share=0.1)


@pytest.mark.parametrize(
    ("score", "outcome", "expected"),
    [
        (0.0, RuleOutcome(), (Action.APPROVE, 0.0)),
        (0.0, RuleOutcome(floor=0.4), (Action.REVIEW, 0.4)),
        (0.5, RuleOutcome(floor=0.4), (Action.REVIEW, 0.5)),
        (0.0, RuleOutcome(at_least=Action.CHALLENGE), (Action.CHALLENGE, 0.0)),
        (0.95, RuleOutcome(at_least=Action.CHALLENGE), (Action.DECLINE, 0.95)),
        (0.95, RuleOutcome(at_most=Action.APPROVE), (Action.APPROVE, 0.95)),
        (0.95, RuleOutcome(at_most=Action.APPROVE, at_least=Action.DECLINE), (Action.DECLINE, 0.95)),
        (0.0, RuleOutcome(at_most=Action.APPROVE, at_least=Action.DECLINE), (Action.DECLINE, 0.0)),
    ],
)
def test_decide_clamps_the_policys_action(score: float, outcome: RuleOutcome, expected: tuple[Action, float]) -> None:
    assert decide(payment(), Score("t", score, "v"), outcome, ThresholdPolicy()) == expected
