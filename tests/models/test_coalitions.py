"""Shapley values from few coalitions: against games whose values are known."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from models.reasons import coalitions
from models.reasons.coalitions import Play

F64 = NDArray[np.float64]


Reckoned = Callable[[int], tuple[Play, F64]]


def pairwise(players: int) -> tuple[Play, F64]:
    """Return a random game of single and pairwise effects, and its Shapley values."""
    rng = np.random.default_rng(players)
    single, pairs = rng.normal(size=players), np.triu(rng.normal(size=(players, players)), 1)

    def play(z: NDArray[np.float32]) -> F64:
        found: F64 = 3.0 + z @ single + np.einsum("ni,ij,nj->n", z, pairs, z)
        return found

    return play, single + (pairs + pairs.T).sum(axis=1) / 2


def four(players: int) -> tuple[Play, F64]:
    """Return a game of single effects in which the last four win 8 together, and its Shapley values."""
    single = np.arange(players) / players

    def play(z: NDArray[np.float32]) -> F64:
        found: F64 = z @ single + 8 * z[:, -4:].prod(axis=1)
        return found

    return play, single + 2.0 * (np.arange(players) >= players - 4)


@pytest.mark.parametrize("players", [1, 2, 4, 5, 9, 13])
@pytest.mark.parametrize("game", [pairwise, four])
def test_estimates_are_shapley_values_where_few_players_act_together(players: int, game: Reckoned) -> None:
    if game is four and players < 4:
        return
    play, expected = game(players)
    found = coalitions.estimate(play, players)
    np.testing.assert_allclose(found.effects, expected, atol=1e-5)
    assert found.remainder == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("players", [1, 2, 3, 6])
def test_exact_effects_of_pairwise_games_are_shapley_values(players: int) -> None:
    play, expected = pairwise(players)
    np.testing.assert_allclose(coalitions.evaluate(play, players).effects, expected, atol=1e-5)


def test_exact_effects_of_a_glove_game_are_known() -> None:
    def play(z: NDArray[np.float32]) -> F64:
        return ((z[:, 0] + z[:, 1] > 0) & (z[:, 2] > 0)).astype(np.float64)

    np.testing.assert_allclose(coalitions.evaluate(play, 3).effects, [1 / 6, 1 / 6, 2 / 3])


def test_remainder_is_what_five_players_do_together() -> None:
    found = coalitions.estimate(lambda z: z.prod(axis=1).astype(np.float64), 5)
    assert found.together == 1
    # Each of four gains half of a quarter, with the fifth there; the fifth gains when it is the last to come.
    assert found.remainder == pytest.approx(1 - 4 / 8 - 1 / 2)
    found = coalitions.estimate(lambda z: z.prod(axis=1).astype(np.float64), 6)
    assert found.remainder == pytest.approx(1 - 4 / 8 - 2 / 2)


@pytest.mark.parametrize("players", range(coalitions.MOST + 1))
def test_estimate_stays_within_the_budget(players: int) -> None:
    played: list[tuple[float, ...]] = []

    def play(z: NDArray[np.float32]) -> F64:
        played.extend(map(tuple, z.tolist()))
        return np.zeros(len(z))

    coalitions.estimate(play, players)
    assert len(played) == len(set(played)) + (not players)
    assert len(played) <= coalitions.ROWS
    assert played[:2] == [(1.0,) * players, (0.0,) * players]


@pytest.mark.parametrize("players", [0, 1, 2, 4, 5, 9])
@pytest.mark.parametrize("reckon", [coalitions.estimate, coalitions.evaluate])
def test_value_without_each_player_is_what_all_others_are_worth(
    players: int, reckon: Callable[[Play, int], coalitions.Estimate]
) -> None:
    play, _ = pairwise(players)
    found = reckon(play, players)
    assert found.whole == pytest.approx(play(np.ones((1, players), np.float32))[0])
    np.testing.assert_allclose(found.missing, play((1 - np.eye(players)).astype(np.float32)))
