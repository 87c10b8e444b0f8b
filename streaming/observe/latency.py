"""Latencies in bounded memory: a histogram with 2 % wide buckets from 1 us to 100 s."""

import math

GROWTH = 1.02
LEAST_NS = 1_000.0
CELLS = 931


class Latencies:
    """Count durations and tell quantiles, each right to 2 %."""

    def __init__(self) -> None:
        """Start empty."""
        self._cells = [0] * CELLS
        self.count = 0

    def add(self, duration_ns: int, times: int = 1) -> None:
        """Count a duration, `times` times over."""
        cell = int(math.log(max(duration_ns, LEAST_NS) / LEAST_NS) / math.log(GROWTH))
        self._cells[min(cell, CELLS - 1)] += times
        self.count += times

    def quantile_ms(self, share: float) -> float | None:
        """Return the duration that `share` of all stayed at or below, in milliseconds; None when there is none."""
        target, seen = share * self.count, 0
        for cell, held in enumerate(self._cells):
            seen += held
            if held and seen >= target:
                return round(LEAST_NS * float(GROWTH ** (cell + 0.5)) / 1e6, 4)
        return None
