"""Measures where some frauds have not been told yet: approved payments without a verdict are unknown, not genuine.

Of frauds whose payments have the age a, a share F(a) has been told. Counted as genuine, the others make fraud look
rare, and a model worst where it is right first. So a told fraud stands for 1 / F(a) frauds (Horvitz and Thompson, JASA
1952), and alerts are counted as they are, since whether a payment was an alert is never censored:

    frauds caught at a threshold  =  sum of 1 / F over told frauds at or above it
    precision                     =  that / all payments at or above it
    recall                        =  that / sum of 1 / F over all told frauds

This is right if frauds of one age (and channel) are told at the same chance whatever their score (selected at random
given age: Bekker and Davis, ECML PKDD 2019). Payments so young that F is below `LEAST` say next to nothing and are left
out, from both figures. Refused payments have no part in this: hardly anybody tells of them, and
whether somebody does depends on their scores.

F itself is seen through the same window: a long delay is seen only on old payments. `ToldByAge` corrects for it by
the product-limit estimate in reverse time (Lagakos, Barraj and De Gruttola, Biometrika 1988), as reporting delays are.
"""

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fraud.core import intervals
from fraud.core.errors import DataError
from fraud.core.intervals import Measure

LEAST = 0.1
"""Told share below which a payment is left out: a told fraud would stand for more than ten."""
RECENT = 20_000

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Figures(NamedTuple):
    """Average precision (NaN without a fraud) and share of frauds."""

    ap: float
    fraud_share: float


class SideBySide(NamedTuple):
    """The same payments with untold ones as genuine, and corrected; how many there are, and how many were too young."""

    rows: int
    told: int
    left_out: int
    naive: Figures
    corrected: Figures

    def shown(self) -> dict[str, int | float | None]:
        """Return the figures by name, what is undefined as None."""
        pairs = {"naive": self.naive, "corrected": self.corrected}
        found: dict[str, int | float | None] = {"rows": self.rows, "told": self.told, "left_out": self.left_out}
        for name, figures in pairs.items():
            found[f"ap_{name}"] = None if np.isnan(figures.ap) else round(figures.ap, 4)
            found[f"fraud_share_{name}"] = None if np.isnan(figures.fraud_share) else round(figures.fraud_share, 6)
        return found


class ToldByAge:
    """F: the share of frauds told by an age, of those that are told by the greatest age seen.

    With n(y) frauds told after exactly y, and R(y) those told after y or less whose payments are y old or older,
    F(x) = product over y > x of (1 - n(y) / R(y)).
    """

    def __init__(self, delay: ArrayLike, age: ArrayLike) -> None:
        """Take, of every told fraud, how long after its payment it was told and how old the payment is now, ns.

        Raises DataError for a fraud that was told later than now.
        """
        delays, ages = np.asarray(delay, np.int64), np.asarray(age, np.int64)
        if (late := int((delays > ages).sum())) > 0:
            message = f"{late} of {len(delays)} frauds were told after the time that ages are of, expected none"
            raise DataError(message)
        self._at, count = np.unique(delays, return_counts=True)
        by_then = np.searchsorted(np.sort(delays), self._at, side="right")
        at_risk = by_then - np.searchsorted(np.sort(ages), self._at, side="left")
        stays = 1 - count / at_risk
        self._share: F64 = np.append(np.cumprod(stays[::-1])[::-1][1:], 1.0) if len(stays) else np.empty(0)

    def share(self, age: ArrayLike) -> F64:
        """Return F at each age; 0 below the shortest delay, and everywhere when no fraud was told."""
        place = np.searchsorted(self._at, np.asarray(age, np.int64), side="right")
        return np.concatenate([[0.0], self._share])[place]


def average_precision(told: ArrayLike, share: ArrayLike, score: ArrayLike) -> Measure:
    """Return average precision as a measure; a told fraud counts 1 / `share` times among the caught ones."""
    return intervals.average_precision(np.asarray(told, bool) / np.asarray(share, np.float64), score)


def side_by_side(told: ArrayLike, share: ArrayLike, score: ArrayLike) -> SideBySide:
    """Return naive and corrected figures of payments: told to be fraud so far, told share F of their age, score."""
    frauds, shares = np.asarray(told, bool), np.asarray(share, np.float64)
    use = shares >= LEAST
    known, f, p = frauds[use], shares[use], np.asarray(score, np.float64)[use]
    return SideBySide(
        rows=len(known),
        told=int(known.sum()),
        left_out=int((~use).sum()),
        naive=_figures(known, np.ones(len(known)), p),
        corrected=_figures(known, f, p),
    )


def _figures(told: Bools, share: F64, score: F64) -> Figures:
    if not len(told):
        return Figures(float("nan"), float("nan"))
    ap = float(average_precision(told, share, score)(np.ones((1, len(told))))[0])
    return Figures(ap, float((told / share).sum() / len(told)))


class RecentFigures:
    """The last payments that have reached the age of learning, what was said of them, and figures of that."""

    def __init__(self, most: int = RECENT) -> None:
        """Keep the last `most`."""
        self._held: deque[tuple[bool, float, float]] = deque(maxlen=most)
        self.added = 0
        """How many were taken in so far."""

    def add(self, *, told: bool, share: float, score: float) -> None:
        """Take in a payment: told to be fraud by now, told share F at its age, probability when decided."""
        self._held.append((told, share, score))
        self.added += 1

    def figures(self) -> SideBySide:
        """Return the figures side by side."""
        told, share, score = zip(*self._held, strict=True) if self._held else ((), (), ())
        return side_by_side(told, share, score)
