"""Reason codes of the blend: what each group of features and history adds to the log-odds, in words.

A group is a player in two games over the same groups. In the booster's, a feature that is out is unknown, as in
TreeSHAP; grouped exactly, not feature by feature and summed. In the network's, what is out is replaced: features by a
usual payment's, tokens by absent ones, columns that compare a token with the payment by "no comparison". Both games
weigh as the mixture does; the booster's effects are exact, the network's come from two batched forward passes
(`coalitions.estimate`). What no group accounts for is the remainder, told as a reason of its own.

Where features and history speak of the same thing they are one group, so that a reason is not split in two.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fraud.core import tokens as tk
from fraud.core.ports import Histories, Matrix, Tokens
from fraud.core.records import Reason, Score, Values
from models.boosting import treeshap
from models.boosting.trees import F64, Trees
from models.reasons import coalitions, past_sentences
from models.reasons.coalitions import ROWS
from models.reasons.of_booster import MOST, RISK
from models.reasons.past_sentences import Telling, View
from models.registry import Arrays, Card
from models.tgn.runtime import Near

F32 = NDArray[np.float32]
Places = NDArray[np.intp]
FRAUD_SUMS = (tk.SUM_FRAUDS, tk.SUM_SHARE, tk.SUM_HAS_FRAUD, tk.SUM_LAST_FRAUD, tk.SUM_FIRST_FRAUD)
"""Columns of a summary that tell of known frauds."""
NEUTRAL, BIN_EDGES = "neutral", "weight.query.lower"
MATERIAL = 0.05
"""A smaller effect, in log-odds, is not told beside a larger one: 5 % in the odds."""
FLOW = "count|since_last|sum|mean|dev|max"


class Group(NamedTuple):
    """A reason code, the features it speaks for (a pattern over names) and its sentence."""

    code: str
    pattern: str
    text: Telling


# The first pattern that matches the start of a name wins; the last one takes every name.
GROUPS = (
    Group("amount", "(log_)?amount$|(card|merchant|device|pair)_amount_", past_sentences.amount),
    Group("card-frauds", f"card_({RISK})", past_sentences.frauds_of_card),
    Group("merchant-frauds", f"merchant_({RISK})", past_sentences.frauds_of_merchant),
    Group("device-frauds", f"device_({RISK})", past_sentences.frauds_of_device),
    Group("card-recent", f"card_({FLOW}|merchants)", past_sentences.recent_of_card),
    Group("card-older", "card_since_first", past_sentences.older_of_card),
    Group("merchant-recent", f"merchant_({FLOW}|cards)", past_sentences.recent_of_merchant),
    Group("merchant-older", "merchant_since_first", past_sentences.older_of_merchant),
    Group("device-history", "device_", past_sentences.history_of_device),
    Group("pair", "pair_", past_sentences.pair),
    Group("time", "hour$|weekday$", past_sentences.time),
    Group("channel", "mcc$|card_present$|money_back$", past_sentences.channel),
    Group("descriptor", "descriptor$", past_sentences.descriptor),
    Group("other", "", past_sentences.other),
)
CODES = {group.code: place for place, group in enumerate(GROUPS)}
ALWAYS = len(GROUPS)
"""The owner of what is never taken out."""
FRAUDS_OF = tuple(CODES[f"{side}-frauds"] for side in ("card", "merchant", "device"))
RECENT_OF = (CODES["card-recent"], CODES["merchant-recent"], CODES["device-history"])
OLDER_OF = (CODES["card-older"], CODES["merchant-older"], CODES["device-history"])


class Mixed(Protocol):
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
    def network(self) -> "Reads":
        """Return the network."""

    @property
    def exits(self) -> Sequence[Mixed]:
        """Return the mixtures, one an exit."""


class Reads(Protocol):
    """What is asked of a network."""

    @property
    def columns(self) -> NDArray[np.int64]:
        """Return the places of the query's features in the vector."""

    def near(self, matrix: Matrix, tokens: Tokens) -> Near:
        """Return exit 1."""

    def far(self, latents: F32, tokens: Tokens) -> F32:
        """Return exit 2's log-odds."""


