"""The learning loop in an engine's own process: periods by the time of events, scorers out of what is published."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from features.spec import spec
from fraud.core.drift import Drift
from fraud.core.engine import Strategy
from fraud.core.errors import StateError
from fraud.core.labels import Due, LabelBook, Match
from fraud.core.learning.gate import HeldChart
from fraud.core.learning.guard import alert_log_odds
from fraud.core.learning.journal import Journal, MemoryJournal
from fraud.core.learning.outcomes import probability
from fraud.core.ports import Scorer
from fraud.core.records import Decision, FeatureVector, Level
from fraud.core.second_half import Boundary
from fraud.core.settings import Settings
from models.blend import Blend
from models.boosting.scorer import Booster
from models.online.loop import Closed, LearningLoop, LearningRules
from models.online.refreshed import Refreshing
from models.online.refresher import Base, Pace
from models.online.snapshots import decoded, encoded
from models.online.watched import WatchedLoop
from streaming.settings import declared

TYPICAL = 5_000
"""The amount, in minor units, at which it is told where alerts begin: costs may let that depend on the amount."""
Told = Callable[[Closed, Mapping[str, HeldChart], int], None]
"""Is told what ends of periods bring about, what the gate holds then, by chart, and their time (ns of the stream)."""
PUBLISHED = "published"
"""The last snapshots, in the loop's journal: what payments get after a restart, or when the guard goes back."""
KEPT = 50


class EmbeddedLearning:
    """The Learning port over a loop and the journal that it lies in."""

    def __init__(
        self,
        loop: LearningLoop,
        every: int,
        journal: Journal,
        refreshing: Refreshing | None,
        told: Told | None = None,
    ) -> None:
        """Take the loop, its period (ns), its journal, and what makes scorers; None where nothing is learned."""
        self._loop, self._every, self._journal, self._refreshing = loop, every, journal, refreshing
        self._told = told

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
        end = (period + 1) * self._every
        closed = self._loop.close(period, end)
        if closed.snapshot is not None:
            self._journal.put(PUBLISHED, closed.snapshot.seq, encoded(closed.snapshot))
            oldest = closed.snapshot.seq - KEPT
            if number_of(self._loop.version) != oldest:  # what drift holds in force may be older than all others
                self._journal.remove(PUBLISHED, oldest)
        if self._told is not None:
            self._told(closed, self._loop.held(), end)
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

    def _scorers(self) -> Mapping[Level, Scorer]:
        """Return the scorers of what payments get, none where that is the base.

        Raises:
            StateError: when what they get is no longer at hand.
        """
        if not (version := self._loop.version) or self._refreshing is None:
            return {}
        body = self._journal.get(PUBLISHED, number_of(version))
        if body is None:
            msg = f"parameters {version} are not at hand: the last {KEPT} are kept, name one of them or unpin"
            raise StateError(msg)
        return self._refreshing.scorers(decoded(body))


def number_of(version: str) -> int:
    """Return the number that a version of parameters begins with, -1 for the base's."""
    return int(version.partition("-")[0]) if version else -1


def embedded(
    settings: Settings,
    chosen: Strategy,
    book: LabelBook,
    refreshing: Refreshing | None,
    told_at: int | None = None,
    told: Told | None = None,
) -> EmbeddedLearning:
    """Return the learning loop of an embedded engine; without `refreshing` its gate alone.

    `told_at` as in `learning_rules`.
    """
    journal, base = MemoryJournal(), None if refreshing is None else base_of(chosen)
    rules = learning_rules(settings, chosen, told_at)
    loop = WatchedLoop(base, book, rules, journal, partial(drift_watch, settings, chosen))
    return EmbeddedLearning(loop, settings.refresh.every, journal, refreshing, told)


def learning_rules(settings: Settings, chosen: Strategy, told_at: int | None = None) -> LearningRules:
    """Return what a learning loop goes by; `told_at` is the age (ns) at which all labels are told, where there is one.

    Raises:
        SettingsError: when vectors would be gone by the age of learning.
    """
    refresh, gate = settings.refresh, settings.gate
    return LearningRules(
        every=refresh.every,
        maturity=settings.learning.age(settings.labels.vectors_for()) if told_at is None else told_at,
        alert_at=partial(alert_log_odds, chosen.policy),
        charts=gate.charts() if gate.enabled else (),
        patience=gate.periods(refresh.every),
        pace=Pace(refresh.paces, settings.learning.easy_share, refresh.clip, refresh.step_rms),
        untold=told_at is None,
    )


def drift_watch(settings: Settings, chosen: Strategy) -> Drift:
    """Return a watch for drift of what a strategy decides on, which has heard nothing yet."""
    scores = chosen.scorer.reference_scores if isinstance(chosen.scorer, Booster | Blend) else ()
    alerts = alert_log_odds(chosen.policy, TYPICAL)
    names = spec(declared(settings)).names
    return Drift(names, settings.drift, scores, probability(alerts) if math.isfinite(alerts) else None)


def base_of(chosen: Strategy) -> Base | None:
    """Return what is learned on; None where the model has no leaves to learn."""
    full = chosen.scorer
    return Base(full.version, full.spec_version, full.trees) if isinstance(full, Booster | Blend) else None
