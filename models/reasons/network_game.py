"""The network's log-odds of one payment as a game whose players are the catalogue's groups of features and history.

What is out is replaced: features by a usual payment's, tokens by absent ones, columns that compare a token with the
payment by "no comparison". A number of a token stays while the owners of its token and of its column are both there.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fraud.core import tokens as tk
from fraud.core.ports import Matrix, Tokens
from fraud.core.records import Values
from models.reasons.catalogue import GROUPS, Part, owner_of
from models.reasons.coalitions import ROWS
from models.reasons.reading import FRAUD_SUMS
from models.tgn.runtime import Near

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Places = NDArray[np.intp]

ALWAYS = len(GROUPS)
"""The owner of what is never taken out."""
PAYMENTS = tuple(owner_of(part) for part in (Part.CARD_PAYMENTS, Part.MERCHANT_PAYMENTS, Part.DEVICE_PAYMENTS))
FRAUDS = tuple(owner_of(part) for part in (Part.CARD_FRAUDS, Part.MERCHANT_FRAUDS, Part.DEVICE_FRAUDS))
OLDER = tuple(owner_of(part) for part in (Part.CARD_OLDER, Part.MERCHANT_OLDER, Part.DEVICE_OLDER))
NO_EVENTS: Places = np.empty((0, 2), np.intp)
PAIR_PAYMENTS, PAIR_FRAUDS = owner_of(Part.PAIR_PAYMENTS), owner_of(Part.PAIR_FRAUDS)
AMOUNTS, CATEGORIES, TEXTS = owner_of(Part.AMOUNTS), owner_of(Part.CATEGORIES), owner_of(Part.TEXTS)


class HistoryNetwork(Protocol):
    """What is asked of a network."""

    @property
    def columns(self) -> NDArray[np.int64]:
        """Return the places of the query's features in the vector."""

    def near(self, matrix: Matrix, tokens: Tokens) -> Near:
        """Return exit 1."""

    def far(self, latents: F32, tokens: Tokens) -> F32:
        """Return exit 2's log-odds."""


class Owners(NamedTuple):
    """The owner of every feature (features,), token (sides, RAW), summary (sides, SUMS), and of columns of both."""

    features: Places
    raw: Places
    raw_columns: Places
    sums: Places
    sum_columns: Places


def owners_of_tokens(features: Places, tokens: Tokens) -> Owners:
    """Return who owns what of one row's tokens (1, sides, ...).

    A known fraud belongs to its entity's known frauds, whether it stands in the window or in the ring of frauds; where
    it is one of the card at this merchant, to the pair's. What else the pair did belongs to the pair, the rest to the
    entity's newest payments. Verdicts "genuine" stay with their tokens.
    """
    raw, sides = tokens.raw[0], tokens.raw.shape[1]
    owner = np.repeat(np.array(PAYMENTS[:sides])[:, None], raw.shape[1], axis=1)
    fraud, same = raw[:, :, tk.FRAUD] > 0, raw[:, :, tk.SAME_OTHER] > 0
    same[tk.DEVICE :] = False  # what a card did on a device is no pair of card and merchant
    owner = np.where(same, PAIR_PAYMENTS, owner)
    owner = np.where(fraud, np.where(same, PAIR_FRAUDS, np.array(FRAUDS[:sides])[:, None]), owner)
    older = np.broadcast_to(np.array(OLDER[:sides])[:, None], tokens.sums.shape[1:3])
    return Owners(features, owner, RAW_OWNERS, older, np.array(SUM_OWNERS)[:sides])


def _columns(owned: dict[int, int], count: int) -> Places:
    owner = np.full(count, ALWAYS, dtype=np.intp)
    owner[list(owned)] = list(owned.values())
    return owner


RAW_OWNERS = _columns({tk.AMOUNT_GAP: AMOUNTS, tk.SAME_MCC: CATEGORIES, tk.SAME_TEXT: TEXTS}, tk.RAW_COLUMNS)
SUM_OWNERS = tuple(_columns(dict.fromkeys(FRAUD_SUMS, frauds), tk.SUM_COLUMNS) for frauds in FRAUDS)


class TokenBuffers:
    """The tokens of as many coalitions as are played at once, in buffers that every decision uses again."""

    def __init__(self, sides: int) -> None:
        """Allocate the buffers for the tokens of some sides."""
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
        return Tokens(raw, sums, codes, there[:, TEXTS, None].astype(np.int64) * tokens.text)


class Game:
    """The network's log-odds of one payment for coalitions of groups."""

    def __init__(
        self, network: HistoryNetwork, values: Values, tokens: Tokens, neutral: F32, features: Places,
        buffers: TokenBuffers, far: bool,
    ) -> None:  # fmt: skip
        """Take one row's vector (features,) and tokens (1, sides, ...); `far` plays exit 2.

        `features` holds the group of each feature, `neutral` what stands for those that are out, (features,) both.
        """
        self._network, self._buffers, self._far = network, buffers, far
        self._values, self._neutral = values, neutral
        self.tokens, self.owners = tokens, owners_of_tokens(features, tokens)
        self.players = np.flatnonzero(self._matters())
        """The groups whose absence changes what the network reads; the others' effect is 0."""

    def _matters(self) -> NDArray[np.bool_]:
        own, tokens = self.owners, self.tokens
        matters = np.zeros(ALWAYS + 1, dtype=bool)
        read = self._network.columns
        mine, usual = self._values[read], self._neutral[read]
        matters[own.features[read][(mine != usual) & ~(np.isnan(mine) & np.isnan(usual))]] = True
        matters[own.raw[tokens.raw[0, :, :, tk.PRESENT] > 0]] = True
        matters[own.sums[tokens.sums[0, :, :, tk.PRESENT] > 0]] = True
        matters[own.raw_columns[tokens.raw[0].any(axis=(0, 1))]] = True
        for side, columns in enumerate(own.sum_columns):
            matters[columns[tokens.sums[0, side].any(axis=0)]] = True
        if tokens.text.any():
            matters[TEXTS] = True
        return matters[:ALWAYS]

    def values(self, chosen: F32, left_out: Places = NO_EVENTS) -> F64:
        """Return the log-odds, float64 (coalitions + events,), of coalitions (coalitions, players) of 0 and 1.

        Behind them come those of everybody without one event, for each of `left_out`, (events, 2): side and raw row.
        """
        rows = np.concatenate([chosen, np.ones((len(left_out), chosen.shape[1]), np.float32)])
        gone = np.concatenate([np.full((len(chosen), 2), -1), left_out])
        spans = [slice(begin, begin + ROWS) for begin in range(0, len(rows), ROWS)]
        return np.concatenate([self._played(rows[span], gone[span]) for span in spans])

    def _played(self, chosen: F32, gone: Places) -> F64:
        there = np.ones((len(chosen), ALWAYS + 1), dtype=np.float32)
        there[:, :ALWAYS] = 0
        there[:, self.players] = chosen
        matrix = np.where(there[:, self.owners.features] > 0, self._values, self._neutral)
        part = self._buffers.fill(there, self.owners, self.tokens)
        lacking = np.flatnonzero(gone[:, 0] >= 0)
        part.raw[lacking, gone[lacking, 0], gone[lacking, 1]] = 0
        near = self._network.near(matrix, part)
        return (self._network.far(near.latents, part) if self._far else near.logit).astype(np.float64)
