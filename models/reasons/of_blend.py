"""Reasons of the blend: what each group of features and history adds to the log-odds, in words.

A group is a player in two games over the same groups. In the booster's, a feature that is out is unknown, as in
TreeSHAP; grouped exactly, not feature by feature and summed. In the network's (`network_game.py`), what is out is that
of a usual payment. Both games weigh as the mixture does; the booster's effects are exact, the network's come from two
batched forward passes (`coalitions.estimate`). What no group accounts for is the remainder, a reason of its own.

`Reason.without` is the mixture's probability when both games are played with everybody but the group: for the network
that coalition is among those played anyway.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fraud.core.evidence import SideEvent
from fraud.core.ports import Histories, Matrix, Tokens
from fraud.core.records import EXIT, Reason, Score, Values
from models.boosting import treeshap
from models.boosting.trees import F64, Trees
from models.reasons import coalitions
from models.reasons.catalogue import GROUPS, INTERACTION, MATERIAL, OTHER, TOLD, Told, chosen, group_of
from models.reasons.grounds import Grounds, by_code, reason_of
from models.reasons.network_game import Game, HistoryNetwork, Places, TokenBuffers
from models.reasons.own import OwnUsual
from models.reasons.reading import Reading
from models.reasons.witnesses import Witness, Witnesses, as_told
from models.registry import Arrays, Card

F32 = NDArray[np.float32]
NEUTRAL, BIN_EDGES = "neutral", "weight.query.lower"
NETWORK = "network"
"""The part of a score that is the network's share of the mixture."""


class Mixture(Protocol):
    """What is asked of an exit: the weights of both parts in its mixture, and what it says of them."""

    @property
    def booster(self) -> float:
        """Return the booster's weight."""

    @property
    def network(self) -> float:
        """Return the network's weight."""

    def probabilities(self, raw: F64, logit: F64) -> F64:
        """Return calibrated probabilities, float64 (rows,), of what booster and network say."""


class Blended(Protocol):
    """What is asked of a blend."""

    neutral: F32
    own: OwnUsual

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
    def exits(self) -> Sequence[Mixture]:
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
    """Log-odds of the mixture by group, float64 (groups,), and what no group does alone.

    `missing` is what the network says without each group, float64 (groups,); of groups that it does not read, of all.
    """

    groups: F64
    remainder: float
    missing: F64


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

    def explain(
        self, values: Values, score: Score, histories: Histories | None = None, row: int = 0, *, events: bool = False
    ) -> Grounds:
        """Return up to three groups that raised the score, strongest first; beside two also what they do together.

        With `events` also what single events of the histories have added.
        """
        tokens = self.tokens(score, histories, row)
        game = None if tokens is None else self._game(values, score, tokens)
        witnesses = Witnesses(game, MATERIAL) if game is not None and events else None
        effects = self._effects(values, score, game, witnesses)
        read = Reading(self._places, values, self._unnamed(values), tokens, effects.remainder, own=self._blend.own)
        reasons = self._reasons(chosen(effects.groups, lambda _: read), values, score, effects)
        if 1 < len(reasons) < TOLD and effects.remainder >= MATERIAL and (text := INTERACTION.words(read)):
            reasons.append(Reason(INTERACTION.name, text, effects.remainder))
        found = witnesses.found() if witnesses is not None else []
        named = self._named(found, score, histories, row)
        return Grounds(tuple(reasons), by_code(effects.groups, effects.remainder), named)

    def _reasons(self, told: list[Told], values: Values, score: Score, effects: Effects) -> list[Reason]:
        """Return reasons with the mixture's probability had each group been usual."""
        if not told:
            return []
        places = [one.place for one in told]
        raw = self._paths.values(values, np.uint8(1) - np.eye(len(GROUPS), dtype=np.uint8)[places])
        without = self._mixture(score).probabilities(raw, effects.missing[places]).tolist()
        return [reason_of(one, effects.groups, each) for one, each in zip(told, without, strict=True)]

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
        return self._effects(values, score, self._game(values, score, tokens), exact=exact)

    def _game(self, values: Values, score: Score, tokens: Tokens | None) -> Game | None:
        """Return the network's game where the score rests on one."""
        return self.game(values, score, tokens) if tokens is not None and self._mixture(score).network else None

    def _effects(
        self, values: Values, score: Score, game: Game | None, beside: Witnesses | None = None, *, exact: bool = False
    ) -> Effects:
        mixture = self._mixture(score)
        total = mixture.booster * self._paths.contributions(values)[:-1] if mixture.booster else np.zeros(len(GROUPS))
        if game is None:
            # What the network has said, if it was asked, stays.
            said = dict(score.parts).get(NETWORK, 0.0) / mixture.network if mixture.network else 0.0
            return Effects(total, 0.0, np.full(len(GROUPS), said))
        play = game.values if beside is None else beside.play
        found = (coalitions.evaluate if exact else coalitions.estimate)(play, len(game.players))
        total[game.players] += mixture.network * found.effects
        missing = np.full(len(GROUPS), found.whole)
        missing[game.players] = found.missing
        return Effects(total, mixture.network * found.remainder, missing)

    def _mixture(self, score: Score) -> Mixture:
        """Return the mixture of the exit that a score was taken at."""
        return self._blend.exits[exit_of(score)]

    def _named(
        self, found: list[Witness], score: Score, histories: Histories | None, row: int
    ) -> tuple[tuple[SideEvent, ...], ...]:
        """Return events by side, with the transactions that they are of."""
        if histories is None or not found:
            return ()
        return as_told(found, self._mixture(score).network, histories.events(row, exit_of(score) + 1))

    def _unnamed(self, values: Values) -> str:
        """Return the name of the first known feature that no code speaks for, of which `other` tells, else nothing.

        Of own columns that is the first one that is not as usual.
        """
        members = np.flatnonzero(self._owner == OTHER)
        known = members[~np.isnan(values[members])]
        odd = known[values[known] != self._blend.neutral[known]]
        return self._names[int([*odd, *known, *members][0])] if len(members) else ""


def exit_of(score: Score) -> int:
    """Return the exit that a score was taken at."""
    return int(dict(score.parts).get(EXIT, 0.0))
