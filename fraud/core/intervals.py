"""Bootstrap intervals of measures, drawn over groups of rows that belong together (cards, merchants).

Payments of one card or at one merchant are not independent, so whole groups are drawn, with replacement. A draw is a
weight per row (how often its group was drawn), and a `Measure` turns weights into values, many draws at once. Measures
of the same rows under the same draws are paired: `difference` compares two models without the noise both share.
"""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fraud.core.errors import DataError

Floats = NDArray[np.float64]
Measure = Callable[[Floats], Floats]
"""Weights of rows, (draws, rows), in; a value per draw, (draws,), out; NaN where the draw leaves it undefined."""

CONFIDENCE = 0.95
DRAWS = 500
CELLS = 2_000_000


class Interval(NamedTuple):
    """What all rows say, and between which values the drawn ones lie."""

    estimate: float
    low: float
    high: float


def average_precision(fraud: ArrayLike, score: ArrayLike) -> Measure:
    """Return `metrics.average_precision` as a measure of weighted rows; equal scores are one threshold.

    `fraud` tells which rows are, or how many frauds each stands for.
    """
    truth, value = np.asarray(fraud, np.float64), np.asarray(score, np.float64)
    if truth.shape != value.shape or np.isnan(value).any():
        message = f"fraud has shape {truth.shape}, score {value.shape}: expected one number for each row, none NaN"
        raise DataError(message)
    order = np.argsort(-value, kind="stable")
    ranked, caught = value[order], truth[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])

    def measured(weights: Floats) -> Floats:
        """Return the sum of precision times the step in recall."""
        drawn = weights[:, order]
        alerts, hits = np.cumsum(drawn, axis=1)[:, ends], np.cumsum(drawn * caught, axis=1)[:, ends]
        precision = np.divide(hits, alerts, out=np.zeros_like(hits), where=alerts > 0)
        area = np.sum(np.diff(hits, axis=1, prepend=0) * precision, axis=1)
        return divided(area, hits[:, -1] if len(ends) else area)

    return measured


def share(part: ArrayLike, whole: ArrayLike) -> Measure:
    """Return the measure sum of `part` / sum of `whole`: precision, recall and recall of value are such shares."""
    parts, wholes = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return lambda weights: divided(weights @ parts, weights @ wholes)


def total(value: ArrayLike) -> Measure:
    """Return the measure sum of `value`: money saved, for one."""
    values = np.asarray(value, np.float64)
    return lambda weights: weights @ values


def difference(one: Measure, other: Measure) -> Measure:
    """Return the measure `one` less `other`, under the same draws."""
    return lambda weights: one(weights) - other(weights)


def draws(
    measure: Measure, group: ArrayLike, rng: np.random.Generator, *, times: int = DRAWS, groups: int | None = None
) -> Floats:
    """Return a measure under `times` draws, (times,).

    `group` numbers each row's group from 0; `groups` tells how many there are, if more than have rows here. The same
    generator state and number of groups give the same draws, so that measures of different rows can be paired too.
    Raises DataError for a group outside its range or without groups.
    """
    codes = np.asarray(group)
    count = (int(codes.max()) + 1 if len(codes) else 0) if groups is None else groups
    if count < 1 or (len(codes) and not 0 <= codes.min() <= codes.max() < count):
        message = f"{len(codes)} rows in {count} groups: expected at least one group, numbered from 0 below that number"
        raise DataError(message)
    step = max(1, CELLS // max(len(codes), count))
    parts = [measure(drawn(rng, min(step, times - at), count)[:, codes]) for at in range(0, times, step)]
    return np.concatenate(parts)


def drawn(rng: np.random.Generator, times: int, groups: int) -> Floats:
    """Return how often each group comes up when as many are drawn as there are, (times, groups)."""
    picked = rng.integers(0, groups, (times, groups)) + np.arange(times)[:, None] * groups
    return np.bincount(picked.ravel(), minlength=times * groups).reshape(times, groups).astype(np.float64)


def bounds(values: Floats, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the quantiles of values that leave (1 - confidence) / 2 on either side (percentile method).

    Undefined values are left out; NaN when there are no others. Raises DataError for a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        message = f"confidence is {confidence}, expected a share between 0 and 1 such as 0.95"
        raise DataError(message)
    known = values[~np.isnan(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return low, high


def interval(
    measure: Measure, group: ArrayLike, rng: np.random.Generator, *, times: int = DRAWS, confidence: float = CONFIDENCE
) -> Interval:
    """Return a measure of all rows with its interval over groups.

    `group` names each row's group by any value that sorts. The interval is NaN when the estimate is.
    """
    codes = np.unique(np.asarray(group), return_inverse=True)[1]
    estimate = float(measure(np.ones((1, len(codes))))[0])
    if np.isnan(estimate):
        return Interval(estimate, estimate, estimate)
    return Interval(estimate, *bounds(draws(measure, codes, rng, times=times), confidence))


def wilson(part: int, whole: int, confidence: float = CONFIDENCE) -> Interval:
    """Return a share of a few independent things with its interval (Wilson, JASA 1927); NaN of none.

    Unlike the normal approximation it stays in [0, 1], and says something where the share is 0 or 1.
    """
    if whole <= 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, more = part / whole, z * z / whole
    middle = (share + more / 2) / (1 + more)
    half = z / (1 + more) * math.sqrt(share * (1 - share) / whole + more / (4 * whole))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def divided(part: Floats, whole: Floats) -> Floats:
    """Return part / whole, NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole != 0)
