"""What a network learns from: rows drawn by stratum, their tokens, and the bins of their features; no torch here."""

import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fraud.core.ports import Matrix
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.splits import Rows
from models.boosting.trees import F64

Codes = NDArray[np.float32]
HARD, MIDDLE = 0.02, 0.10
"""Strata by the booster's score: the 2 % that look worst, the next 8 %, the rest."""
VALIDATED_ONE_IN = 5
"""An epoch is validated on every fraud and on one genuine row in so many."""


class Batch(NamedTuple):
    """Tokens of B rows and S sides, see `fraud/core/tokens.py`: raw (B, S, ...), sums, codes, text (B, GRAMS).

    `pushed` (B, S, 2) says which blocks the summaries are made of: the number of a side's first block in `blocks`, and
    how many follow it, oldest first, without a gap.
    """

    raw: NDArray[np.float32]
    sums: NDArray[np.float32]
    codes: NDArray[np.float32]
    text: NDArray[np.int64]
    pushed: NDArray[np.int64]


class Tokens(Protocol):
    """Where the tokens of a data set's rows come from: the live extractor's loops over the recorded history."""

    sides: int
    has_text: bool

    def blocks(self) -> NDArray[np.float32]:
        """Return the inputs of every closed block, (N, BLOCK, STATIC)."""

    def batches(self, rows: Rows, codes: Codes, at_once: int) -> Iterator[tuple[Rows, Batch]]:
        """Yield the tokens of `rows`, by time, `at_once` at a time; `codes` (N, CODE) are those of `blocks`."""


class Shares(NamedTuple):
    """The chance of a genuine row of each stratum to be drawn in an epoch."""

    easy: float
    middle: float
    hard: float


class Strata(NamedTuple):
    """For each training row: the chance to be drawn if genuine, and whether it looks bad, by causal features alone."""

    rows: Rows
    share: NDArray[np.float32]
    hard: NDArray[np.bool_]


def strata(rows: Rows, score: F64, shares: Shares, least: int) -> Strata:
    """Return the chances of rows by rank of a causal score (a booster's on the same features).

    Where that would draw fewer than `least`, easy rows are drawn more often, and all at least as often as they.
    """
    hard = worst(score, HARD)
    middle = worst(score, MIDDLE) & ~hard
    share = np.select([hard, middle], [shares.hard, shares.middle], shares.easy)
    easy = int(np.count_nonzero(~hard & ~middle))
    if easy and (lacking := least - float(share.sum())) > 0:
        share = np.maximum(share, min(shares.easy + lacking / easy, 1.0))
    return Strata(rows, share.astype(np.float32), hard)


def worst(score: F64, share: float) -> NDArray[np.bool_]:
    """Return which rows are the `share` that score highest; of equal scores at the edge all or none.

    A booster of few trees gives most rows one and the same score. Those are then not among the worst.
    """
    edge = np.quantile(score, 1 - share)
    found: NDArray[np.bool_] = score >= edge
    return found if found.mean() <= 2 * share else score > edge


def drawn(data: Dataset, chances: Strata, seed: int, epoch: int) -> tuple[Rows, NDArray[np.float32]]:
    """Return an epoch's rows, in order of time, and the log of each one's chance: what the prior is corrected by."""
    rng = np.random.default_rng([seed, epoch])
    fraud = data.fraud[chances.rows] == FRAUD
    kept = np.flatnonzero(fraud | (rng.random(len(fraud)) < chances.share))
    return chances.rows[kept], np.log(chances.share[kept])


def bin_edges(matrix: Matrix, bins: int, splits: Sequence[F64] = ()) -> NDArray[np.float32]:
    """Return edges of each feature, ascending, (features, bins + 1); constant features get 0 and 1.

    With `splits`, a feature's thresholds in the booster's trees, half of the inner edges are quantiles of these and
    half of the data (target-aware bins, Gorishniy et al. 2022): a threshold far out in a tail, where quantiles of the
    data leave one wide bin, is seen as sharply as the trees see it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a feature that the sample lacks
        edges = np.nanquantile(matrix, np.linspace(0, 1, bins + 1), axis=0).T
        for feature, found in enumerate(splits):
            if len(found) >= bins:
                low, high = edges[feature, 0], edges[feature, -1]
                told = np.quantile(found, (np.arange(bins // 2) + 0.5) / (bins // 2), method="nearest")
                plain = np.nanquantile(matrix[:, feature], np.linspace(0, 1, bins - bins // 2 + 1)[1:-1])
                inner = np.clip(np.concatenate([told, plain]), low, high)
                edges[feature] = np.sort(np.concatenate([[low], inner, [high]]))
    edges = np.where(np.isfinite(edges), edges, 0.0)
    edges[:, -1] = np.maximum(edges[:, -1], edges[:, 0] + 1e-3)
    return edges.astype(np.float32)
