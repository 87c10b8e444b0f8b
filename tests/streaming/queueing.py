"""A worker as a queue on a clock of its own: payments come at a rate, batches cost what a site says they cost.

Everything is drawn from a seed and nothing reads the wall clock, so a run is the same each time.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fraud.core.records import Level
from streaming.kafka.source import MILLISECOND_NS, Waiting
from streaming.worker.deadlines import LatencyBudget, Spent

MS, SECOND = 1_000_000, 1_000_000_000
BUDGET, BATCH = 50 * MS, 32
BEGAN = 1_700_000_000 * SECOND


class Costs(NamedTuple):
    """What a batch costs at a level (ns): a + b n, of which `scoring` is a share; a reason in full and in brief."""

    levels: Mapping[Level, tuple[float, float]]
    scoring: float = 0.3
    reason: float = 5 * MS
    brief: float = 0.2 * MS
    publishing: float = 2 * MS
    noise: float = 0.1


BLEND = Costs({Level.FULL: (1.5 * MS, 1.0 * MS), Level.EARLY: (1.2 * MS, 0.5 * MS), Level.RULES: (1.2 * MS, 0.35 * MS)})
ALIKE = Costs({Level.FULL: (1.5 * MS, 1.0 * MS), Level.RULES: (1.5 * MS, 0.97 * MS)}, scoring=0.03)


class Decided(NamedTuple):
    """One payment: when it was sent and its answer arrived (ns), the level, and what was told of it."""

    sent: int
    arrived: int
    level: Level
    marked: bool
    brief: bool = False

    @property
    def late(self) -> bool:
        """Tell whether it took more than the budget, by the time stamp that its record carries."""
        return self.arrived - self.sent > BUDGET


class Site:
    """One worker. `stalls` are (time since the start, length) in ns; `heard` is how often the client hears of ends."""

    def __init__(
        self,
        costs: Costs,
        *,
        seed: int = 0,
        alerts: float = 0.01,
        stalls: Sequence[tuple[int, int]] = (),
        heard: int = 0,
    ) -> None:
        self.costs, self._rng, self._alerts = costs, np.random.default_rng(seed), alerts
        self._stalls, self._heard = list(stalls), heard
        self.now = BEGAN
        self.budget = LatencyBudget(BUDGET, BATCH, tuple(costs.levels), now=lambda: self.now)
        self._end = self._heard_at = 0

    def run(self, *phases: tuple[float, float]) -> list[Decided]:
        """Send payments at (rate a second, seconds) each, Poisson; return them decided, none left."""
        sent = self._arrivals(phases)
        done: list[Decided] = []
        while len(done) < len(sent):
            self.now = max(self.now, sent[len(done)])
            there = bisect_right(sent, self.now)
            done += self._batch(sent[len(done) : min(there, len(done) + BATCH)], self._known(there, len(done)))
        return done

    def _arrivals(self, phases: Sequence[tuple[float, float]]) -> list[int]:
        found, at = list[int](), float(self.now)
        for rate, seconds in phases:
            end = at + seconds * SECOND
            while (at := at + self._rng.exponential(SECOND / rate)) < end:
                found.append(int(at))
            at = end
        return found

    def _known(self, there: int, done: int) -> int:
        """Return how many records are known to have come, by what the client heard last."""
        if self.now - self._heard_at >= self._heard:
            self._heard_at, self._end = self.now, there
        return max(self._end - done, 0)

    def _batch(self, sent: Sequence[int], known: int) -> list[Decided]:
        began, size = self.now, len(sent)
        stamps = [at // MILLISECOND_NS * MILLISECOND_NS for at in sent]
        ages = max(self.now - min(stamps), 0), max(self.now - max(stamps), 0)
        level = self.budget.choose(Waiting(size, size == BATCH, *ages, max(known - size, 0)))
        marked = [stamp < self.budget.late_before() for stamp in stamps]
        fixed, each = self.costs.levels[level]
        work = int((fixed + each * size) * self._varied())
        self.now += work // 2
        explained, reasons, briefs = self._explain(size, level)
        self.now += work - work // 2 + self._stalled(began)
        marked = [held or stamp < self.budget.late_before() for held, stamp in zip(marked, stamps, strict=True)]
        publishing = int(self.costs.publishing * self._varied())
        self.budget.learn(
            level,
            Spent(size, self.now - began, int(work * self.costs.scoring) * (level is Level.FULL), reasons, work // 4,
                  explained, publishing),
        )  # fmt: skip
        arrived = self.now + publishing
        return [
            Decided(stamp, arrived, level, mark, number in briefs)
            for number, (stamp, mark) in enumerate(zip(stamps, marked, strict=True))
        ]

    def _explain(self, size: int, level: Level) -> tuple[int, int, set[int]]:
        """Explain some of a batch; return how many in full, how long it took, and which in brief."""
        if level is Level.RULES:
            return 0, 0, set()
        chosen = np.flatnonzero(self._rng.random(size) < self._alerts).tolist()
        began, briefs = self.now, set[int]()
        for number in chosen:
            if self.budget.explains():
                self.now += int(self.costs.reason * self._varied())
            else:
                briefs.add(number)
                self.now += int(self.costs.brief)
        return len(chosen) - len(briefs), self.now - began, briefs

    def _varied(self) -> float:
        return float(np.exp(self._rng.normal(0.0, self.costs.noise)))

    def _stalled(self, began: int) -> int:
        due = [stall for stall in self._stalls if BEGAN + stall[0] <= began]
        self._stalls = self._stalls[len(due) :]
        return sum(length for _, length in due)


def share(decided: Sequence[Decided], level: Level) -> float:
    """Return the share of decisions at a level."""
    return sum(each.level is level for each in decided) / len(decided)


def unmarked(decided: Sequence[Decided]) -> float:
    """Return the share that was late and does not say so."""
    return sum(each.late and not each.marked for each in decided) / len(decided)


def wronged(decided: Sequence[Decided]) -> float:
    """Return the share that was in time and says that it was late."""
    return sum(each.marked and not each.late for each in decided) / len(decided)


def recovered(decided: Sequence[Decided], since: int) -> float:
    """Return the seconds from a time (ns since the start) to the last late decision after it."""
    last = max((each.arrived for each in decided if each.late), default=BEGAN + since)
    return max(last - BEGAN - since, 0) / SECOND
