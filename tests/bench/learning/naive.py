"""A learner as one would write it in an afternoon, before the guard: it has to stay off.

Logistic regression by plain SGD on the base's log-odds and all features, from zero: features minus their mean over
their standard deviation, both of payments before the stream begins to count, a missing one 0. Its losses are those of
the probability that it gave when the payment was decided.
"""

from typing import Any, NamedTuple

import numpy as np

from fraud.core.learning.guard import Guard, Losses
from fraud.core.learning.outcomes import Outcome, loss, probability
from models.boosting.trees import F64
from tests.bench.learning.prequential import NEVER, Replayed

RATE = 0.01
SCALED_BY = 100_000
MOST = 8.0
"""Scaled features are cut here, else one amount of a million would decide everything."""


class Naive(NamedTuple):
    """What came of it: its probabilities, float64 (n,), how often the guard let it decide, and over how many labels."""

    p: F64
    promotions: int
    labels: int


def inputs(stream: Replayed) -> F64:
    """Return one row a payment: 1, base log-odds, scaled features."""
    matrix = stream.matrix.astype(np.float64)
    some = np.where(np.isfinite(matrix[:SCALED_BY]), matrix[:SCALED_BY], np.nan)
    mean, spread = np.nan_to_num(np.nanmean(some, axis=0)), np.nan_to_num(np.nanstd(some, axis=0))
    scaled = np.clip(np.nan_to_num((matrix - mean) / np.where(spread > 0, spread, 1)), -MOST, MOST)
    return np.column_stack([np.ones(len(matrix)), stream.base, scaled])


def run(stream: Replayed, every: int) -> Naive:
    """Decide and learn in order of time, the guard asked at the end of each period."""
    x, weights = inputs(stream), np.zeros(stream.matrix.shape[1] + 2)
    order = np.argsort(stream.told_at, kind="stable")
    order = order[stream.told_at[order] < NEVER]
    paid, told = stream.time // every, stream.told_at[order] // every
    p, guard, promotions = np.full(len(x), 0.5), Guard(stream.delay), 0
    for n in np.unique(np.concatenate([paid, told])).tolist():
        was = guard.on
        promotions += guard.decide(n * every) and not was
        begin, end = np.searchsorted(paid, [n, n + 1]).tolist()
        p[begin:end] = 1 / (1 + np.exp(-np.clip(x[begin:end] @ weights, -50, 50)))
        begin, end = np.searchsorted(told, [n, n + 1]).tolist()
        for row in order[begin:end].tolist():
            outcome = Outcome(bool(stream.fraud[row]))
            frozen, candidate = loss(outcome, probability(float(stream.base[row]))), loss(outcome, float(p[row]))
            guard.absorb(Losses(int(stream.time[row]), outcome.fraud, frozen, candidate))
            weights -= RATE * (probability(float(x[row] @ weights)) - outcome.fraud) * x[row]
    return Naive(p, promotions, len(order))


def shown(of: Naive) -> dict[str, Any]:
    """Return what is printed."""
    return {"promotions": of.promotions, "labels": of.labels}
