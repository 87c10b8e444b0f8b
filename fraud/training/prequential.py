"""A frozen model against what is learned from late labels, on payments that were each decided before their label came.

Average precision is the mean over weeks of each week's own: pooled over months, it would be ruled by how scores of one
month compare with those of another. Its interval, and that of the gain, is a bootstrap over merchants, the same ones
for both, so that the gain is free of the noise that both share.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core import censored, intervals, metrics
from fraud.core.errors import DataError
from fraud.core.intervals import Measure
from fraud.core.learning.outcomes import probability
from fraud.core.records import DAY, Answer, Label, LabelSource, Reject, Verdict, log_odds_in
from models.boosting.trees import F64
from streaming.files.values.rows import Row

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


# --- from a replay ---------------------------------------------------------------------------------------------------


class Truth(NamedTuple):
    """What a payment was in the end, and when a fraud was told, ns."""

    fraud: bool
    told_at: int


class Truths(NamedTuple):
    """What payments were, by id, and when each payment of the file was made, ns."""

    by_id: dict[str, Truth]
    times: I64


def truths(rows: Iterable[Row | Reject], delay: int | None, labels: Iterable[Label] | None = None) -> Truths:
    """Return what a file says of its payments, told `delay` (ns) later, or what `labels` say.

    Of several labels on a payment the last that is no silence counts; those that nobody speaks of are genuine.
    """
    said = None if labels is None else _said(labels)
    found, times = {}, []
    for row in rows:
        if isinstance(row, Reject):
            continue
        tx = row.tx
        times.append(tx.happened_at)
        if said is not None:
            found[tx.id] = said.get(tx.id, Truth(False, NEVER))
        elif row.verdict is not None:
            fraud = row.verdict is Verdict.FRAUD
            at = tx.happened_at + (delay or 0) if row.known_at is None else row.known_at
            found[tx.id] = Truth(fraud, at if fraud else NEVER)
    return Truths(found, np.array(times, np.int64))


def ready_at(truth: Truths, split: float) -> int:
    """Return the time (ns) before which a share `split` of the payments was made; raise DataError outside (0, 1)."""
    if not 0 < split < 1 or not len(truth.times):
        msg = f"--split is {split} of {len(truth.times)} payments, expected a share between 0 and 1 such as 0.5"
        raise DataError(msg)
    return int(np.quantile(truth.times, split, method="lower"))


def _said(labels: Iterable[Label]) -> dict[str, Truth]:
    """Return what labels say, told at the first that says so."""
    found: dict[str, Truth] = {}
    for label in labels:
        if label.source is LabelSource.SILENCE:
            continue
        fraud, had = label.verdict is Verdict.FRAUD, found.get(label.tx_id)
        if had is None or had.fraud is not fraud:
            found[label.tx_id] = Truth(fraud, label.seen_at if fraud else NEVER)
    return found


class Collected:
    """The sink that keeps, of each payment that a model has scored, what the base said and what was served."""

    def __init__(self) -> None:
        """Start empty."""
        self._rows: dict[str, tuple[int, str, float, float, bool]] = {}

    @property
    def ids(self) -> list[str]:
        """Return the payments that are kept, in the order in which they were decided."""
        return list(self._rows)

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        """Keep the first answer to each payment."""
        del rejects
        for decision in (answer.decision for answer in answers):
            base = log_odds_in(decision.parts)
            if base is not None and decision.model_score is not None and decision.tx_id not in self._rows:
                learned = bool(decision.versions.parameters)
                row = decision.happened_at, decision.merchant, probability(base), decision.model_score, learned
                self._rows[decision.tx_id] = row

    def flush(self) -> None:
        """Do nothing: what was written is kept."""

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def decided(self, truth: Truths) -> "Served":
        """Return the payments whose verdict is known in the end, in order of time."""
        known = [(row, truth.by_id[tx_id]) for tx_id, row in self._rows.items() if tx_id in truth.by_id]
        known.sort(key=lambda pair: pair[0][0])
        rows, said = zip(*known, strict=True) if known else ((), ())
        time, merchant, frozen, served, learned = zip(*rows, strict=True) if rows else ((),) * 5
        of = Decided(
            np.array(time, np.int64), np.array(merchant, np.str_), np.array([one.fraud for one in said], bool),
            np.array([one.told_at for one in said], np.int64), np.array(frozen, np.float64),
        )  # fmt: skip
        return Served(of, np.array(served, np.float64), np.array(learned, bool))


class Served(NamedTuple):
    """Decided payments, the probability that each was served with, and whether what was learned was in it."""

    of: Decided
    p: F64
    learned: Bools


def report(served: Served, *, draws: int = DRAWS) -> dict[str, Any]:
    """Return all figures of a run; pairs are [frozen, refreshed].

    Raises DataError when no payment was scored by the model.
    """
    of, p = served.of, served.p
    if not len(p):
        msg = "no payment with a known verdict was scored by the model: give more history, or an earlier --split"
        raise DataError(msg)
    both = {"frozen": of.frozen, "refreshed": p}
    return {
        "payments": len(p),
        "frauds": int(of.fraud.sum()),
        "on": round(float(served.learned.mean()), 4),
        **against_frozen(of, p, draws=draws),
        "weeks": weeks(of, p),
        "bands": {name: bands(of.fraud, each) for name, each in both.items()},
        "as_known": as_known(of, both, int(of.time[-1])),
    }
