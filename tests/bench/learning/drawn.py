"""A stream out of thin air: trees whose leaves tell fraud, and a base that knows half of it."""

import numpy as np

from fraud.core.records import HOUR
from tests.bench.learning.prequential import Replayed

TREES, LEAVES = 4, 3


def stream(count: int = 4_000, delay: int = 6 * HOUR, seed: int = 0) -> Replayed:
    """Return payments every minute, labels `delay` later; leaf 0 of tree 0 means fraud, and the base does not know."""
    rng = np.random.default_rng(seed)
    leaves = (np.arange(TREES) * LEAVES + rng.integers(0, LEAVES, (count, TREES))).astype(np.int32)
    base = rng.normal(-4, 1.5, count)
    fraud = rng.random(count) < 1 / (1 + np.exp(-base - 2.0 * (leaves[:, 0] == 0)))
    time = np.arange(count, dtype=np.int64) * HOUR // 60 + HOUR
    merchant = rng.integers(0, 200, count).astype(np.int32)
    return Replayed(time, base, leaves, TREES * LEAVES, fraud, time + delay, merchant, delay)
