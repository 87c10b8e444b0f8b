"""What a refresh publishes, and what it makes of a base probability; needs no River, so that serving does not."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core.learning.outcomes import log_odds, probability
from models.boosting.trees import F64
from models.online import leaves as lv

CLIP = 3.0
"""A correction's bound in log-odds, so that no run of labels moves a payment further."""


class Parameters(NamedTuple):
    """What a refresh publishes: the experts' weights, (3,), and what each pace changes a leaf's value by, (2, leaves).

    Changes are float32, as they travel; so the learner's own prequential probabilities are those that were served.
    A correction is cut at +-`clip` in log-odds.
    """

    weights: tuple[float, ...]
    changes: NDArray[np.float32]
    clip: float = CLIP


def neutral(leaves: int) -> Parameters:
    """Return the parameters that change nothing."""
    return Parameters((1.0, 0.0, 0.0), np.zeros((2, leaves), np.float32))


def experts(base: F64, corrections: F64, clip: float = CLIP) -> F64:
    """Return each expert's probability, float64 (rows, 3), of base log-odds (rows,) and sums of changes (rows, 2)."""
    logits = np.column_stack([base, base[:, None] + np.clip(corrections, -clip, clip)])
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -500, 500))))


def corrections(parameters: Parameters, leaves: lv.Leaves) -> F64:
    """Return what each pace adds to the log-odds of rows whose leaves, (rows, trees), are known: float64 (rows, 2)."""
    return lv.sums(leaves, parameters.changes.astype(np.float64))


def mixed(parameters: Parameters, base: float, sums: Sequence[float]) -> float:
    """Return the mixture's probability of a base probability and sums of changes, one a pace; in [0, 1]."""
    return moved(parameters, base, sums)[0]


def moved(parameters: Parameters, base: float, sums: Sequence[float]) -> tuple[float, float]:
    """Return the mixture's probability, and what it adds to the base's log-odds.

    The base's share is its own probability; where nothing is changed, that is the answer to the bit. Written out, for
    it is computed for each payment.
    """
    slow, fast = sums
    if slow == 0.0 and fast == 0.0:
        return base, 0.0
    logit, clip, (of_base, of_slow, of_fast) = log_odds(base), parameters.clip, parameters.weights
    slow = clip if slow > clip else -clip if slow < -clip else slow
    fast = clip if fast > clip else -clip if fast < -clip else fast
    value = of_base * base + (of_slow * probability(logit + slow) + of_fast * probability(logit + fast))
    value = min(value, 1.0)
    return value, log_odds(value) - logit


def towards(live: Parameters, candidate: Parameters, share: float) -> Parameters:
    """Return parameters that lie a share of the way from live to candidate: what a step bound leaves of a step."""
    if share == 1:
        return candidate
    weights = tuple(one + share * (other - one) for one, other in zip(live.weights, candidate.weights, strict=True))
    changes = live.changes + np.float32(share) * (candidate.changes - live.changes)
    return Parameters(weights, changes.astype(np.float32), candidate.clip)
