"""The bench of queue orders: who is looked at, and what a verdict saves, reckoned by hand."""

import numpy as np
import pytest

from fraud.core.decisions import alert_of
from fraud.core.policy import CostPolicy
from fraud.core.records import DAY, MINUTE, Action, Answer, Position, Raised
from fraud.core.settings import Settings
from tests.bench.console.stake import ORDERS, Waiting, compared, waiting, worked
from tests.review.taken import decision

COSTS = CostPolicy()
AMOUNT = 10_000


def alert(card: int, at: int, stake: int, until: int = 100, saves: float = 0.0) -> Waiting:
    return Waiting("held", card, at, until, stake, -stake, saves, 0.0)


def test_whoever_is_free_takes_the_first_that_waits_and_what_is_late_is_left() -> None:
    alerts = [alert(0, 0, 1), alert(1, 1, 5), alert(2, 2, 9, until=9), alert(3, 3, 7), alert(4, 90, 2)]
    by_stake = worked(alerts, ORDERS["at_stake"], 10.0)
    assert [each.card for each in by_stake] == [0, 3, 1, 4]
    assert [each.card for each in worked(alerts, ORDERS["oldest"], 10.0)] == [0, 1, 3, 4]
    assert [each.card for each in worked(alerts, ORDERS["at_stake"], 2.0)] == [0, 2, 3, 1, 4]


@pytest.mark.parametrize(
    ("action", "is_fraud", "saves", "patience"),
    [
        (Action.REVIEW, True, AMOUNT + 1_500, 30 * MINUTE),
        (Action.REVIEW, False, 0, 30 * MINUTE),
        (Action.DECLINE, True, 0, DAY),
        (Action.DECLINE, False, 0.15 * AMOUNT + 500, DAY),
        (Action.CHALLENGE, True, 0.3 * (AMOUNT + 1_500) + 30, DAY),
        (Action.CHALLENGE, False, 0.05 * AMOUNT + 30, DAY),
    ],
)
def test_verdict_saves_what_would_have_become_of_the_payment(
    action: Action, is_fraud: bool, saves: float, patience: int
) -> None:
    decided = decision(1, action, base_amount=AMOUNT, alert=Raised("a", 7, 3))
    answer = Answer(decision=decided, position=Position("t", 0, 0), alert=alert_of(decided))
    found = waiting(answer, COSTS, Settings(), 4, 50, is_fraud, 0.5)
    assert found.saves == pytest.approx(saves)
    assert (found.card, found.at, found.until, found.at_stake, found.expected_loss) == (4, 50, 50 + patience, 3, 7)


def test_orders_are_compared_over_cards_under_the_same_draws() -> None:
    rng = np.random.default_rng(5)
    saves = rng.integers(100, 1_000, 40).tolist()
    desk = [alert(card, 0, saves[card], 10_000, saves[card]) for card in range(40)]
    found = compared([desk], 1_000.0, 40)
    assert found.verdicts == 10
    assert found.saved["at_stake"] == found.saved["truth"]
    assert found.saved["at_stake"].estimate == pytest.approx(sum(sorted(saves)[-10:]) / 10 / 100)
    assert found.ratio.low > 1.0
