"""What is at stake is the expected cost of leaving a payment alone, reckoned here by hand."""

import pytest

from fraud.core.errors import SettingsError
from fraud.core.policy import CapacityPolicy, CostPolicy, ThresholdPolicy
from fraud.core.records import MINUTE, Action
from fraud.core.settings import load
from fraud.core.stakes import Held

COSTS = CostPolicy(
    fraud_share=1.0, fraud_fixed=1_000.0, challenge_stops=0.5, challenge_share=0.1, challenge_fixed=50.0,
    review_stops=0.9, review_share=0.0, review_fixed=200.0, decline_share=0.2, decline_fixed=400.0,
)  # fmt: skip
AMOUNT, P = 10_000, 0.3
PASSED = round(P * 11_000)
CHALLENGED = round(P * 0.5 * 11_000 + (1 - P) * 1_000 + 50)


@pytest.mark.parametrize(
    ("action", "p", "expected"),
    [
        (Action.APPROVE, P, PASSED),
        (Action.CHALLENGE, P, CHALLENGED),
        (Action.REVIEW, P, PASSED),
        (Action.DECLINE, 0.99, round(0.01 * 2_400)),
    ],
)
def test_at_stake_is_the_cost_of_what_becomes_of_the_payment(action: Action, p: float, expected: int) -> None:
    assert COSTS.at_stake(action, p, AMOUNT) == expected


@pytest.mark.parametrize(
    ("timed_out", "expected"),
    [(Action.APPROVE, PASSED), (Action.CHALLENGE, CHALLENGED), (Action.DECLINE, round((1 - P) * 2_400))],
)
def test_at_stake_of_a_held_payment_is_the_cost_of_its_time_out(timed_out: Action, expected: int) -> None:
    held = Held(COSTS, timed_out)
    assert held.at_stake(Action.REVIEW, P, AMOUNT) == expected
    assert held.at_stake(Action.CHALLENGE, P, AMOUNT) == CHALLENGED


def test_at_stake_of_a_policy_without_costs_goes_by_the_default_matrix() -> None:
    default = CostPolicy()
    for policy in (ThresholdPolicy(0.1, 0.2, 0.6), CapacityPolicy(0.1, 0.2, 0.6, alert_share=0.1, sample=9)):
        assert policy.at_stake(Action.REVIEW, 0.3, AMOUNT) == round(default.costs(0.3, AMOUNT)[0])
        assert policy.at_stake(Action.DECLINE, 0.7, AMOUNT) == round(default.costs(0.7, AMOUNT)[3])


@pytest.mark.parametrize("policy", [COSTS, ThresholdPolicy(0.1, 0.2, 0.6)], ids=lambda policy: type(policy).__name__)
@pytest.mark.parametrize("action", [Action.CHALLENGE, Action.REVIEW, Action.DECLINE])
def test_at_stake_of_a_score_too_low_for_the_action_counts_it_as_the_least_that_takes_it(
    policy: CostPolicy | ThresholdPolicy, action: Action
) -> None:
    least = policy.thresholds(AMOUNT)[action.rank - 1]
    assert policy.action(0.01, AMOUNT) is Action.APPROVE
    assert policy.at_stake(action, 0.01, AMOUNT) == policy.at_stake(action, least + 1e-9, AMOUNT)


def test_at_stake_of_an_action_that_the_policy_never_takes_counts_as_certain() -> None:
    never = CapacityPolicy(0.1, float("inf"), float("inf"))
    assert never.at_stake(Action.DECLINE, 0.5, AMOUNT) == 0


def test_settings_of_the_time_out_change_the_policys_version_only_where_payments_do_not_pass() -> None:
    plain = load("", {}).policy
    assert (plain.hold.action, plain.hold.delay) == ("approve", 30 * MINUTE)
    assert plain.build() == CostPolicy()
    held = load('[policy.hold]\naction = "decline"\ndelay = "2h"', {}).policy
    assert held.hold.delay == 120 * MINUTE
    built = held.build()
    assert built == Held(CostPolicy(), Action.DECLINE)
    assert built.version != CostPolicy().version
    assert (built.action(0.3, 100), built.expected_loss(0.3, 100)) == (
        CostPolicy().action(0.3, 100), CostPolicy().expected_loss(0.3, 100),
    )  # fmt: skip


def test_settings_refuse_a_time_out_that_holds_on() -> None:
    with pytest.raises(SettingsError, match=r"policy\.hold\.action: Invalid enum value 'review'"):
        load('[policy.hold]\naction = "review"', {})
