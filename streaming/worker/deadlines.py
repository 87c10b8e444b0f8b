"""Deadlines: how much of the scorer there is time for, and which answers come too late.

Each transaction has a budget from the moment it was sent. At each batch the queue is weighed: what the batch itself
costs at a level, and what those behind it then wait, beside what is left of the budget. The fullest level that keeps
both in time is taken. Where none does, the backlog is worked off first, at the level that gets through it quickest.
A batch that no level can save, with nobody behind it who would suffer, is scored in full: hurrying gains it nothing.

All times are nanoseconds.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from fraud.core.records import Level
from streaming import clock
from streaming.kafka.source import Waiting
from streaming.worker.costs import BatchCost, Recent

ROOM, CALM = 0.5, 0.3
"""Shares of the budget: the work at hand may take the first; for a fuller level to be taken up again, the second.

The rest is for what is not known. Queues that end next to the deadline would also make every mark a guess.
"""
WORTH = 0.9
"""A level is worth going down to when an event costs at most this share of what it costs further up."""
RETRIED = 32
"""After so many batches without it a fuller level is tried again, where nobody waits behind: it may be quicker now."""
KNOWN, FORGOTTEN = 8, 500
"""A level's cost is known after so many batches of it, and not any more after so many of others."""
PUBLISHING, REASONS = 5_000_000.0, 5_000_000.0
"""What publishing, and the model's reasons of a decision, take until they have been measured."""
HIGH = 0.9
"""What is planned with: so large a share of publishings, or of reasons, took no longer."""
PUBLISHINGS = 64
ANY_TIME = 2**63


class Spent(NamedTuple):
    """What one batch took from taking it up to its end; of that scoring, reasons, and closing: writing, handing over.

    `explained` counts decisions that the model explained; `publishing` took so long, 0 when it was not timed.
    """

    events: int
    total: int
    model: int = 0
    reasons: int = 0
    closing: int = 0
    explained: int = 0
    publishing: int = 0


class LevelChooser:
    """Chooses a level by the queue and the measured cost of each level, which it learns. It knows no clock."""

    def __init__(self, budget: int, batch: int, levels: Sequence[Level] = (Level.FULL, Level.RULES)) -> None:
        """Take the budget, the most events of a batch, and the levels there are, fullest first."""
        self._budget, self._batch = budget, batch
        self._levels = tuple(levels)
        self._costs = {level: BatchCost() for level in levels}
        self._learned_at = dict.fromkeys(levels, 0)
        self._scoring = Recent(0.0)
        self._batches = 0
        self.level = self._levels[0]

    def choose(self, waiting: Waiting, publishing: float) -> Level:
        """Return the level for a batch; `publishing` is what it takes from handing over to the acknowledgement."""
        self.level = self._in_time(waiting, publishing) or self._quickest()
        return self.level

    def learn(self, level: Level, spent: Spent) -> None:
        """Take in what a batch cost at a level. Reasons are left out: they take what time there is."""
        total = spent.total - spent.reasons
        if self._is_old(level):
            self._costs[level] = BatchCost()
        self._batches += 1
        self._learned_at[level] = self._batches
        self._costs[level].learn(spent.events, total)
        if level is self._levels[0]:
            self._scoring.add(spent.model / max(total, 1))

    def each(self, level: Level) -> float:
        """Return what an event costs in full batches."""
        return self._cost(level, self._batch) / self._batch

    def _in_time(self, waiting: Waiting, publishing: float) -> Level | None:
        """Return the fullest level at which the batch, and who waits behind it, are in time; None when none is."""
        costs = [self._cost(level, waiting.records) for level in self._levels]
        left = self._budget - waiting.oldest - publishing
        lost = min(costs) > left
        if not waiting.queue and (due := self._due()):
            return due
        for level, cost in zip(self._levels, costs, strict=True):
            fuller = self._levels.index(level) < self._levels.index(self.level)
            # Slow publishing is no work: no level is quicker at it.
            work = cost + waiting.queue * self.each(level)
            if (lost or cost <= left) and work <= (CALM if fuller else ROOM) * self._budget:
                return level
        return None

    def _due(self) -> Level | None:
        """Return a fuller level than the one in use that was not taken for some time, None without one."""
        fuller = self._levels[: self._levels.index(self.level)]
        return next((level for level in fuller if self._batches - self._learned_at[level] >= RETRIED), None)

    def _quickest(self) -> Level:
        """Return the fullest level that no other one is much quicker than, once each of them has been tried."""
        for level in self._levels:
            if not self._knows(level):
                return level
        best = self._levels[0]
        for level in self._levels[1:]:
            if self.each(level) <= WORTH * self.each(best):
                best = level
        return best

    def _knows(self, level: Level) -> bool:
        return self._costs[level].learned >= KNOWN and not self._is_old(level)

    def _is_old(self, level: Level) -> bool:
        """Tell whether what is known of a level is of another time."""
        return self._batches - self._learned_at[level] >= FORGOTTEN

    def _cost(self, level: Level, events: int) -> float:
        """Return what a batch costs at a level; one never taken costs what the fullest does, less scoring."""
        if self._costs[level].learned:
            return self._costs[level].of(events)
        return self._costs[self._levels[0]].of(events) * (1.0 - self._scoring.value)


class LatencyBudget:
    """A worker's deadlines, on its clock: the level of a batch, the time for reasons, and what is late."""

    def __init__(
        self,
        budget: int,
        batch: int,
        levels: Sequence[Level],
        *,
        waits: bool = False,
        now: Callable[[], int] = clock.now_ns,
    ) -> None:
        """Take the budget, the most events of a batch, the levels, fullest first, and what tells the time.

        With `waits` a batch ends when its answers are acknowledged, so what it takes includes publishing.
        """
        self._budget, self._batch, self._waits, self._now = budget, batch, waits, now
        self._chooser = LevelChooser(budget, batch, levels)
        self._publishing, self._usual = Recent(PUBLISHING, HIGH, PUBLISHINGS), Recent(PUBLISHING)
        self._reasons, self._closing = Recent(REASONS, HIGH), Recent(0.0)
        self._explain_until = ANY_TIME

    def take_levels(self, levels: Sequence[Level]) -> None:
        """Go on with the levels of another model, whose costs are not known yet."""
        self._chooser = LevelChooser(self._budget, self._batch, levels)

    def choose(self, waiting: Waiting) -> Level:
        """Return the level for a batch that is taken up now."""
        level = self._chooser.choose(waiting, 0.0 if self._waits else self._usual.value)
        ahead = max(waiting.oldest, int(waiting.queue * self._chooser.each(level)))
        left = self._budget - ahead - self._closing.value - (0.0 if self._waits else self._publishing.value)
        # Who comes meanwhile has waited for the reasons when it is taken up: it keeps a good part of its own time.
        self._explain_until = self._now() + int(min(left, ROOM * self._budget))
        return level

    def explains(self) -> bool:
        """Tell whether the batch at hand has time for the model's reasons of one more decision."""
        return self._now() + self._reasons.value <= self._explain_until

    def late_before(self) -> int:
        """Return the time (ns since the epoch) before which sent was what comes too late if it is published now."""
        return self._now() + int(self._publishing.value) - self._budget

    def learn(self, level: Level, spent: Spent) -> None:
        """Take in what a batch took."""
        self._chooser.learn(level, spent)
        self._closing.add(spent.closing)
        if spent.publishing:
            self._publishing.add(spent.publishing)
            self._usual.add(spent.publishing)
        if spent.explained:
            self._reasons.add(spent.reasons / spent.explained)
