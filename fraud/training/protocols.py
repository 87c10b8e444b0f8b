"""How a model is judged: train, wait for the labels, test on what came after; several folds, or one split.

`fdh` is the prequential protocol of the Fraud Detection Handbook stream (Le Borgne et al.): four folds a week apart,
one week between the end of learning and the test, and cards known as defrauded leave the test. Gap and removal are 7
days at every label delay, so that results at different delays are about the same rows.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core import metrics
from fraud.core.errors import DataError, SettingsError
from fraud.core.records import DAY
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.splits import (
    Rows,
    Span,
    between,
    span_before,
    usual_start,
    usual_validation,
)
from models.boosting.trees import F64

FDH, CHRONOLOGICAL = PROTOCOLS = ("fdh", "chronological")
TRAIN = ("long", "week")
FDH_FOLDS = (115, 122, 129, 136)
FDH_FIRST_DAY = 30
WEEK = 7
CARDS = 100
BUDGET = 0.01
MEASURES = ("ap", "auc", "cp100", "recall_at_1pct")


class Fold(NamedTuple):
    """What one fold learns from and is tested on."""

    name: str
    span: Span
    test: Rows


def folds(data: Dataset, protocol: str, split: float, train: str, only: Iterable[int] | None = None) -> list[Fold]:
    """Return the folds of a protocol, of `fdh` those numbered in `only` where any are, from 1.

    Raises SettingsError for a number that there is not, and what `fdh_folds` and `chronological_fold` raise.
    """
    if protocol != FDH:
        return [chronological_fold(data, split)]
    made, chosen = fdh_folds(data, train), sorted(set(only or ()))
    if not set(chosen) <= set(range(1, len(made) + 1)):
        msg = f"--fold {' '.join(map(str, chosen))}: expected numbers from 1 to {len(made)}"
        raise SettingsError(msg)
    return [made[number - 1] for number in chosen] if chosen else made


def fdh_folds(data: Dataset, train: str = "long") -> list[Fold]:
    """Return the four folds; `train` is `long` (all days from day 30) or `week` (the fold's own week).

    Raises DataError when the history is too short for them.
    """
    day = data.day
    needed = FDH_FOLDS[-1] + 3 * WEEK
    days = (data.last - data.first // DAY * DAY) // DAY + 1 if len(day) else 0
    if days < needed:
        message = f"The fdh protocol needs {needed} days of history, the data has {days}."
        raise DataError(message + " Use --protocol chronological.")
    return [Fold(f"day {start}", _fdh_span(data, start, train), _fdh_test(data, day, start)) for start in FDH_FOLDS]


def _fdh_span(data: Dataset, start: int, train: str) -> Span:
    midnight = data.first // DAY * DAY
    ready = midnight + (start + 2 * WEEK) * DAY
    first = start if train == "week" else FDH_FIRST_DAY
    return span_before(ready, WEEK * DAY, midnight + first * DAY, WEEK * DAY)


def _fdh_test(data: Dataset, day: NDArray[np.int64], start: int) -> Rows:
    """Return the test rows: 7 days from `start` + 14, without cards whose fraud was known a week before each day."""
    fraud = data.fraud == FRAUD
    known = set(data.card[(day >= start) & (day < start + WEEK) & fraud].tolist())
    parts = []
    for ahead in range(WEEK):
        known |= set(data.card[(day == start + WEEK + ahead - 1) & fraud].tolist())
        rows = np.flatnonzero(day == start + 2 * WEEK + ahead)
        parts.append(rows[~np.isin(data.card[rows], list(known))])
    return np.concatenate(parts)


def chronological_fold(data: Dataset, split: float = 0.85) -> Fold:
    """Return one fold: learn before the time quantile `split`, less the label delay; test on everything after it.

    Raises DataError for a split outside (0, 1).
    """
    if not 0 < split < 1:
        message = f"--split is {split}, expected a share between 0 and 1 such as 0.85."
        raise DataError(message)
    ready = int(np.quantile(data.time, split, method="lower"))
    delay = data.meta.identity.latest
    span = span_before(ready, delay, usual_start(data), usual_validation(data, ready - delay))
    return Fold(f"after {split:g}", span, between(data, ready + 1, data.last + 1))


def measure(data: Dataset, rows: Rows, score: F64) -> dict[str, Any]:
    """Return the measures of scored rows, with how many rows and frauds they rest on and card precision's ceiling."""
    fraud = data.fraud[rows] == FRAUD
    ranked = bool(fraud.any()) and not bool(fraud.all())
    precision = metrics.card_precision_at_k(fraud, score, data.card[rows], data.day[rows], CARDS) if ranked else None
    enough = precision is not None and _cards_a_day(data, rows) >= CARDS
    return {
        "rows": len(rows),
        "frauds": int(fraud.sum()),
        "ap": metrics.average_precision(fraud, score) if ranked else None,
        "auc": metrics.roc_auc(fraud, score) if ranked else None,
        "cp100": precision.value if precision is not None and enough else None,
        "cp100_ceiling": precision.ceiling if precision is not None and enough else None,
        "recall_at_1pct": metrics.recall_at_budget(fraud, score, BUDGET) if ranked else None,
        "chance": chance(fraud, BUDGET) if ranked else None,
        "ceiling": {"ap": 1.0, "auc": 1.0, "recall_at_1pct": most_recall(fraud, BUDGET)} if ranked else None,
    }


def chance(fraud: NDArray[np.bool_], budget: float) -> dict[str, float]:
    """Return what a ranking by chance has: the share of frauds, a half, and the share that is looked at."""
    return {
        "ap": float(fraud.mean()),
        "auc": 0.5,
        "recall_at_1pct": metrics.within_budget(budget, len(fraud)) / len(fraud),
    }


def most_recall(fraud: NDArray[np.bool_], budget: float) -> float:
    """Return the recall of the best ranking: fewer payments may be looked at than are frauds."""
    return float(min(metrics.within_budget(budget, len(fraud)) / max(int(fraud.sum()), 1), 1.0))


def _cards_a_day(data: Dataset, rows: Rows) -> float:
    """Return the median number of different cards a day; with fewer than k, card precision at k means nothing."""
    days = data.day[rows]
    return float(np.median([len(np.unique(data.card[rows][days == day])) for day in np.unique(days)]))
