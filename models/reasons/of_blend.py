"""Reasons of the blend: what each group of features and history adds to the log-odds, in words.

A group is a player in two games over the same groups. In the booster's, a feature that is out is unknown, as in
TreeSHAP; grouped exactly, not feature by feature and summed. In the network's (`network_game.py`), what is out is that
of a usual payment. Both games weigh as the mixture does; the booster's effects are exact, the network's come from two
batched forward passes (`coalitions.estimate`). What no group accounts for is the remainder, a reason of its own.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fraud.core.ports import Histories, Matrix, Tokens
from fraud.core.records import EXIT, Reason, Score, Values
from models.boosting import treeshap
from models.boosting.trees import F64, Trees
from models.reasons import coalitions
from models.reasons.catalogue import GROUPS, INTERACTION, OTHER, TOLD, group_of
from models.reasons.network_game import Game, HistoryNetwork, Places, TokenBuffers
from models.reasons.reading import Reading
from models.registry import Arrays, Card

F32 = NDArray[np.float32]
NEUTRAL, BIN_EDGES = "neutral", "weight.query.lower"
MATERIAL = 0.05
"""A smaller effect, in log-odds, is not told beside a larger one: 5 % in the odds."""


class MixtureWeights(Protocol):
    """What is asked of an exit: the weights of both parts in its mixture."""

    @property
    def booster(self) -> float:
        """Return the booster's weight."""

    @property
    def network(self) -> float:
        """Return the network's weight."""


class Blended(Protocol):
    """What is asked of a blend."""

    neutral: F32

    @property
    def card(self) -> Card:
        """Return the artifact's card, which names the features."""

    @property
    def trees(self) -> Trees:
        """Return the booster's trees."""

    @property
    def network(self) -> HistoryNetwork:
        """Return the network."""

    @property
    def exits(self) -> Sequence[MixtureWeights]:
        """Return the mixtures, one an exit."""


def usual(matrix: Matrix) -> F32:
    """Return a usual payment, float32 (features,): the median of rows, NaN where most have no value.

    Made of genuine training rows and stored with the artifact under `NEUTRAL`.
    """
    missing = np.isnan(matrix).mean(axis=0) > 0.5
    held = np.where(missing, 0.0, matrix)
    middle = np.nanquantile(held, 0.5, axis=0, method="lower")
    return np.where(missing, np.nan, middle).astype(np.float32)


def neutral_of(arrays: Arrays, features: int, columns: NDArray[np.int64]) -> F32:
    """Return what stands for features that are out: a usual payment's, else the middle edges of the network's bins."""
    if NEUTRAL in arrays:
        return np.asarray(arrays[NEUTRAL], dtype=np.float32)
    neutral = np.full(features, np.nan, dtype=np.float32)
    if BIN_EDGES in arrays:
        edges = np.asarray(arrays[BIN_EDGES], dtype=np.float32)
        neutral[columns] = edges[:, edges.shape[1] // 2]
    return neutral


def grouped(trees: Trees, owner: Places) -> treeshap.Paths:
    """Return the paths of the game whose players are groups of features; `owner` holds each feature's group."""
    merged = replace(trees, feature=owner[trees.feature].astype(np.int32), features=len(GROUPS))
    paths = treeshap.build(merged)
    return replace(paths, nodes=paths.nodes._replace(feature=trees.feature))


class Effects(NamedTuple):
    """Log-odds of the mixture by group, float64 (groups,), and what no group does alone."""

    groups: F64
    remainder: float

    @property
    def strongest(self) -> list[int]:
        """Return the up to three groups that raised the score most: those that are told, one at least."""
        return self.above(MATERIAL) or self.above(0)[:1]

    def above(self, least: float) -> list[int]:
        """Return the up to three groups that raised the score most, each by more than `least`."""
        order = np.argsort(-self.groups, kind="stable")[:TOLD]
        return [int(place) for place in order if self.groups[place] > least]


class Explainer:
    """Reasons for the decisions of one blend; prepared on first use."""

    def __init__(self, blend: Blended) -> None:
        """Sort the features into groups and the trees' paths by group."""
        self._blend = blend
        self._names = blend.card.features
        self._places = {name: place for place, name in enumerate(self._names)}
        self._owner = np.array([group_of(name) for name in self._names], dtype=np.intp)
        self._paths = grouped(blend.trees, self._owner)
        self._buffers: dict[int, TokenBuffers] = {}

    def reasons(
        self, values: Values, score: Score, histories: Histories | None = None, row: int = 0
    ) -> tuple[Reason, ...]:
        """Return up to three groups that raised the score, strongest first, and the remainder where it is material."""
        tokens = self.tokens(score, histories, row)
        effects = self.effects(values, score, tokens)
        read = Reading(self._places, values, self._unnamed(values), tokens, effects.remainder)
        told = [Reason(GROUPS[i].name, GROUPS[i].words(read), float(effects.groups[i])) for i in effects.strongest]
        if abs(effects.remainder) >= MATERIAL:
            told.append(Reason(INTERACTION.name, INTERACTION.words(read), effects.remainder))
        return tuple(told)

    def tokens(self, score: Score, histories: Histories | None, row: int = 0) -> Tokens | None:
        """Return what the score's exit read, None at exit 0."""
        taken = exit_of(score)
        return None if histories is None or not taken else histories.tokens([row], taken + 1)

    def game(self, values: Values, score: Score, tokens: Tokens) -> Game:
        """Return the network's game of one decision."""
        far = exit_of(score) > 1
        sides = tokens.raw.shape[1]
        if sides not in self._buffers:
            self._buffers[sides] = TokenBuffers(sides)
        return Game(self._blend.network, values, tokens, self._blend.neutral, self._owner, self._buffers[sides], far)

    def effects(self, values: Values, score: Score, tokens: Tokens | None, exact: bool = False) -> Effects:
        """Return each group's effect on the mixture's log-odds; `exact` plays all coalitions of the network's game."""
        mixture = self._blend.exits[exit_of(score)]
        total = mixture.booster * self._paths.contributions(values)[:-1] if mixture.booster else np.zeros(len(GROUPS))
        if tokens is None or not mixture.network:
            return Effects(total, 0.0)
        game = self.game(values, score, tokens)
        found = (coalitions.evaluate if exact else coalitions.estimate)(game.values, len(game.players))
        total[game.players] += mixture.network * found.effects
        return Effects(total, mixture.network * found.remainder)

    def _unnamed(self, values: Values) -> str:
        """Return the name of the first known feature that no code speaks for, of which `other` tells, else nothing."""
        members = np.flatnonzero(self._owner == OTHER)
        known = members[~np.isnan(values[members])]
        return self._names[int([*known, *members][0])] if len(members) else ""


def exit_of(score: Score) -> int:
    """Return the exit that a score was taken at."""
    return int(dict(score.parts).get(EXIT, 0.0))
