"""Drift of features and of the score, by population stability (`stability.py`), and what to do about it.

A feature drifts when its PSI, less what chance gives on average, reaches the threshold, and lies above what chance
gives one time in 300,000 too: a small window is no alarm. Values of one day's payments are not independent, so chance
gives somewhat more than the formula says; the threshold, many times that, has to cover it.

No labels are needed, and nothing is learned: what to do is said in a finding, which whoever holds the stream makes an
event of.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from fraud.core.errors import StateError
from fraud.core.learning.journal import UNREADABLE, Journal, forget
from fraud.core.learning.settings import DriftSection
from fraud.core.stability import F32, F64, I64, Columns, ColumnsState, Compared

DRIFT, SAMPLES = "drift", ("drift-features", "drift-scores")
"""Kinds of rows in a journal: the state, and what becomes the reference of features and score."""
SCORE = "score"
"""What the score is called among the features."""
SHOWN = 10
"""How many of the features with most drift are shown as a metric."""
CHUNK = 256
STEP, MOST_LOGIT = 0.05, 14.0
"""Width and end of the bins that alerts are counted in, log-odds."""


def forget_drift(journal: Journal) -> None:
    """Let everything go that a journal holds of drift."""
    for kind in (DRIFT, *SAMPLES):
        forget(journal, kind)


class Finding(NamedTuple):
    """What the end of a window has to say, for an event: a sentence, figures, and whether refreshes are to stop."""

    text: str
    details: dict[str, Any]
    hold: bool = False


class Alerts(NamedTuple):
    """Where review would have to begin for as many alerts as in the reference, and the shares of alerts."""

    review_at: float
    instead_of: float
    before: float
    now: float


class AlertShare:
    """Which share of scores would be alerts, in the reference and in a window, counted in steps of .05 log-odds."""

    def __init__(self) -> None:
        """Start without scores."""
        size = round(2 * MOST_LOGIT / STEP)
        self.reference = np.zeros(size, np.int64)
        self.window = np.zeros(size, np.int64)

    def add(self, scores: ArrayLike, *, reference: bool = False) -> None:
        """Count scores; those that are missing are left out."""
        p = np.asarray(scores, np.float64)
        p = np.clip(p[~np.isnan(p)], 1e-12, 1 - 1e-12)
        logit = np.log(p) - np.log1p(-p)
        index = np.clip(((logit + MOST_LOGIT) / STEP).astype(np.int64), 0, len(self.window) - 1)
        into = self.reference if reference else self.window
        into += np.bincount(index, minlength=len(into))

    def close(self, review_at: float) -> Alerts | None:
        """End a window; return what would keep the share of alerts, None where there was none to keep."""
        window, self.window = self.window, np.zeros_like(self.window)
        if not self.reference.any():
            self.reference = window
            return None
        before, now = _above(self.reference), _above(window)
        at = math.log(review_at / (1 - review_at))
        share, current = (float(np.interp(at, _edges(len(window)), one)) for one in (before, now))
        if not share or not window.any():
            return None
        # Shares fall with the probability, and `interp` wants what it looks up to rise.
        moved = float(np.interp(share, now[::-1], _edges(len(window))[::-1]))
        return Alerts(1 / (1 + math.exp(-moved)), review_at, share, current)


def _above(counts: I64) -> F64:
    """Return the share of scores at or above each edge of the bins."""
    total = max(int(counts.sum()), 1)
    return np.append(np.cumsum(counts[::-1])[::-1], 0) / total


def _edges(bins: int) -> F64:
    return np.linspace(-MOST_LOGIT, MOST_LOGIT, bins + 1)


class DriftState(msgspec.Struct, frozen=True, array_like=True):
    """The whole state of `Drift`, but for what becomes a reference; some 200 bytes a feature."""

    began: int
    heard: int
    drifted: tuple[str, ...]
    worst: dict[str, float]
    features: ColumnsState
    score: ColumnsState
    alerts: tuple[bytes, bytes]


class Drift:
    """Compare windows of the stream with a reference. `hear` takes decisions, `close` is asked as often as one likes.

    The score is compared with `scores` where there are enough (those that the model's artifact keeps), else with the
    first window, as the features are. A reference is spread over a whole window: the first minutes would make every
    other hour of the day look like drift.
    """

    def __init__(
        self, names: Sequence[str], rules: DriftSection, scores: ArrayLike = (), review_at: float | None = None
    ) -> None:
        """Watch features of these names, in the order of vectors; `review_at` is where alerts begin, a probability."""
        self._rules, self._review_at = rules, review_at
        self._features = Columns(names, rules.bins, rules.reference)
        self._score = Columns((SCORE,), rules.bins, rules.reference)
        self._alerts = AlertShare()
        self._rows: list[F32] = []
        self._scores: list[float] = []
        self._began = self._heard = 0
        self._kept = set[int](), set[int]()
        self._drifted: frozenset[str] = frozenset()
        self._worst: dict[str, float] = {}
        known = np.asarray(scores, np.float32)
        if len(known) >= rules.least:
            self._score.refer_to(known[:, None])
            self._alerts.add(known, reference=True)

    def hear(self, values: F32 | None, score: float | None) -> None:
        """Take in a decision: its vector, and the base model's probability; None for what it has none of."""
        self._heard += 1
        if values is not None:
            self._rows.append(values)
        self._scores.append(math.nan if score is None else score)
        if len(self._scores) >= CHUNK:
            self._count()

    def close(self, now: int) -> tuple[Finding, ...]:
        """End the window if it is over at `now` (ns of the stream); return what is news: begun and ended drifts."""
        self._began = min(self._began or now, now)  # a clock may go back
        if now - self._began < self._rules.window or self._heard < self._rules.least:
            return ()
        self._count()
        compared = [*self._score.close(), *self._features.close()]
        alerts = None if self._review_at is None else self._alerts.close(self._review_at)
        self._began, self._heard = now, 0
        return self._found(compared, alerts)

    def figures(self) -> dict[str, float]:
        """Return PSI less chance in the last window: of the score and of the features that moved most, ten in all."""
        return dict(self._worst)

    def keep(self, journal: Journal) -> None:
        """Keep the whole state as rows; of the reference that is being taken, a few MB, only what is new since."""
        self._count()
        for kind, columns, kept in zip(SAMPLES, self._columns(), self._kept, strict=True):
            rows = columns.sample
            for number in kept - rows.keys():
                journal.remove(kind, number)
            for number in rows.keys() - kept:
                journal.put(kind, number, rows[number].tobytes())
            kept.clear()
            kept.update(rows)
        features, score = (one.snapshot() for one in self._columns())
        alerts = self._alerts.reference.tobytes(), self._alerts.window.tobytes()
        drifted = tuple(sorted(self._drifted))
        state = DriftState(self._began, self._heard, drifted, self._worst, features, score, alerts)
        journal.put(DRIFT, 0, msgspec.msgpack.encode(state))

    def take_up(self, journal: Journal) -> None:
        """Go on where a journal stands; one without a state changes nothing.

        Raises StateError for rows that are none, or of another model's features.
        """
        if (body := journal.get(DRIFT, 0)) is None:
            return
        try:
            samples = [{row: np.frombuffer(some, np.float32) for row, some in journal.rows(kind)} for kind in SAMPLES]
            state = msgspec.msgpack.decode(body, type=DriftState)
            for columns, saved, sample in zip(self._columns(), (state.features, state.score), samples, strict=True):
                columns.restore(saved, sample)
            shape = self._alerts.window.shape
            reference, window = (np.frombuffer(one, np.int64).reshape(shape).copy() for one in state.alerts)
        except UNREADABLE as error:
            msg = f"the state of drift cannot be read ({error}): restore what `snapshot` returned"
            raise StateError(msg) from error
        self._alerts.reference, self._alerts.window = reference, window
        self._kept = set(samples[0]), set(samples[1])
        self._began, self._heard = state.began, state.heard
        self._drifted, self._worst = frozenset(state.drifted), state.worst
        self._rows, self._scores = [], []

    def _columns(self) -> tuple[Columns, Columns]:
        return self._features, self._score

    def _count(self) -> None:
        """Take what was heard into the windows."""
        if self._rows:
            self._features.add(np.array(self._rows, np.float32))
        if self._scores:
            self._score.add(np.array(self._scores, np.float32)[:, None])
            self._alerts.add(self._scores)
        self._rows, self._scores = [], []

    def _found(self, compared: Sequence[Compared], alerts: Alerts | None) -> tuple[Finding, ...]:
        """Return what began and what ended, in one finding each; one that began ends below half the threshold."""
        limit, had = self._rules.psi, self._drifted
        by_name = {one.of: one for one in compared}
        over = {one.of for one in compared if one.excess >= limit and one.psi >= one.bound}
        self._drifted = frozenset(over | {name for name in had & by_name.keys() if by_name[name].excess >= limit / 2})
        ranked = sorted(compared, key=lambda one: (one.of != SCORE, -one.excess))
        self._worst = {one.of: round(one.excess, 4) for one in ranked[:SHOWN]}
        began = [one for one in ranked if one.of in self._drifted - had]
        found = [self._began_to_drift(began, alerts)] if began else []
        if ended := sorted(had - self._drifted):
            found.append(Finding(f"no drift any more: {named(ended)}", {"ended": ended}))
        return tuple(found)

    def _began_to_drift(self, began: Sequence[Compared], alerts: Alerts | None) -> Finding:
        rules, most = self._rules, began[:SHOWN]
        told = ", ".join(f"{one.of} {one.excess:.2f}" for one in most) + (", ..." if len(began) > len(most) else "")
        text = f"drift of {len(began)} at {rules.psi:g} or more, less chance ({most[0].expected:.3f}): {told}"
        details: dict[str, Any] = {
            "action": rules.action,
            "psi": {one.of: round(one.excess, 4) for one in began},
            "expected": round(most[0].expected, 4),
        }
        if rules.action == "raise-review" and alerts is not None:
            text += "; " + sentence(alerts)
            details["review"] = {name: round(value, 5) for name, value in alerts._asdict().items()}
        if rules.action == "hold":
            text += "; payments keep the parameters they have until somebody lets refreshes go on"
        return Finding(text, details, hold=rules.action == "hold")


def sentence(alerts: Alerts) -> str:
    """Return in words how review would keep the share of alerts."""
    return (
        f"alerts from p = {alerts.review_at:.3f} on, instead of {alerts.instead_of:.3f}, would stay at "
        f"{alerts.before:.2%} of payments (now {alerts.now:.2%})"
    )


def named(names: Sequence[str]) -> str:
    """Return names in a row, ten at most."""
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
