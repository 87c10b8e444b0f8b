"""Deadlines: how much of the scorer there is time for.

Each transaction has a budget from the moment it was sent. A batch whose time left does not cover what a level costs
goes down to the next one, and its decisions say so. One that is overdue already gains nothing from a hurried answer:
it is scored in full and marked.
"""

from collections.abc import Sequence

from fraud.core.records import Level, Mark

WEIGHT = 0.05
PUBLISH_NS = 5_000_000
"""What publishing takes, until it has been measured."""


class LevelChooser:
    """Chooses a level by the time left and the measured cost of each level, which it learns."""

    def __init__(self, budget: int, levels: Sequence[Level] = (Level.FULL, Level.RULES)) -> None:
        """Take the budget in nanoseconds and the levels there are, fullest first."""
        self._budget = budget
        self._levels = tuple(levels)
        self._cost = dict.fromkeys(levels, 0.0)
        self._publish = float(PUBLISH_NS)

    def choose(self, age: int) -> tuple[Level, tuple[Mark, ...]]:
        """Return the level for a batch whose oldest transaction was sent `age` ns ago, and the marks it gets."""
        left = self._budget - age
        if left <= 0:
            return self._levels[0], (Mark.OVERDUE,)
        for level in self._levels:
            if self._cost[level] + self._publish <= left:
                return level, ()
        # No level is quick enough, so hurrying gains nothing.
        return self._levels[0], ()

    def learn(self, level: Level, handled: int, scored: int, published: int) -> None:
        """Take in what a batch cost at a level, the part of it spent on scoring, and publishing, in nanoseconds."""
        self._cost[level] += WEIGHT * (handled - self._cost[level])
        if level is self._levels[0]:
            # What the last level saves at best: it scores nothing.
            self._cost[self._levels[-1]] += WEIGHT * (handled - scored - self._cost[self._levels[-1]])
        self._publish += WEIGHT * (published - self._publish)