def group_of(name: str) -> int:
    """Return the place in GROUPS of the group that speaks for a feature."""
    return next(place for place, group in enumerate(GROUPS) if re.match(group.pattern, name))


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


class Owners(NamedTuple):
    """The owner of every feature (features,), token (sides, RAW), summary (sides, SUMS), and of columns of both.

    What is out is the product: a number stays while the owners of its token and of its column are both there.
    """

    features: Places
    raw: Places
    raw_columns: Places
    sums: Places
    sum_columns: Places


def owners_of_tokens(features: Places, tokens: Tokens) -> Owners:
    """Return who owns what of one row's tokens (1, sides, ...).

    A known fraud belongs to its entity's known frauds, whether it stands in the window or in the ring of frauds; what
    else the pair did, to the pair; the rest to the entity's recent payments. Verdicts "genuine" stay with their tokens.
    """
    raw, sides = tokens.raw[0], tokens.raw.shape[1]
    recent, frauds = np.array(RECENT_OF[:sides])[:, None], np.array(FRAUDS_OF[:sides])[:, None]
    owner = np.where(raw[:, :, tk.SAME_OTHER] > 0, CODES["pair"], recent)
    owner[2:] = RECENT_OF[2]  # what a card did on a device is no pair of card and merchant
    owner = np.where(raw[:, :, tk.FRAUD] > 0, frauds, owner)
    older = np.broadcast_to(np.array(OLDER_OF[:sides])[:, None], tokens.sums.shape[1:3])
    return Owners(features, owner, RAW_COLUMNS, older, np.array(SUM_COLUMNS)[:sides])


def _columns(owned: dict[int, int], count: int) -> Places:
    owner = np.full(count, ALWAYS, dtype=np.intp)
    owner[list(owned)] = list(owned.values())
    return owner


RAW_COLUMNS = _columns(
    {tk.AMOUNT_GAP: CODES["amount"], tk.SAME_MCC: CODES["channel"], tk.SAME_TEXT: CODES["descriptor"]}, tk.RAW_COLUMNS
)
SUM_COLUMNS = tuple(_columns(dict.fromkeys(FRAUD_SUMS, frauds), tk.SUM_COLUMNS) for frauds in FRAUDS_OF)


class Room:
    """The tokens of as many coalitions as are played at once, in buffers that every decision uses again."""

    def __init__(self, sides: int) -> None:
        """Make room for the tokens of some sides."""
        self._raw = np.empty((ROWS, sides, tk.RAW, tk.RAW_COLUMNS), np.float32)
        self._sums = np.empty((ROWS, sides, tk.SUMS, tk.SUM_COLUMNS), np.float32)
        self._codes = np.empty((ROWS, sides, tk.SUMS, tk.CODE), np.float32)

    def fill(self, there: F32, own: Owners, tokens: Tokens) -> Tokens:
        """Return what is left of one row's tokens when only some owners are there, (coalitions, groups + 1) of 0, 1."""
        rows = len(there)
        raw, sums, codes = self._raw[:rows], self._sums[:rows], self._codes[:rows]
        np.multiply(there[:, own.raw][..., None], there[:, own.raw_columns][:, None, None, :], out=raw)
        np.multiply(raw, tokens.raw, out=raw)
        summaries = there[:, own.sums][..., None]
        np.multiply(summaries, there[:, own.sum_columns][:, :, None, :], out=sums)
        np.multiply(sums, tokens.sums, out=sums)
        np.multiply(summaries, tokens.codes, out=codes)
        return Tokens(raw, sums, codes, there[:, CODES["descriptor"], None].astype(np.int64) * tokens.text)


