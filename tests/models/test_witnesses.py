"""Events that a score rests on: their leave-one-out effects, which of them are told, and what they cost."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fraud.core.evidence import MOST_EVENTS
from fraud.core.ports import Matrix, Tokens
from models.boosting.trees import Trees
from models.reasons import coalitions
from models.reasons.of_blend import Explainer
from models.reasons.witnesses import Witnesses
from tests.models.conftest import FEATURES, Fitted
from tests.models.histories import DAY, Blended, Held, Reckoning, Says, event, fraud, score, tokens

F64 = NDArray[np.float64]

NAMES = ("amount", "card_frauds_7d", "card_count_1d", "merchant_since_first", "merchant_frauds_7d", "pair_count_30d",
         "hour", "card_since_first", "merchant_count_1h", "mcc", "device_count_1d", "card_labels_7d")  # fmt: skip
NEUTRAL = np.zeros(FEATURES, np.float32)
HISTORY = tokens(
    {
        0: [event(60.0, 10.0), fraud(DAY), event(2 * DAY, 30.0), *[event(3 * DAY)] * 12],
        1: [fraud(DAY), *[event(DAY)] * 2],
        2: [event(DAY), fraud(DAY)],
    },
    {1: [fraud(30 * DAY)]},
    sides=3,
)


def weighed(matrix: Matrix, read: Tokens) -> F64:
    """Say 1 a known fraud of the card, 2 one of the merchant, 0.25 any payment of the card, and the amounts of both."""
    there, frauds = read.raw[..., 0].astype(np.float64), read.raw[..., 23].astype(np.float64)
    logs = read.raw[..., 1].astype(np.float64) * there
    rest: F64 = 0.25 * there[:, 0].sum(axis=1) + 0.001 * logs[:, :2].sum(axis=(1, 2))
    found: F64 = frauds[:, 0].sum(axis=1) + 2 * frauds[:, 1].sum(axis=1) + rest
    return found


def explainer(says: Says, trees: Trees) -> tuple[Explainer, Reckoning]:
    network = Reckoning(says, tuple(range(FEATURES)))
    return Explainer(Blended(NAMES, trees, network, NEUTRAL)), network


def found(made: Explainer, taken: int = 1, least: float = 0.05) -> dict[tuple[int, int], float]:
    """Return the effects of events by side and raw row, played beside an estimate."""
    sides = taken + 1
    held = Tokens(HISTORY.raw[:, :sides], HISTORY.sums[:, :sides], HISTORY.codes[:, :sides], HISTORY.text)
    witnesses = Witnesses(made.game(NEUTRAL, score(taken), held), least)
    coalitions.estimate(witnesses.play, len(made.game(NEUTRAL, score(taken), held).players))
    return {(one.side, one.row): one.effect for one in witnesses.found()}


def test_effect_of_an_event_is_what_the_log_odds_lose_without_it(fitted: Fitted) -> None:
    made, _ = explainer(weighed, fitted.trees)
    effects = found(made)
    for (side, row), effect in effects.items():
        left = HISTORY.raw[:, :2].copy()
        left[0, side, row] = 0
        whole = weighed(NEUTRAL[None], HISTORY)
        lost = whole - weighed(NEUTRAL[None], Tokens(left, HISTORY.sums, HISTORY.codes, HISTORY.text))
        assert effect == pytest.approx(lost[0], abs=1e-5)
    assert effects[0, 1] == pytest.approx(1.25, abs=0.01)
    assert effects[1, 0] == effects[1, 48] == pytest.approx(2.0, abs=0.01)


def test_events_are_eight_a_side_at_most_the_few_of_a_group_first_then_the_newest(fitted: Fitted) -> None:
    made, _ = explainer(weighed, fitted.trees)
    of_card = [row for side, row in found(made) if side == 0]
    assert len(of_card) == MOST_EVENTS
    assert set(of_card) == {1, 0, *range(2, 8)}
    assert of_card[0] == 1


def test_events_of_groups_that_change_nothing_are_left_out(fitted: Fitted) -> None:
    made, _ = explainer(lambda matrix, read: read.raw[:, 0, :, 23].sum(axis=1).astype(np.float64), fitted.trees)
    assert found(made) == {(0, 1): pytest.approx(1.0)}
    assert found(made, least=1.5) == {}


def test_events_of_the_device_are_told_at_the_last_exit(fitted: Fitted) -> None:
    made, _ = explainer(lambda matrix, read: np.zeros(len(matrix)), fitted.trees)
    assert found(made, taken=2) == {(2, 0): pytest.approx(1.0), (2, 1): pytest.approx(1.0)}


def test_values_of_coalitions_are_the_games_whether_events_are_played_beside_or_not(fitted: Fitted) -> None:
    made, _ = explainer(weighed, fitted.trees)
    row = np.nan_to_num(fitted.rows[100], nan=0.5)
    told = made.explain(row, score(1), Held(HISTORY), events=True)
    assert told._replace(events=()) == made.explain(row, score(1), Held(HISTORY))
    assert any(told.events)


def test_events_cost_rows_of_a_batch_that_is_played_anyway(fitted: Fitted) -> None:
    made, network = explainer(weighed, fitted.trees)
    row, calls = np.nan_to_num(fitted.rows[100], nan=0.5), list[int]()
    says = network.says

    def counted(matrix: Matrix, read: Tokens) -> F64:
        calls.append(len(matrix))
        return says(matrix, read)

    network.says = counted
    made.explain(row, score(1), Held(HISTORY))
    without, calls[:] = list(calls), []
    told = made.explain(row, score(1), Held(HISTORY), events=True)
    assert len(calls) == len(without) == 2
    assert sum(calls) - sum(without) == sum(map(len, told.events)) <= 2 * MOST_EVENTS


def test_events_are_told_with_the_weight_of_the_network_and_named_by_the_histories(fitted: Fitted) -> None:
    made, _ = explainer(lambda matrix, read: read.raw[:, 0, :, 23].sum(axis=1).astype(np.float64), fitted.trees)
    (card, merchant) = made.explain(NEUTRAL, score(1), Held(HISTORY), events=True).events
    assert [(one.tx_hash, one.happened_at) for one in card] == [(2**64 - 1, 1_000_000)]
    assert card[0].effect == pytest.approx(2.0)
    assert merchant == ()


def test_game_of_few_players_has_its_events_played_too(fitted: Fitted) -> None:
    made, _ = explainer(lambda matrix, read: read.raw[:, 0, :, 0].sum(axis=1).astype(np.float64), fitted.trees)
    game = made.game(NEUTRAL, score(1), tokens({0: [event(60.0), event(DAY)]}))
    witnesses = Witnesses(game, 0.05)
    assert witnesses.found() == []
    coalitions.estimate(witnesses.play, len(game.players))
    assert [(one.side, one.row) for one in witnesses.found()] == [(0, 0), (0, 1)]
    assert [one.effect for one in witnesses.found()] == pytest.approx([1.0, 1.0])
