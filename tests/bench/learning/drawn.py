"""A stream out of thin air: trees whose leaves tell fraud, and a base that knows half of it."""

import numpy as np

from fraud.core.records import HOUR
from tests.bench.learning.prequential import Replayed
from tests.models.online.grown import TREES, trees


def stream(count: int = 4_000, delay: int = 6 * HOUR, seed: int = 0) -> Replayed:
    """Return payments every minute, labels `delay` later; a feature above 0 means fraud, and the base does not know."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(0, 1, (count, TREES)).astype(np.float32)
    base = rng.normal(-4.5, 2, count)
    fraud = rng.random(count) < 1 / (1 + np.exp(-base - 1.0 * (matrix[:, 0] > 0)))
    time = np.arange(count, dtype=np.int64) * HOUR // 60 + HOUR
    merchant = rng.integers(0, 200, count).astype(np.int32)
    return Replayed(time, base, matrix, trees(), fraud, time + delay, merchant, delay)
