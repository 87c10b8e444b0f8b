"""Measures of a ranking, of an operating point, of money and of calibration; numpy only, definitions in docstrings.

Every function takes one value per row, in arrays of equal length, and raises DataError where lengths differ or a score
is NaN. What the rows leave undefined (precision without an alert, recall without a fraud) is NaN, never 0.
"""

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fraud.core.errors import DataError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NEWTON = 50
"""Most steps of a fit with two parameters."""


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


def within_budget(share: float, rows: int) -> int:
    """Return how many of some rows a budget of a share lets somebody look at, rounded down."""
    return int(share * rows + 1e-9)  # 0.29 * 100 is 28.999...


def recall_at_budget(fraud: ArrayLike, score: ArrayLike, share: float) -> float:
    """Return the share of frauds among the `share` of all rows (rounded down) that score highest.

    Where the budget ends among equal scores, those are taken to be drawn at random: the expected share is returned.
    NaN when there is no fraud or the budget is less than a row. Raises DataError for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        message = f"share is {share}, expected a share of all rows above 0 and up to 1 such as 0.01"
        raise DataError(message)
    hits, alerts = _cumulative(fraud, score)
    budget = within_budget(share, int(alerts[-1])) if len(alerts) else 0
    if budget < 1 or not hits[-1]:
        return float("nan")
    return float(np.interp(budget, np.concatenate([[0], alerts]), np.concatenate([[0], hits])) / hits[-1])


def card_precision_at_k(fraud: ArrayLike, score: ArrayLike, card: ArrayLike, day: ArrayLike, k: int) -> Precision:
    """Return the mean over days of the share of frauds among the k cards of highest score, and its ceiling.

    A card's score on a day is the highest of its payments; a card is a hit if any of that day's payments is fraud; a
    card that was hit leaves the following days (Le Borgne et al., Fraud Detection Handbook). Among equal scores the
    card that sorts first comes first. No ranking whatever exceeds the ceiling, and some ranking attains it.
    Raises DataError for k below 1.
    """
    if k < 1:
        message = f"k is {k}, expected the number of cards that can be looked at in a day, 1 or more"
        raise DataError(message)
    truth, value, cards, days = _aligned(fraud, score, card, day)
    value = _scores(value)
    return Precision(_card_precision(truth.astype(bool), value, cards, days, k), _ceiling(truth, cards, days, k))


def at_threshold(fraud: ArrayLike, score: ArrayLike, threshold: float) -> Point:
    """Return precision, recall, F1, false-positive rate, alert rate and false positives per fraud caught."""
    truth, value = _binary(fraud, score)
    alert = value >= threshold
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
    """Return the share of the frauds' amount that lies at or above the threshold; NaN when they amount to nothing."""
    (truth, score_), value = _binary(fraud, score), np.asarray(amount, np.float64)
    _aligned(truth, value)
    return _share(float(value[truth & (score_ >= threshold)].sum()), float(value[truth].sum()))


def money(
    fraud: ArrayLike, score: ArrayLike, amount: ArrayLike, threshold: float, *, review: float, margin: float
) -> Money:
    """Return what a threshold saves and costs, in the unit of `amount`.

    Frauds at or above the threshold are prevented, the others missed; `margin` is the share of a blocked genuine sale
    that is lost, `review` the cost of an alert. Net is prevented less lost margin less reviews.
    """
    (truth, score_), value = _binary(fraud, score), np.asarray(amount, np.float64)
    _aligned(truth, value)
    alert = score_ >= threshold
    prevented, missed = float(value[truth & alert].sum()), float(value[truth & ~alert].sum())
    blocked, cost = float(value[~truth & alert].sum()), review * int(alert.sum())
    return Money(prevented, missed, blocked, cost, prevented - margin * blocked - cost)


def log_loss(fraud: ArrayLike, probability: ArrayLike) -> float:
    """Return the mean negative log-likelihood, probabilities clipped at 1e-12; NaN without rows."""
    truth, p = _binary(fraud, probability)
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return _mean(-np.where(truth, np.log(p), np.log1p(-p)))


def brier(fraud: ArrayLike, probability: ArrayLike) -> float:
    """Return the mean squared distance of the probability from the truth (0 or 1); NaN without rows."""
    truth, p = _binary(fraud, probability)
    return _mean(np.square(p - truth))


def reliability(fraud: ArrayLike, probability: ArrayLike, bins: int = 10) -> list[tuple[float, float, int]]:
    """Return (mean probability, share of frauds, rows) of groups of about equal size, lowest probability first.

    Equal probabilities stay in one group, or the order of rows would look like miscalibration; so there may be fewer
    groups than `bins`. Raises DataError for bins below 1.
    """
    if bins < 1:
        message = f"bins is {bins}, expected the number of groups to make, 1 or more"
        raise DataError(message)
    truth, p = _binary(fraud, probability)
    order = np.argsort(p, kind="stable")
    truth, p = truth[order], p[order]
    sizes = [len(group) for group in np.array_split(p, min(bins, len(p)) or 1)]
    begins = np.unique(np.searchsorted(p, p[np.cumsum([0, *sizes[:-1]])])) if len(p) else np.array([], np.int64)
    spans = zip(begins.tolist(), [*begins[1:].tolist(), len(p)], strict=False)
    return [(float(p[begin:end].mean()), float(truth[begin:end].mean()), end - begin) for begin, end in spans]


def calibration_error(fraud: ArrayLike, probability: ArrayLike, bins: int = 10) -> float:
    """Return the mean distance, weighted by rows, of probability and share of frauds over `reliability` groups.

    NaN without rows.
    """
    groups = reliability(fraud, probability, bins)
    return _share(sum(abs(p - share) * rows for p, share, rows in groups), sum(rows for _, _, rows in groups))


