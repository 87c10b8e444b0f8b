"""What each own column is worth: how much average precision a booster loses when the column's values are shuffled.

Asked of the validation rows, which are later days, and of the booster that has not seen them. A column that says what
others say too is worth little by this measure, whatever it would be worth alone. What all of them are worth together is
told by another fit, without them: a column whose meaning changes from month to month can cost much there, and nothing
when it is shuffled.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core import intervals
from fraud.training.dataset import FRAUD, Dataset
from fraud.training.own import own_places
from fraud.training.splits import Rows
from models.boosting.quickscorer import FastTrees
from models.boosting.trees import F64, Trees

MOST_ROWS, TIMES, SHUFFLES = 50_000, 200, 5
"""Validation rows that are asked, the newest ones; draws of cards for the interval; shuffles, whose mean counts."""

TOGETHER = "all own columns"


class Worth(NamedTuple):
    """A column's name, what shuffling it costs in average precision, and its 95 % interval over cards."""

    name: str
    gain: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return it in words, with a verdict where it costs or is not told from nothing."""
        verdict = " (costs)" if self.high < 0 else " (no gain)" if self.low <= 0 else ""
        return f"{self.name} {self.gain:+.3f} [{self.low:.3f}, {self.high:.3f}]{verdict}"


def worth(data: Dataset, rows: Rows, trees: Trees, seed: int) -> tuple[Worth, ...]:
    """Return what each own column is worth to trees that have not seen these rows, the most valuable first."""
    places = own_places(data)
    if not places:
        return ()
    asked = rows[-MOST_ROWS:]
    matrix, fraud = np.ascontiguousarray(data.matrix[asked]), data.fraud[asked] == FRAUD
    cards = np.unique(data.card[asked], return_inverse=True)[1]
    quick = FastTrees(trees)
    whole = intervals.average_precision(fraud, quick.raw(matrix))
    found = []
    for place in places:
        without = [
            intervals.average_precision(fraud, quick.raw(shuffled(matrix, place, (seed, place, time))))
            for time in range(SHUFFLES)
        ]
        lost = intervals.interval(less_mean(whole, without), cards, np.random.default_rng(seed), times=TIMES)
        found.append(Worth(data.names[place], *lost))
    return tuple(sorted(found, key=lambda one: -one.gain))


def together(data: Dataset, rows: Rows, score: F64, without: F64, seed: int) -> Worth:
    """Return what all own columns are worth: scores of a fit with them against those of a fit without them."""
    fraud = data.fraud[rows] == FRAUD
    cards = np.unique(data.card[rows], return_inverse=True)[1]
    pair = intervals.average_precision(fraud, score), intervals.average_precision(fraud, without)
    rng = np.random.default_rng(seed)
    return Worth(TOGETHER, *intervals.interval(intervals.difference(*pair), cards, rng, times=TIMES))


def less_mean(one: intervals.Measure, others: Sequence[intervals.Measure]) -> intervals.Measure:
    """Return the measure `one` less the mean of others, under the same draws."""
    return lambda weights: one(weights) - np.mean([other(weights) for other in others], axis=0)


def shuffled(matrix: NDArray[np.float32], place: int, seed: tuple[int, ...]) -> NDArray[np.float32]:
    """Return rows with one column's values dealt out anew."""
    out = matrix.copy()
    out[:, place] = np.random.default_rng(seed).permutation(matrix[:, place])
    return out
