"""Fit logistic coefficients by Newton's method with step halving: the one solver behind calibration and mixtures."""

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

RIDGE = 1e-3
STEPS, HALVINGS = 60, 40
CLOSE = 1e-10


def fit(columns: F64, fraud: Bools, start: F64, free: Bools, *, towards: F64 | None = None) -> F64:
    """Return coefficients (k,) of columns (rows, k) that fit verdicts (rows,); those not `free` keep their start.

    Maximum likelihood with a ridge of 1e-3 towards `towards`, 0 by default. The objective is convex and each step is
    halved until it goes down: full Newton steps oscillate, and end anywhere, where scores are far out.
    """
    weights = start.astype(np.float64)
    centre = np.zeros(len(weights)) if towards is None else towards
    used = columns[:, free]
    least = _objective(columns, fraud, weights, centre)
    for _ in range(STEPS):
        p = _sigmoid(columns @ weights)
        slope = used.T @ (p - fraud) + RIDGE * (weights - centre)[free]
        curve = (used * (p * (1 - p))[:, None]).T @ used + RIDGE * np.eye(used.shape[1])
        step, share = np.linalg.solve(curve, slope), 1.0
        for _ in range(HALVINGS):
            moved = weights.copy()
            moved[free] -= share * step
            found = _objective(columns, fraud, moved, centre)
            if found <= least:
                break
            share /= 2
        else:
            break
        weights, least = moved, found
        if np.abs(share * step).max() < CLOSE:
            break
    return weights


def _objective(columns: F64, fraud: Bools, weights: F64, centre: F64) -> float:
    """Return the negative log-likelihood with its ridge."""
    z = columns @ weights
    loss = np.logaddexp(0.0, np.where(fraud, -z, z)).sum()
    return float(loss + RIDGE / 2 * np.square(weights - centre).sum())


def _sigmoid(z: F64) -> F64:
    return 1 / (1 + np.exp(-np.clip(z, -500, 500)))
