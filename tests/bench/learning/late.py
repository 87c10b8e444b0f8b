"""Chargebacks that come late, for frauds alone: do probabilities agree with the share of frauds all the same?

Frauds are told log-normally late, with a median of 7 days, at most 30, one in twenty never; nobody speaks of what is
genuine, until silence says so at 45 days. What is learned at 7 days counts such payments as untold. Features are those
of the stream, whose labels all come at one age: what is asked is what late labels do to what is learned.
"""

from typing import Any

import numpy as np

from fraud.core.records import DAY, HOUR
from models.boosting.trees import F64
from tests.bench.learning.prequential import I64, NEVER, Bools, Prequential, Replayed

MEDIAN_DAYS, SPREAD, NEVER_TOLD = 7.0, 0.6, 0.05
MATURITY = 7 * DAY
SETTLED_IN = 14 * DAY
"""From the first payment that counts on; before, nothing can have been learned."""


class Late(Prequential):
    """A run whose payments fall due by time alone, as no label may come for long."""

    def boundary(self, n: int) -> None:
        """End the period before, with what fell due in it."""
        self.fall_due(n * self.every, max(self.loop._gate.period, n - 1))
        super().boundary(n)


def told_late(time: I64, fraud: Bools) -> I64:
    """Return when each payment's fraud is told, ns; `NEVER` for all that nobody speaks of."""
    rng = np.random.default_rng(5)
    delay = np.exp(rng.normal(np.log(MEDIAN_DAYS), SPREAD, len(time)))
    at = time + np.clip(delay * DAY, HOUR, 30 * DAY).astype(np.int64)
    return np.where(fraud & (rng.random(len(at)) >= NEVER_TOLD), at, NEVER)


def run(stream: Replayed, every: int, ready: int) -> dict[str, Any]:
    """Return mean probability over the share of frauds, of the frozen model and of what payments get."""
    late = stream._replace(told_at=told_late(stream.time, stream.fraud), delay=MATURITY)
    found = Late(late, every, untold=True).run()
    rows = stream.time >= ready + SETTLED_IN
    shown: dict[str, Any] = {
        name: over(p[rows], stream.fraud[rows]) for name, p in (("frozen", found.frozen), ("served", found.guarded))
    }
    return {
        **shown,
        "mixture": over(found.mixture[rows], stream.fraud[rows]),
        "counts": found.figures,
        "alarms": found.alarms,
    }


def over(p: F64, fraud: Bools) -> float:
    """Return mean probability over the share of frauds."""
    return round(float(p.mean() / fraud.mean()), 4)
