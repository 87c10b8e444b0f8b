"""The learning loop with what watches it: drift of features and score, and figures corrected for untold frauds."""

from collections.abc import Callable, Mapping
from typing import Any

from fraud.core.censored import RecentFigures
from fraud.core.drift import DRIFT, Drift, forget_drift
from fraud.core.errors import StateError
from fraud.core.labels import LabelBook
from fraud.core.learning.journal import Journal
from fraud.core.learning.outcomes import probability
from fraud.core.pending import Pending
from fraud.core.records import Decision, FeatureVector, Verdict, log_odds_in
from models.online.loop import Closed, LearningLoop, LearningRules
from models.online.refresher import FROZEN, MIXTURE, Base

EACH = 1_000
"""Figures are taken anew after so many payments: they rank thousands, and ends of periods are to be short."""


class WatchedLoop(LearningLoop):
    """A learning loop that hears, beside what it learns, whether the stream still looks as it did.

    A drift is an event. Where the settings say hold, payments also keep the parameters that they have: those are
    pinned, or the base frozen where there are none, until somebody unpins or thaws. Learning goes on either way. What
    drift knows is kept at the end of each period: a kill takes from a window what was heard since.
    """

    def __init__(
        self, base: Base | None, book: LabelBook, rules: LearningRules, journal: Journal, drift: Callable[[], Drift]
    ) -> None:
        """Take what a loop takes, and what makes a watch for drift that has heard nothing."""
        self._new_drift = drift
        self._shown: dict[str, Any] = {}
        self._shown_at = 0
        super().__init__(base, book, rules, journal)

    def hear(self, decision: Decision, vector: FeatureVector | None) -> tuple[float, ...]:
        """Return what each expert says of a decision now, to be kept with it; drift is of what the model decided."""
        logit = log_odds_in(decision.parts)
        if logit is not None and (self._base is None or decision.versions.model == self._base.version):
            self._drift.hear(None if vector is None else vector.values, probability(logit))
        return super().hear(decision, vector)

    def follow(self, base: Base | None, rules: LearningRules, drift: Callable[[], Drift] | None = None) -> None:
        """Go on behind the end of a period with another base, or by other rules, and what makes a watch for that."""
        self._new_drift = drift or self._new_drift
        super().follow(base, rules)

    def ripen(self, item: Pending) -> None:
        """Take in a payment that has reached the age of learning: its figures count as of now.

        Of refused payments few are ever told of, and which ones depends on their scores: they are left out, and so are
        those of which a word was thrown away.
        """
        super().ripen(item)
        unknown = not item.went_through or any(claim.thrown_away for claim in item.claims)
        if self._refresher is None or not item.said or unknown:
            return
        told = any(claim.verdict is Verdict.FRAUD for claim in item.claims)
        share = self._refresher.told.share(item.channel) if self._rules.untold else 1.0
        for figures, place in zip(self._known, (FROZEN, MIXTURE), strict=True):
            figures.add(told=told, share=share, score=item.said[place])

    def close(self, period: int, now: int, positions: Mapping[str, int] | None = None) -> Closed:
        """End all periods up to `period`, at `now` (ns UTC); tell of drift where a window ended."""
        hold = False
        for finding in self._drift.close(now):
            self._tell(now, DRIFT, finding.text, **finding.details)
            hold = hold or finding.hold
        self._drift.keep(self._journal)
        closed = super().close(period, now, positions)
        return self._kept(closed, now) if hold else closed

    def figures(self) -> dict[str, Any]:
        """Return what metrics and commands show.

        `known` are average precision and fraud share of payments that went through, at the age of learning: naive, with
        untold ones as genuine, and corrected, where a told fraud stands for all that are of its age.
        """
        if self._known[0].added >= self._shown_at + EACH or not self._shown:
            self._shown_at = self._known[0].added
            frozen, mixture = (one.figures().shown() for one in self._known)
            self._shown = {"frozen": frozen, "mixture": mixture}
        return super().figures() | {"drift": self._drift.figures(), "known": self._shown}

    def snapshot(self) -> bytes:
        """Return the whole state, with what drift has heard since the end of a period."""
        self._drift.keep(self._journal)
        return super().snapshot()

    def _kept(self, closed: Closed, now: int) -> Closed:
        """Let payments keep what they have; return all that came of it."""
        what = f"parameters {self.version}" if self.version else "the model as it was trained"
        text = f"drift: payments get {what} until somebody lets refreshes go on"
        # no order: a version that was pinned long ago is none that can still be named
        held = self._pinned(self.version, now, "pinned" if self.version else "frozen", text)
        return closed._replace(live=held.live or closed.live, events=(*closed.events, *held.events))

    def _load(self) -> None:
        """Take up what the journal holds; another base begins anew."""
        super()._load()
        if self._state.previous and not self._state.since:
            forget_drift(self._journal)  # the score is to be compared with this base's own
        self._drift, self._known = self._new_drift(), (RecentFigures(), RecentFigures())
        self._shown = {}
        try:
            self._drift.take_up(self._journal)
        except StateError:
            forget_drift(self._journal)
            self._drift = self._new_drift()
