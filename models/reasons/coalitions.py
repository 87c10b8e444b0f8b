"""Shapley values of a small game from few of its coalitions.

A player's Shapley value is its mean gain over the sizes of the coalition that it joins. The first batch plays the two
ends: joining nobody and joining everybody else; their mean is exact for games of single and pairwise effects. The
second gives the four players who matter most all their coalitions, once without and once with all others: exact too for
whatever those four do together. Every step is linear: effects = weights @ values, so plans are made once.
"""

import math
from collections.abc import Callable
from functools import cache, lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

CLOSE = 4
"""Players whose coalitions are all played."""
MOST = 16
"""The most players a game is planned for: 56 coalitions."""
ROWS = 2 * MOST + 2 + 2 * (2**CLOSE - CLOSE - 1)

Play = Callable[[F32], F64]
"""Coalitions, float32 (coalitions, players) of 0 and 1, to their values."""


class Plan(NamedTuple):
    """Coalitions to play, float32 (coalitions, players) of 0 and 1, and weights, float64 (players, coalitions).

    The first coalition is everybody, the second nobody.
    """

    coalitions: F32
    weights: F64


class Estimate(NamedTuple):
    """Each player's effect, float64 (players,), and what all of them are worth together.

    `whole` is the value of everybody, `missing` that of everybody but each, float64 (players,): it is played anyway.
    """

    effects: F64
    together: float
    whole: float
    missing: F64

    @property
    def remainder(self) -> float:
        """Return what no player's effect accounts for."""
        return self.together - float(self.effects.sum())


def estimate(play: Play, players: int) -> Estimate:
    """Return estimated Shapley values: one batch of 2 k + 2 coalitions and one of 22."""
    plan = ends(players)
    values = play(plan.coalitions)
    if players > CLOSE:
        plan = closer(players, matter(values, players))
        values = np.concatenate([values, play(plan.coalitions[len(values) :])])
    return of_values(plan, values)


def evaluate(play: Play, players: int) -> Estimate:
    """Return Shapley values themselves, of all 2^k coalitions: what estimates are judged by."""
    plan = exact(players)
    return of_values(plan, play(plan.coalitions))


def of_values(plan: Plan, values: F64) -> Estimate:
    """Return what the values of a plan's coalitions, float64 (coalitions,), say."""
    missing = without_each(plan.coalitions, values)
    return Estimate(plan.weights @ values, float(values[0] - values[1]), float(values[0]), missing)


def without_each(coalitions: F32, values: F64) -> F64:
    """Return the value of everybody but each player, float64 (players,), of coalitions that are all among those."""
    players = coalitions.shape[1]
    rows = np.flatnonzero(coalitions.sum(axis=1) == players - 1)
    found = np.empty(players)
    if players:
        found[coalitions[rows].argmin(axis=1)] = values[rows]
    return found


def matter(values: F64, players: int) -> tuple[int, ...]:
    """Return, ascending, the players with the largest gain at one of the ends; `values` are those of `ends`."""
    alone, missing = values[2 : 2 + players] - values[1], values[0] - values[2 + players :]
    largest = np.maximum(np.abs(alone), np.abs(missing))
    return tuple(sorted(int(player) for player in np.argsort(-largest, kind="stable")[:CLOSE]))


@cache
def ends(players: int) -> Plan:
    """Return the mean of "only one" and "all but one"; all coalitions where there are no more of those."""
    if players <= CLOSE:
        return exact(players)
    one = np.eye(players)
    coalitions = np.concatenate([np.ones((1, players)), np.zeros((1, players)), one, 1 - one])
    everybody, nobody = np.full((players, 1), 0.5), np.full((players, 1), -0.5)
    return Plan(coalitions.astype(np.float32), np.concatenate([everybody, nobody, one / 2, -one / 2], axis=1))


@lru_cache(maxsize=1_024)
def closer(players: int, chosen: tuple[int, ...]) -> Plan:
    """Return `ends` with all coalitions of the chosen players behind it, without and with all others."""
    first, among = ends(players), exact(len(chosen))
    place = {tuple(row): number for number, row in enumerate(first.coalitions.tolist())}
    weights = np.zeros((players, len(place) + 2 * len(among.coalitions)))
    weights[:, : len(place)] = first.weights
    weights[list(chosen)] = 0
    for others in (0.0, 1.0):
        for row, weight in zip(among.coalitions, among.weights.T, strict=True):
            coalition = np.full(players, others)
            coalition[list(chosen)] = row
            weights[list(chosen), place.setdefault(tuple(coalition.tolist()), len(place))] += weight / 2
    return Plan(np.array(list(place), dtype=np.float32), weights[:, : len(place)].copy())


@cache
def exact(players: int) -> Plan:
    """Return all 2^k coalitions and Shapley's weights, for up to about 16 players."""
    sizes = sorted(range(players + 1), key=lambda size: (size != players, size))
    sets = [chosen for size in sizes for chosen in combinations(range(players), size)]
    if not players:
        return Plan(np.zeros((2, 0), np.float32), np.zeros((0, 2)))
    coalitions = np.zeros((len(sets), players))
    for place, chosen in enumerate(sets):
        coalitions[place, list(chosen)] = 1
    size = coalitions.sum(axis=1).astype(int)
    share = np.array([1 / (players * math.comb(players - 1, joined)) for joined in range(players)])
    joins, stays = share[np.maximum(size - 1, 0)], share[np.minimum(size, players - 1)]
    return Plan(coalitions.astype(np.float32), np.where(coalitions.T > 0, joins, -stays))
