"""Tokens made by hand, a network that adds up what it reads, and a blend around it: reasons that can be reckoned."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core.ports import Matrix, Tokens
from fraud.core.records import Score
from models.boosting.trees import Trees
from models.reasons.own import NOTHING
from models.registry import Card
from models.tgn.runtime import Near

DAY = 86_400.0
F32 = NDArray[np.float32]


def event(age: float, amount: float = 10.0, **columns: float) -> F32:
    """Return a token of a payment, `age` seconds old, of `amount` major units; `c23=1` sets column 23."""
    token = np.zeros(32, np.float32)
    token[0], token[1], token[20] = 1, math.log1p(amount * 100) / 10, math.log1p(age) / 15
    for name, value in columns.items():
        token[int(name[1:])] = value
    return token


def fraud(age: float, **columns: float) -> F32:
    """Return the token of a known fraud."""
    return event(age, c22=1, c23=1, **columns)


def genuine(age: float, **columns: float) -> F32:
    """Return the token of a payment that is known as genuine."""
    return event(age, c22=1, **columns)


def summary(count: int, known: int, frauds: int, first: float, amount: float = 10.0, last_fraud: float = 0.0) -> F32:
    """Return a summary's token; times are ages in seconds."""
    token = np.zeros(16, np.float32)
    token[0], token[2], token[3], token[4] = 1, math.log1p(count) / 10, math.log1p(known) / 10, math.log1p(frauds) / 5
    token[5], token[7], token[12] = frauds / max(known, 1), math.log1p(first) / 15, math.log1p(amount * 100) / 10
    if frauds:
        token[9], token[10] = 1, math.log1p(last_fraud) / 15
    return token


def tokens(
    window: dict[int, Sequence[F32]], frauds: dict[int, Sequence[F32]] | None = None,
    older: dict[int, Sequence[F32]] | None = None, sides: int = 2,
) -> Tokens:  # fmt: skip
    """Return one row's tokens: by side, the window's events, older known frauds and summaries, newest first."""
    raw, sums = np.zeros((1, sides, 64, 32), np.float32), np.zeros((1, sides, 20, 16), np.float32)
    for side in range(sides):
        for start, part in ((0, window), (48, frauds or {})):
            for place, token in enumerate(part.get(side, ())):
                raw[0, side, start + place] = token
        for place, token in enumerate((older or {}).get(side, ())):
            sums[0, side, place] = token
    return Tokens(raw, sums, np.zeros((1, sides, 20, 32), np.float32), np.zeros((1, 24), np.int64))


class Held:
    """Histories of one batch, ready-made; notes what it was asked for."""

    def __init__(self, *rows: Tokens) -> None:
        """Take one row's tokens each."""
        self.rows = rows
        self.asked: list[int] = []

    def tokens(self, rows: Sequence[int] | NDArray[np.intp], sides: int) -> Tokens:
        """Return the tokens of one row."""
        self.asked.append(sides)
        held = self.rows[int(rows[0])]
        return Tokens(held.raw[:, :sides], held.sums[:, :sides], held.codes[:, :sides], held.text)

    def events(self, row: int, sides: int) -> NDArray[np.int64]:
        """Return, of each event, 100 times its side and its raw row, negative, and its time in us."""
        raw = self.rows[row].raw[0, :sides]
        number = np.arange(sides)[:, None] * 100 + np.arange(raw.shape[1])[None, :]
        return np.stack([-number, number * 1_000], axis=-1) * (raw[:, :, :1] > 0)


Says = Callable[[Matrix, Tokens], NDArray[np.float64]]


class Reckoning:
    """A network whose log-odds are a function of what it reads; counts the rows that it was given."""

    def __init__(self, says: Says, columns: Sequence[int]) -> None:
        """Take the function and the features' places."""
        self.says, self.columns = says, np.array(columns, np.int64)
        self.rows = 0

    def near(self, matrix: Matrix, tokens: Tokens) -> Near:
        """Return exit 1."""
        self.rows += len(matrix)
        logit = self.says(matrix, tokens).astype(np.float32)
        return Near(logit, np.repeat(logit[:, None, None], 2, axis=2))

    def far(self, latents: F32, tokens: Tokens) -> F32:
        """Return exit 2: exit 1 and the number of the device's tokens."""
        logit: F32 = latents[:, 0, 0] + tokens.raw[:, 2, :, 0].sum(axis=1)
        return logit


class Weights(NamedTuple):
    """An exit, not calibrated."""

    booster: float
    network: float

    def probabilities(self, raw: NDArray[np.float64], logit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return probabilities of what booster and network say."""
        found: NDArray[np.float64] = 1 / (1 + np.exp(-(self.booster * raw + self.network * logit)))
        return found


class Blended:
    """A blend of the booster and a reckoning network."""

    def __init__(self, names: Sequence[str], trees: Trees, network: Reckoning, neutral: F32) -> None:
        """Weigh booster and network 1 to 2 at exit 1, 1 to 4 at exit 2."""
        self.card = Card(
            kind="blend", name="test", created=0, data_hash="", spec_version="", features=tuple(names), label_delay=0,
            seed=0,
        )  # fmt: skip
        self.trees, self.network, self.neutral, self.own = trees, network, neutral, NOTHING
        self.exits = (Weights(1.0, 0.0), Weights(1.0, 2.0), Weights(1.0, 4.0))


def score(taken: int) -> Score:
    """Return a score that left at an exit."""
    return Score("t", 0.9, "test@1", parts=(("booster", 0.0), ("network", 0.0), ("exit", float(taken))))