class Game:
    """The network's log-odds of one payment for coalitions of groups."""

    def __init__(
        self, network: Reads, values: Values, tokens: Tokens, neutral: F32, features: Places, room: Room, far: bool
    ) -> None:
        """Take one row's vector (features,) and tokens (1, sides, ...); `far` plays exit 2."""
        self._network, self._room, self._far = network, room, far
        self._values, self._tokens, self._neutral = values, tokens, neutral
        self._owners = owners_of_tokens(features, tokens)
        self.players = np.flatnonzero(self._matters())
        """The groups whose absence changes what the network reads; the others' effect is 0."""

    def _matters(self) -> NDArray[np.bool_]:
        own, tokens = self._owners, self._tokens
        matters = np.zeros(ALWAYS + 1, dtype=bool)
        read = self._network.columns
        mine, usual = self._values[read], self._neutral[read]
        matters[own.features[read][(mine != usual) & ~(np.isnan(mine) & np.isnan(usual))]] = True
        matters[own.raw[tokens.raw[0, :, :, tk.PRESENT] > 0]] = True
        matters[own.sums[tokens.sums[0, :, :, tk.SUM_PRESENT] > 0]] = True
        matters[own.raw_columns[tokens.raw[0].any(axis=(0, 1))]] = True
        for side, columns in enumerate(own.sum_columns):
            matters[columns[tokens.sums[0, side].any(axis=0)]] = True
        if tokens.text.any():
            matters[CODES["descriptor"]] = True
        return matters[:ALWAYS]

    def values(self, chosen: F32) -> F64:
        """Return the log-odds, float64 (coalitions,), of coalitions (coalitions, players) of 0 and 1."""
        parts = [self._played(chosen[begin : begin + ROWS]) for begin in range(0, len(chosen), ROWS)]
        return np.concatenate(parts)

    def _played(self, chosen: F32) -> F64:
        there = np.ones((len(chosen), ALWAYS + 1), dtype=np.float32)
        there[:, :ALWAYS] = 0
        there[:, self.players] = chosen
        matrix = np.where(there[:, self._owners.features] > 0, self._values, self._neutral)
        part = self._room.fill(there, self._owners, self._tokens)
        near = self._network.near(matrix, part)
        return (self._network.far(near.latents, part) if self._far else near.logit).astype(np.float64)


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
        order = np.argsort(-self.groups, kind="stable")[:MOST]
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
        self._rooms: dict[int, Room] = {}

    def reasons(
        self, values: Values, score: Score, histories: Histories | None = None, row: int = 0
    ) -> tuple[Reason, ...]:
        """Return up to three groups that raised the score, strongest first, and the remainder where it is material."""
        tokens = self.tokens(score, histories, row)
        effects = self.effects(values, score, tokens)
        told = [
            Reason(GROUPS[group].code, self._text(group, values, tokens), float(effects.groups[group]))
            for group in effects.strongest
        ]
        if abs(effects.remainder) >= MATERIAL:
            told.append(Reason("interaction", past_sentences.interaction(effects.remainder), effects.remainder))
        return tuple(told)

    def tokens(self, score: Score, histories: Histories | None, row: int = 0) -> Tokens | None:
        """Return what the score's exit read, None at exit 0."""
        taken = exit_of(score)
        return None if histories is None or not taken else histories.tokens([row], taken + 1)

    def game(self, values: Values, score: Score, tokens: Tokens) -> Game:
        """Return the network's game of one decision."""
        far = exit_of(score) > 1
        sides = tokens.raw.shape[1]
        if sides not in self._rooms:
            self._rooms[sides] = Room(sides)
        return Game(self._blend.network, values, tokens, self._blend.neutral, self._owner, self._rooms[sides], far)

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

    def _text(self, group: int, values: Values, tokens: Tokens | None) -> str:
        """Return a group's sentence; one without a sentence of its own names its first feature that is known."""
        members = np.flatnonzero(self._owner == group)
        known = members[~np.isnan(values[members])]
        named = self._names[int([*known, *members][0])] if len(members) else ""
        return GROUPS[group].text(View.of(self._places, values, tokens, named))


def exit_of(score: Score) -> int:
    """Return the exit that a score was taken at."""
    return int(dict(score.parts).get("exit", 0.0))
