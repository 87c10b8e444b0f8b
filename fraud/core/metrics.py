"""Measures of a ranking, of an operating point, of money and of calibration; numpy only, definitions in docstrings."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Precision(NamedTuple):
    """Card precision at k and the best value that any ranking could have had."""

    value: float
    ceiling: float


class Point(NamedTuple):
    """Counts at one threshold, and what follows from them. `false_positives_per_fraud` is NaN without a hit."""

    precision: float
    recall: float
    f1: float
    false_positive_rate: float
    alert_rate: float
    false_positives_per_fraud: float


class Money(NamedTuple):
    """Money at one threshold, in the unit of the amounts."""

    loss_prevented: float
    loss_missed: float
    sales_blocked: float
    review_cost: float
    net: float


def average_precision(fraud: ArrayLike, score: ArrayLike) -> float:
    """Return the sum over thresholds of precision times the step in recall; equal scores are one threshold.

    NaN when there is no fraud.
    """
    hits, alerts = _cumulative(fraud, score)
    if not len(hits) or hits[-1] == 0:
        return float("nan")
    return float(np.sum(np.diff(hits, prepend=0) * hits / alerts) / hits[-1])


def roc_auc(fraud: ArrayLike, score: ArrayLike) -> float:
    """Return the share of (fraud, genuine) pairs ranked rightly, ties counting half; NaN when one kind is missing."""
    hits, alerts = _cumulative(fraud, score)
    if not len(hits) or hits[-1] in (0, alerts[-1]):
        return float("nan")
    false = alerts - hits
    area = np.sum(np.diff(false, prepend=0) * (hits + np.concatenate([[0], hits[:-1]])) / 2)
    return float(area / (hits[-1] * false[-1]))


def recall_at_budget(fraud: ArrayLike, score: ArrayLike, share: float) -> float:
    """Return the share of frauds at or above the score that `share` of all rows reach (ties are let in)."""
    truth, value = np.asarray(fraud, bool), np.asarray(score, np.float64)
    budget = int(share * len(value))
    if not truth.any() or budget < 1:
        return float("nan")
    threshold = np.partition(value, -budget)[-budget]
    return float((value[truth] >= threshold).mean())


def card_precision_at_k(fraud: ArrayLike, score: ArrayLike, card: ArrayLike, day: ArrayLike, k: int) -> Precision:
    """Return the mean over days of the share of frauds among the k cards of highest score, and its ceiling.

    A card's score on a day is the highest of its payments; a card is a hit if any of that day's payments is fraud; a
    card that was hit leaves the following days (Le Borgne et al., Fraud Detection Handbook). The ceiling is that of a
    ranking that knows the truth.
    """
    truth, value = np.asarray(fraud, bool), np.asarray(score, np.float64)
    cards, days = np.asarray(card), np.asarray(day)
    achieved = _card_precision(truth, value, cards, days, k)
    return Precision(achieved, _card_precision(truth, truth.astype(np.float64), cards, days, k))


def at_threshold(fraud: ArrayLike, score: ArrayLike, threshold: float) -> Point:
    """Return precision, recall, F1, false-positive rate, alert rate and false positives per fraud caught."""
    truth, alert = np.asarray(fraud, bool), np.asarray(score, np.float64) >= threshold
    hit, false = int((truth & alert).sum()), int((~truth & alert).sum())
    precision, recall = _share(hit, hit + false), _share(hit, int(truth.sum()))
    return Point(
        precision=precision,
        recall=recall,
        f1=_share(2 * hit, hit + false + int(truth.sum())),
        false_positive_rate=_share(false, int((~truth).sum())),
        alert_rate=_share(hit + false, len(truth)),
        false_positives_per_fraud=_share(false, hit),
    )


def value_recall(fraud: ArrayLike, score: ArrayLike, amount: ArrayLike, threshold: float) -> float:
    """Return the share of the frauds' amount that lies at or above the threshold."""
    truth, value = np.asarray(fraud, bool), np.asarray(amount, np.float64)
    caught = truth & (np.asarray(score, np.float64) >= threshold)
    total = float(value[truth].sum())
    return float(value[caught].sum()) / total if total else float("nan")


