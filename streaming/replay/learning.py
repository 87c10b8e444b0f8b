"""The learning loop in an engine's own process: periods by the time of events, scorers out of what is published."""

from collections.abc import Mapping
from typing import Any

from fraud.core.labels import Due, Match
from fraud.core.learning.journal import Journal
from fraud.core.records import Decision, FeatureVector, Level
from fraud.core.second_half import Boundary
from models.online.loop import Closed, LearningLoop
from models.online.refreshed import Refreshing
from models.online.snapshots import decoded, encoded

PUBLISHED = "published"
"""The last snapshot, in the loop's journal: what payments get after a restart."""


class EmbeddedLearning:
    """The Learning port over a loop and the journal that it lies in."""

    def __init__(self, loop: LearningLoop, every: int, journal: Journal, refreshing: Refreshing | None) -> None:
        """Take the loop, its period (ns), its journal, and what makes scorers; None where nothing is learned."""
        self._loop, self._every, self._journal, self._refreshing = loop, every, journal, refreshing

    def period(self, at: int) -> int:
        """Return the refresh period that a time (ns UTC) is in."""
        return at // self._every

    def hear(self, decision: Decision, vector: FeatureVector | None) -> tuple[float, ...]:
        """Return what each expert says of a decision now."""
        return self._loop.hear(decision, vector)

    def take(self, match: Match, period: int) -> None:
        """Take in what a label changes."""
        self._loop.take(match, period)

    def fall_due(self, due: Due) -> None:
        """Take in payments that have reached the age of learning, or their deadline."""
        for item in due.ripe:
            self._loop.ripen(item)
        for item in due.settled:
            self._loop.settle(item)

    def close(self, period: int) -> Boundary:
        """End all periods up to one; return what the state takes in, and scorers where payments get others."""
        closed = self._loop.close(period, (period + 1) * self._every)
        if closed.snapshot is not None:
            self._journal.put(PUBLISHED, 0, encoded(closed.snapshot))
        return self._boundary(closed)

    def figures(self) -> Mapping[str, Any]:
        """Return the loop's figures."""
        return self._loop.figures()

    def snapshot(self) -> bytes:
        """Return the whole state."""
        return self._loop.snapshot()

    def restore(self, snapshot: bytes) -> Boundary:
        """Replace the whole state; return what payments get by it."""
        self._loop.restore(snapshot)
        return Boundary((), self._loop.version, self._scorers())

    def _boundary(self, closed: Closed) -> Boundary:
        if closed.live is None:
            return Boundary(closed.known)
        return Boundary(closed.known, closed.live.version, self._scorers())

    def _scorers(self) -> Mapping[Level, Any]:
        """Return the scorers of what payments get, none where that is the base."""
        body = self._journal.get(PUBLISHED, 0)
        if not self._loop.version or body is None or self._refreshing is None:
            return {}
        return self._refreshing.scorers(decoded(body))
