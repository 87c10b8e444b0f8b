"""Payments to learn from, drawn: leaves, base log-odds, outcomes of all kinds."""

import numpy as np

from fraud.core.learning.outcomes import Outcome

TREES, LEAVES = 6, 30
Payments = list[tuple[list[int], float, Outcome]]


def payments(seed: int, count: int) -> Payments:
    """Return leaves, base log-odds and outcomes of all kinds."""
    rng = np.random.default_rng(seed)
    leaves = np.arange(TREES) * 5 + rng.integers(0, 5, (count, TREES))
    shares = rng.choice([0.05, 0.6, 1.0], (count, 2)).tolist()
    outcomes = [Outcome(bool(y), *share) for y, share in zip(rng.random(count) < 0.2, shares, strict=True)]
    return list(zip(leaves.tolist(), rng.normal(-3, 2, count).tolist(), outcomes, strict=True))
