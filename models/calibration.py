"""Calibrate raw scores to probabilities without changing their order.

Beta calibration (Kull, Silva Filho, Flach, AISTATS 2017): logit(q) = a ln p - b ln(1 - p) + c with a, b >= 0, fitted by
logistic regression. Strictly increasing where a or b is positive, so ranking measures stay as they are; isotonic
regression, the usual choice, makes ties.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models import logistic

F64 = NDArray[np.float64]


class Beta(NamedTuple):
    """The three numbers of a beta calibration; (1, 1, 0) changes nothing."""

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def probabilities(self, raw: Iterable[float]) -> list[float]:
        """Return a calibrated probability per raw score (log-odds), each from its own score alone."""
        return probabilities(self.log_odds(raw))

    def log_odds(self, raw: Iterable[float]) -> list[float]:
        """Return the log-odds of those probabilities: finite where a probability is rounded to 0 or 1."""
        return [self.a * _log_sigmoid(x) - self.b * _log_sigmoid(-x) + self.c for x in raw]


def probabilities(log_odds: Iterable[float]) -> list[float]:
    """Return the probability of each log-odds."""
    return [_sigmoid(x) for x in log_odds]


def _log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > 0 else (e := math.exp(max(x, -700.0))) / (1 + e)


def fit(raw: F64, fraud: NDArray[np.bool_]) -> Beta:
    """Return the calibration that fits out-of-sample raw scores, float64 (rows,), and their verdicts, bool (rows,).

    Maximum likelihood with a small ridge towards no change; a negative slope is set to 0 and the rest refitted.
    Without both verdicts there is nothing to fit, and the scores stay as they are.
    """
    if fraud.all() or not fraud.any():
        return Beta()
    columns = np.stack([-np.logaddexp(0, -raw), np.logaddexp(0, raw), np.ones(len(raw))], axis=1)
    start = np.array([1.0, 1.0, 0.0])
    a, b, c = logistic.fit(columns, fraud, start, np.array([True, True, True]), towards=start)
    if a < 0 or b < 0:
        free = np.array([a >= 0, b >= 0, True])
        a, b, c = logistic.fit(columns, fraud, np.where(free, start, 0.0), free, towards=start)
    return Beta(float(a), float(b), float(c)) if a >= 0 and b >= 0 and a + b > 0 else Beta()
