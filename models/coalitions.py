"""Shapley values of a small game from few of its coalitions: a plan says which to play and how to add them up.

Every estimator here is linear: effects = weights @ values, so a plan is made once for a number of players.
"""

import math
from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


class Plan(NamedTuple):
    """Coalitions to play, float32 (coalitions, players) of 0 and 1, and weights, float64 (players, coalitions).

    The first coalition is everybody, the second nobody.
    """

    coalitions: F32
    weights: F64

    def effects(self, values: F64) -> F64:
        """Return each player's effect, float64 (players,), from the coalitions' values."""
        effects: F64 = self.weights @ values
        return effects


ROWS = 30
"""Coalitions that a decision's reasons may cost."""
MOST = 14
"""The most players that fit."""


@cache
def few(players: int) -> Plan:
    """Return the mean of "all but one" and "only one": 2 k + 2 coalitions, exact for games of pairs.

    A player's Shapley value is its mean gain over all sizes of the coalition that it joins. Where the gain is a
    straight line in the players who are there, as in any game of single and pairwise effects, the mean is that of the
    two ends: joining nobody and joining everybody else.
    """
    if players <= 2:
        return exact(players)
    one = np.eye(players)
    coalitions = np.concatenate([np.ones((1, players)), np.zeros((1, players)), one, 1 - one])
    everybody, nobody = np.full((players, 1), 0.5), np.full((players, 1), -0.5)
    return Plan(coalitions.astype(np.float32), np.concatenate([everybody, nobody, one / 2, -one / 2], axis=1))


@cache
def exact(players: int) -> Plan:
    """Return all 2^k coalitions and Shapley's weights: what estimates are judged by, for up to about 16 players."""
    sizes = sorted(range(players + 1), key=lambda size: (size != players, size))
    sets = [chosen for size in sizes for chosen in combinations(range(players), size)]
    coalitions = np.zeros((len(sets), players))
    for place, chosen in enumerate(sets):
        coalitions[place, list(chosen)] = 1
    if not players:
        return Plan(np.zeros((2, 0), np.float32), np.zeros((0, 2)))
    size = coalitions.sum(axis=1).astype(int)
    share = np.array([1 / (players * math.comb(players - 1, joined)) for joined in range(players)])
    joins, stays = share[np.maximum(size - 1, 0)], share[np.minimum(size, players - 1)]
    return Plan(coalitions.astype(np.float32), np.where(coalitions.T > 0, joins, -stays))
