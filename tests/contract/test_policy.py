"""The promises of the Policy port, on every implementation."""

from itertools import pairwise, product

import pytest

from fraud.core.ports import Policy
from fraud.core.records import Action
from tests.contract.policies import POLICIES, PolicyCase

SCORES = [number / 200 for number in range(201)]
AMOUNTS = [0, 1, 99, 500, 2_000, 5_000, 20_000, 100_000, 10_000_000]


@pytest.fixture(params=POLICIES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> PolicyCase:
    found: PolicyCase = request.param
    return found


@pytest.fixture
def policy(case: PolicyCase) -> Policy:
    return case.policy


def test_action_is_one_of_the_four_and_the_same_when_asked_again(policy: Policy) -> None:
    first = [policy.action(score, amount) for score, amount in product(SCORES, AMOUNTS)]
    assert all(isinstance(action, Action) for action in first)
    assert [policy.action(score, amount) for score, amount in product(SCORES, AMOUNTS)] == first


@pytest.mark.parametrize("amount", AMOUNTS)
def test_action_never_softens_as_the_score_rises(policy: Policy, amount: int) -> None:
    ranks = [policy.action(score, amount).rank for score in SCORES]
    assert ranks == sorted(ranks)


def test_a_certain_fraud_of_some_worth_is_not_approved(policy: Policy) -> None:
    assert all(policy.action(1.0, amount) is not Action.APPROVE for amount in AMOUNTS if amount >= 500)


@pytest.mark.parametrize("amount", AMOUNTS)
def test_expected_loss_is_a_whole_number_of_minor_units_from_0(policy: Policy, amount: int) -> None:
    losses = [policy.expected_loss(score, amount) for score in SCORES]
    assert all(type(loss) is int for loss in losses)
    assert losses[0] == 0
    assert losses == sorted(losses)
    assert losses[-1] >= amount


def test_expected_loss_grows_with_the_amount(policy: Policy) -> None:
    losses = [policy.expected_loss(0.5, amount) for amount in AMOUNTS]
    assert all(low <= high for low, high in pairwise(losses))
    assert losses[-1] > losses[0]


@pytest.mark.parametrize("action", Action)
def test_what_is_at_stake_is_a_whole_number_from_0_and_the_same_when_asked_again(
    policy: Policy, action: Action
) -> None:
    stakes = [policy.at_stake(action, score, amount) for score, amount in product(SCORES, AMOUNTS)]
    assert all(type(stake) is int and stake >= 0 for stake in stakes)
    assert [policy.at_stake(action, score, amount) for score, amount in product(SCORES, AMOUNTS)] == stakes


def test_a_certain_fraud_that_is_declined_has_nothing_at_stake(policy: Policy) -> None:
    assert [policy.at_stake(Action.DECLINE, 1.0, amount) for amount in AMOUNTS] == [0] * len(AMOUNTS)


def test_version_is_that_of_equal_numbers(case: PolicyCase) -> None:
    same = type(case.policy)(*(getattr(case.policy, field) for field in case.fields))
    assert case.policy.version == same.version != ""


def test_version_changes_with_every_number(case: PolicyCase) -> None:
    versions = {case.policy.version, *(case.changed(field).version for field in case.fields)}
    assert len(versions) == len(case.fields) + 1


def test_policies_of_different_kinds_have_different_versions() -> None:
    assert len({case.policy.version for case in POLICIES}) == len(POLICIES)
