"""A frozen model against what is learned from late labels, on payments that were each decided before their label came.

Average precision is the mean over weeks of each week's own: pooled over months, it would be ruled by how scores of one
month compare with those of another. Its interval, and that of the gain, is a bootstrap over merchants, the same ones
for both, so that the gain is free of the noise that both share.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core import censored, intervals, metrics
from fraud.core.intervals import Measure
from fraud.core.records import DAY
from models.boosting.trees import F64

WEEK = 7 * DAY
FEW = 5
"""A week with so many frauds or fewer has no average precision that means anything, and is left out."""
DRAWS = 200
SURE = 1e-6
"""Probabilities are clipped to this before a log-loss, as the guard does: no label costs more than 14 nats."""
BANDS = (0.0, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0)
TOP = 0.01
NEVER = np.iinfo(np.int64).max

I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Decided(NamedTuple):
    """Payments in order of time: when each was made (ns), its merchant by any code, and what it was in the end.

    `frozen` is the base model's probability. `told_at` is when a fraud was told, ns, `NEVER` for all else.
    """

    time: I64
    merchant: NDArray[np.generic]
    fraud: Bools
    told_at: I64
    frozen: F64

    @property
    def week(self) -> I64:
        """Return whole weeks since the first payment."""
        return (self.time - self.time[0]) // WEEK if len(self.time) else self.time


def weekly(fraud: Bools, score: F64, week: I64) -> Measure:
    """Return the mean over weeks of average precision as a measure; weeks with five frauds or fewer are left out.

    NaN where no week is left.
    """
    parts = [np.flatnonzero(week == one) for one in np.unique(week)]
    parts = [rows for rows in parts if fraud[rows].sum() > FEW]
    measures = [intervals.average_precision(fraud[rows], score[rows]) for rows in parts]

    def mean(weights: F64) -> F64:
        if not measures:
            return np.full(len(weights), np.nan)
        found = np.array([m(weights[:, rows]) for m, rows in zip(measures, parts, strict=True)])
        return np.asarray(np.nanmean(found, axis=0))

    return mean


def log_loss(fraud: Bools, p: F64) -> float:
    """Return the mean log-loss, nats, of probabilities clipped at 1e-6."""
    return metrics.log_loss(fraud, np.clip(p, SURE, 1 - SURE))


def against_frozen(of: Decided, p: F64, *, draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
    """Return what probabilities `p` gain on the frozen model's: pairs are [frozen, refreshed].

    `frozen` and `gain` are weekly average precision, `interval` is that of the gain at 95 %.
    """
    refreshed, frozen = (weekly(of.fraud, each, of.week) for each in (p, of.frozen))
    gain = intervals.interval(
        intervals.difference(refreshed, frozen), of.merchant, np.random.default_rng(seed), times=draws
    )
    both = of.frozen, p
    return {
        "frozen": rounded(float(frozen(np.ones((1, len(p))))[0]), 4),
        "gain": rounded(gain.estimate, 4),
        "interval": [rounded(gain.low, 4), rounded(gain.high, 4)],
        "log_loss": [rounded(log_loss(of.fraud, each), 5) for each in both],
        "pooled": [rounded(metrics.average_precision(of.fraud, each), 4) for each in both],
        "slope": [rounded(metrics.calibration_slope(of.fraud, each), 3) for each in both],
        "top_1pct": [rounded(metrics.top_ratio(of.fraud, each, TOP), 3) for each in both],
    }


def weeks(of: Decided, p: F64) -> list[dict[str, Any]]:
    """Return each week's figures; pairs are [frozen, refreshed]."""
    return [_week(of, p, number, np.flatnonzero(of.week == number)) for number in np.unique(of.week).tolist()]


def _week(of: Decided, p: F64, number: int, rows: NDArray[np.intp]) -> dict[str, Any]:
    fraud, both = of.fraud[rows], (of.frozen[rows], p[rows])
    enough = int(fraud.sum()) > FEW
    return {
        "week": number,
        "rows": len(rows),
        "frauds": int(fraud.sum()),
        "ap": [rounded(metrics.average_precision(fraud, each), 4) if enough else None for each in both],
        "log_loss": [rounded(log_loss(fraud, each), 5) for each in both],
    }


def bands(fraud: Bools, p: F64) -> list[dict[str, Any]]:
    """Return, by bands of probability, how many payments there are, frauds to be expected, and frauds."""
    place = np.clip(np.searchsorted(BANDS, p, side="right") - 1, 0, len(BANDS) - 2)
    return [
        {
            "from": BANDS[band],
            "rows": int((place == band).sum()),
            "expected": round(float(p[place == band].sum()), 1),
            "frauds": int(fraud[place == band].sum()),
        }
        for band in range(len(BANDS) - 1)
    ]


def as_known(of: Decided, scores: Mapping[str, F64], now: int) -> dict[str, Any]:
    """Return the figures as somebody sees them at `now` (ns), untold payments as genuine and corrected; and the truth.

    `told_share` is F at the ages of 1, 7 and 30 days.
    """
    told, age = of.told_at <= now, now - of.time
    by_age = censored.ToldByAge(of.told_at[told] - of.time[told], age[told])
    shares = by_age.share(age)
    use = shares >= censored.LEAST
    found: dict[str, Any] = {
        "told_share": [rounded(float(by_age.share(days * DAY)), 3) for days in (1, 7, 30)],
        "fraud_share": rounded(float(of.fraud[use].mean()) if use.any() else float("nan"), 6),
    }
    for name, score in scores.items():
        truth = metrics.average_precision(of.fraud[use], score[use])
        found[name] = {**censored.side_by_side(told, shares, score).shown(), "ap": rounded(truth, 4)}
    return found


def rounded(value: float, digits: int) -> float | None:
    """Return a number as it is printed; None where it is undefined."""
    return None if np.isnan(value) else round(value, digits)
