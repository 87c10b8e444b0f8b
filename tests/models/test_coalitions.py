"""Shapley values from few coalitions: against games whose values are known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models import coalitions
from models.coalitions import Plan

F64 = NDArray[np.float64]


def pairwise(players: int, plan: Plan, seed: int = 0) -> tuple[F64, F64]:
    """Return effects by a plan, and Shapley values, of a random game of single and pairwise effects."""
    rng = np.random.default_rng(seed)
    single, pairs = rng.normal(size=players), np.triu(rng.normal(size=(players, players)), 1)
    z = plan.coalitions.astype(np.float64)
    values = 3.0 + z @ single + np.einsum("ni,ij,nj->n", z, pairs, z)
    return plan.effects(values), single + (pairs + pairs.T).sum(axis=1) / 2


@pytest.mark.parametrize("players", [1, 2, 3, 6, 13])
def test_planned_effects_of_pairwise_games_are_shapley_values(players: int) -> None:
    found, expected = pairwise(players, coalitions.few(players))
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("players", [1, 2, 3, 6])
def test_exact_effects_of_pairwise_games_are_shapley_values(players: int) -> None:
    found, expected = pairwise(players, coalitions.exact(players))
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_exact_effects_of_a_glove_game_are_known() -> None:
    plan = coalitions.exact(3)
    z = plan.coalitions
    values = ((z[:, 0] + z[:, 1] > 0) & (z[:, 2] > 0)).astype(np.float64)
    np.testing.assert_allclose(plan.effects(values), [1 / 6, 1 / 6, 2 / 3])


@pytest.mark.parametrize("plan", [coalitions.exact(5), coalitions.few(5)])
def test_plan_starts_with_everybody_and_nobody(plan: Plan) -> None:
    assert plan.coalitions[0].all()
    assert not plan.coalitions[1].any()


@pytest.mark.parametrize("players", range(1, coalitions.MOST + 1))
def test_planned_coalitions_stay_within_the_budget(players: int) -> None:
    plan = coalitions.few(players)
    assert len(plan.coalitions) <= coalitions.ROWS
    assert plan.weights.shape == (players, len(plan.coalitions))


def test_plan_of_nobody_has_no_effects() -> None:
    assert coalitions.few(0).effects(np.zeros(2)).shape == (0,)