def calibration_slope(fraud: ArrayLike, probability: ArrayLike) -> float:
    """Return b of the logistic regression logit P(fraud) = a + b logit(p), probabilities clipped at 1e-6.

    1 is calibrated; below 1 probabilities are too extreme (Cox, Biometrika 1958). NaN when one kind is missing or all
    probabilities are equal.
    """
    truth, p = _binary(fraud, probability)
    x = np.log(np.clip(p, 1e-6, 1 - 1e-6)) - np.log1p(-np.clip(p, 1e-6, 1 - 1e-6))
    if not truth.any() or truth.all() or np.ptp(x) == 0:
        return float("nan")
    design, beta = np.column_stack([np.ones(len(x)), x]), np.array([0.0, 1.0])
    for _ in range(NEWTON):
        q = 1 / (1 + np.exp(-np.clip(design @ beta, -500, 500)))
        step = np.linalg.lstsq((design.T * (q * (1 - q))) @ design, design.T @ (truth - q), rcond=None)[0]
        beta = beta + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-9:
            break
    return float(beta[1])


def top_ratio(fraud: ArrayLike, probability: ArrayLike, share: float = 0.01) -> float:
    """Return mean probability over share of frauds, among the `share` of rows that score highest; 1 is calibrated.

    NaN when there is no fraud among them.
    """
    truth, p = _binary(fraud, probability)
    top = np.argsort(-p, kind="stable")[: max(1, int(share * len(p)))]
    return _share(float(p[top].mean()), float(truth[top].mean())) if len(top) else float("nan")


def _cumulative(fraud: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats]:
    """Return frauds and rows at or above each distinct score, highest score first."""
    truth, value = _binary(fraud, score)
    order = np.argsort(-value, kind="stable")
    ranked = value[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])
    hits = np.cumsum(truth[order], dtype=np.float64)
    return hits[ends], (ends + 1).astype(np.float64)


def _aligned(*columns: ArrayLike) -> list[NDArray[np.generic]]:
    """Return columns as arrays; raise DataError unless all have one dimension and the same length."""
    arrays = [np.asarray(column) for column in columns]
    if any(array.shape != (arrays[0].size,) for array in arrays):
        shapes = ", ".join(str(array.shape) for array in arrays)
        message = f"arrays have shapes {shapes}, expected one value per row in each"
        raise DataError(message)
    return arrays


def _binary(fraud: ArrayLike, score: ArrayLike) -> tuple[Bools, Floats]:
    truth, value = _aligned(fraud, score)
    return truth.astype(bool), _scores(value)


def _scores(value: NDArray[np.generic]) -> Floats:
    """Return scores as doubles; raise DataError for NaN, which has no place in a ranking."""
    score = value.astype(np.float64)
    if (bad := int(np.isnan(score).sum())) > 0:
        message = f"{bad} of {len(score)} scores are NaN, expected numbers: score every row or leave it out"
        raise DataError(message)
    return score


def _card_precision(truth: Bools, score: Floats, card: NDArray[np.generic], day: NDArray[np.generic], k: int) -> float:
    gone: set[object] = set()
    daily = []
    for one in np.unique(day):
        rows = np.flatnonzero(day == one)
        rows = rows[[each not in gone for each in card[rows].tolist()]] if gone else rows
        hit = _top_cards(truth[rows], score[rows], card[rows], k)
        gone.update(hit)
        daily.append(len(hit) / k)
    return _mean(np.array(daily))


def _top_cards(truth: Bools, score: Floats, card: NDArray[np.generic], k: int) -> list[object]:
    """Return the cards among the k of highest score that had a fraud."""
    cards, index = np.unique(card, return_inverse=True)
    best, had = np.full(len(cards), -np.inf), np.zeros(len(cards), bool)
    np.maximum.at(best, index, score)
    np.logical_or.at(had, index, truth)
    top = np.argsort(-best, kind="stable")[:k]
    hit: list[object] = cards[top[had[top]]].tolist()
    return hit


def _ceiling(truth: NDArray[np.generic], card: NDArray[np.generic], day: NDArray[np.generic], k: int) -> float:
    """Return the best card precision: as many cards as possible, each on one day of its frauds, up to k a day."""
    days: dict[object, set[object]] = {}
    rows = np.flatnonzero(truth)
    for one, when in zip(card[rows].tolist(), day[rows].tolist(), strict=True):
        days.setdefault(one, set()).add(when)
    taken: dict[object, list[object]] = {}
    placed = sum(_place(one, days, taken, k) for one in days)
    return _share(placed, k * len(np.unique(day)))


def _place(card: object, days: dict[object, set[object]], taken: dict[object, list[object]], k: int) -> bool:
    """Find the card a day, moving others along where all of its days are full (augmenting path); tell if it worked."""
    came: dict[object, tuple[object, object]] = {}
    waiting: deque[tuple[object, object]] = deque([(card, None)])
    while waiting:
        one, held = waiting.popleft()
        for when in days[one]:
            if when in came:
                continue
            came[when] = one, held
            if len(taken.setdefault(when, [])) < k:
                _shift(when, came, taken)
                return True
            waiting.extend((other, when) for other in taken[when])
    return False


def _shift(when: object, came: dict[object, tuple[object, object]], taken: dict[object, list[object]]) -> None:
    """Move every card of a path to the day that the path found for it, the last first."""
    held: object = when
    while held is not None:
        one, before = came[held]
        taken[held].append(one)
        if before is not None:
            taken[before].remove(one)
        held = before


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