def money(
    fraud: ArrayLike, score: ArrayLike, amount: ArrayLike, threshold: float, *, review: float, margin: float
) -> Money:
    """Return what a threshold saves and costs: frauds stopped, `margin` of genuine sales lost, `review` an alert."""
    truth, value = np.asarray(fraud, bool), np.asarray(amount, np.float64)
    alert = np.asarray(score, np.float64) >= threshold
    prevented, missed = float(value[truth & alert].sum()), float(value[truth & ~alert].sum())
    blocked, cost = float(value[~truth & alert].sum()), review * int(alert.sum())
    return Money(prevented, missed, blocked, cost, prevented - margin * blocked - cost)


def log_loss(fraud: ArrayLike, probability: ArrayLike) -> float:
    """Return the mean negative log-likelihood, probabilities clipped at 1e-12."""
    truth = np.asarray(fraud, bool)
    p = np.clip(np.asarray(probability, np.float64), 1e-12, 1 - 1e-12)
    return float(-np.where(truth, np.log(p), np.log1p(-p)).mean())


def brier(fraud: ArrayLike, probability: ArrayLike) -> float:
    """Return the mean squared distance of the probability from the truth (0 or 1)."""
    return float(np.square(np.asarray(probability, np.float64) - np.asarray(fraud, bool)).mean())


def reliability(fraud: ArrayLike, probability: ArrayLike, bins: int = 10) -> list[tuple[float, float, int]]:
    """Return (mean probability, share of frauds, rows) of groups of about equal size, lowest probability first."""
    truth, p = np.asarray(fraud, bool), np.asarray(probability, np.float64)
    groups = np.array_split(np.argsort(p, kind="stable"), bins)
    return [(float(p[rows].mean()), float(truth[rows].mean()), len(rows)) for rows in groups if len(rows)]


def calibration_error(fraud: ArrayLike, probability: ArrayLike, bins: int = 10) -> float:
    """Return the mean distance, weighted by rows, of probability and share of frauds over `reliability` groups."""
    groups = reliability(fraud, probability, bins)
    return sum(abs(p - share) * rows for p, share, rows in groups) / sum(rows for _, _, rows in groups)


def _cumulative(fraud: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats]:
    """Return frauds and rows at or above each distinct score, highest score first."""
    truth, value = np.asarray(fraud, bool), np.asarray(score, np.float64)
    order = np.argsort(-value, kind="stable")
    ends = np.flatnonzero(np.diff(value[order], append=np.nan) != 0)
    hits = np.cumsum(truth[order], dtype=np.float64)
    return hits[ends], (ends + 1).astype(np.float64)


def _card_precision(truth: Bools, score: Floats, card: NDArray[np.generic], day: NDArray[np.generic], k: int) -> float:
    gone: set[object] = set()
    daily = []
    for one in np.unique(day):
        rows = np.flatnonzero(day == one)
        rows = rows[[one not in gone for one in card[rows].tolist()]] if gone else rows
        hit = _top_cards(truth[rows], score[rows], card[rows], k)
        gone.update(hit)
        daily.append(len(hit) / k)
    return float(np.mean(daily)) if daily else float("nan")


def _top_cards(truth: Bools, score: Floats, card: NDArray[np.generic], k: int) -> list[object]:
    """Return the cards among the k of highest score that had a fraud."""
    cards, index = np.unique(card, return_inverse=True)
    best, had = np.full(len(cards), -np.inf), np.zeros(len(cards), bool)
    np.maximum.at(best, index, score)
    np.logical_or.at(had, index, truth)
    top = np.argsort(-best, kind="stable")[:k]
    hit: list[object] = cards[top[had[top]]].tolist()
    return hit


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
