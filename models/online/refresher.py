"""What is learned on one base: the paces, the share that is told by the age of learning, and what is published of it.

It is told what to learn; what comes through the gate, and when, is for the loop (`loop.py`) to say.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np

from fraud.core.errors import StateError
from fraud.core.learning.guard import STEP_RMS, Losses, Step, step
from fraud.core.learning.journal import UNREADABLE, Journal
from fraud.core.learning.outcomes import EASY_SHARE, loss, outcome_of, probability
from fraud.core.learning.told import ToldShare
from fraud.core.pending import Pending
from fraud.core.records import DAY, Decision, FeatureVector, log_odds_in
from models.boosting.trees import F64, Trees
from models.online import leaves as lv
from models.online.parameters import CLIP, Parameters, neutral, towards
from models.online.recent import Recent
from models.online.stack import PACES, Learned, OnlineStack

NOTHING = 1e-3
"""In log-odds: a step that can move no payment by so much is nothing, and is not published; the next takes it along.

Whatever is more is published, as one label that moves a few payments far hardly moves a mean.
"""
FROZEN, SLOW, FAST, MIXTURE, GOOD, PERIOD = range(6)
"""What stands where in what is said of a decision; GOOD is -1 without other parameters to go back to."""
NONE = -1.0
PROVED = DAY
WITHIN = 0.99
"""A part of a step that is too long is cut to somewhat less than fits, so that the next look ends it."""


class Base(NamedTuple):
    """The model that is learned on: its version as decisions name it (`NAME@VERSION`), its feature spec, its trees."""

    version: str
    spec: str
    trees: Trees


class Pace(NamedTuple):
    """How is learned: the learners' rates, how much of payments that look good, and bounds in log-odds.

    `clip` is how far a payment is moved in all, `step_rms` how far one refresh moves the last decisions.
    """

    rates: tuple[float, ...] = PACES
    easy_share: float = EASY_SHARE
    clip: float = CLIP
    step_rms: float = STEP_RMS


PlainParameters = tuple[tuple[float, ...], bytes, float]


class RefresherState(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a refresher, as of the last end of a period; arrays by name, with their type."""

    base: str
    arrays: dict[str, tuple[str, bytes]]
    told: bytes
    live: PlainParameters
    good: PlainParameters | None
    next: PlainParameters | None
    next_at: int
    labels: dict[str, int]
    watermark: int


class Refresher:
    """Learn on a base, and publish. What payments got for a day is there to go back to."""

    def __init__(self, base: Base, pace: Pace, journal: Journal) -> None:
        """Start at no change, with the last decisions that the journal holds."""
        self.base, self._pace = base, pace
        leaves = len(base.trees.leaf)
        self._stack, self.told = OnlineStack(leaves, pace.rates, pace.clip), ToldShare()
        self.recent = Recent(journal, len(base.trees.roots), leaves)
        self.live = neutral(leaves)
        self._good: Parameters | None = None
        self._next: Parameters | None = None
        self._next_at = 0
        self.labels: dict[str, int] = {}
        """How many labels were learned, by `SOURCE/VERDICT`."""
        self.watermark = 0
        self._values = self._stacked()

    @property
    def weights(self) -> tuple[float, ...]:
        """Return the experts' weights as of now."""
        return self._stack.weights

    def prove(self, now: int, *, on: bool) -> bool:
        """Move the parameters to go back to on: those that payments have got for a day. Tell whether they have changed.

        Where payments get none of what was learned, nothing has proved itself.
        """
        if not on:
            had, self._good, self._next = (self._good, self._next) != (None, None), None, None
        elif had := self._next is None or now - self._next_at >= PROVED:
            self._good, self._next, self._next_at = self._next, self.live, now
        if had:
            self._values = self._stacked()
        return had

    def move(self, now: int) -> None:
        """Let no time lie ahead: it has gone back to `now` (ns UTC)."""
        self._next_at = min(self._next_at, now)

    def hear(self, decision: Decision, vector: FeatureVector | None, period: int) -> tuple[float, ...]:
        """Return what each expert says of a decision now, and the period; remember it for the step bound.

        Nothing when it was decided by another model, or by none.
        """
        logit = log_odds_in(decision.parts)
        if logit is None or vector is None or decision.versions.model != self.base.version:
            return ()
        leaves = lv.reached(self.base.trees, vector.values[None, :])
        self.recent.add(logit, decision.base_amount, leaves[0])
        clip, sums = self._pace.clip, lv.sums(leaves, self._values)[0].tolist()
        said = [probability(logit), *(probability(logit + min(max(each, -clip), clip)) for each in sums)]
        mixture = math.fsum(weight * p for weight, p in zip(self.live.weights, said[:MIXTURE], strict=True))
        good = NONE
        if self._good is not None:
            good = math.fsum(w * p for w, p in zip(self._good.weights, (said[0], *said[3:]), strict=True))
        return (*said[:MIXTURE], mixture, good, float(period))

    def learn(self, item: Pending, source: str, *, fraud: bool, told: float = 1.0) -> Losses | None:
        """Weigh what a label cost, as was said before, and learn it; `told` as in `outcome_of`.

        Return the losses, dated by the period that the payment was heard in; None when it cannot be learned: decided by
        another model, or its vector is gone.
        """
        logit, of = log_odds_in(item.parts), item.versions
        if logit is None or of is None or of.model != self.base.version or not item.said or not item.vector:
            return None
        said = item.said
        outcome = outcome_of(item.tx_id, said[FROZEN], fraud=fraud, told=told, easy_share=self._pace.easy_share)
        leaves: list[int] = []
        if outcome.fraud or outcome.kept > 0:  # of all others nothing is learned: they are weighed only
            leaves = lv.reached(self.base.trees, np.frombuffer(item.vector, np.float32)[None, :])[0].tolist()
        self._stack.learn(Learned(leaves, logit, outcome, said[:MIXTURE]))
        name = f"{source}/{'fraud' if fraud else 'genuine'}"
        self.labels[name] = self.labels.get(name, 0) + 1
        self.watermark = max(self.watermark, item.paid_at)
        good = loss(outcome, said[GOOD]) if said[GOOD] != NONE else None
        return Losses(int(said[PERIOD]), fraud, loss(outcome, said[FROZEN]), loss(outcome, said[MIXTURE]), good)

    def refresh(self, alert_at: Callable[[int], float]) -> Step | None:
        """Publish what was learned as far as the step bound lets it; return the step, None when there is none.

        `alert_at` returns the log-odds from which a payment of an amount is an alert. What is left of a step is taken
        by the next one.
        """
        fresh, before = self._stack.export(), self.recent.log_odds(self.live)
        whole = self.recent.log_odds(fresh)
        if not self._differs(fresh, whole - before):
            return None
        bound, self.live = self._part(before, fresh, whole, alert_at(self.recent.amount()))
        if bound.share:
            self._values = self._stacked()
        return bound

    def _differs(self, fresh: Parameters, moves: F64) -> bool:
        """Tell whether parameters could move a payment; `moves` are those of the last decisions, log-odds."""
        change = fresh.changes.astype(np.float64) - self.live.changes
        moved = float(np.abs(moves).max()) if len(moves) else 0.0
        return max(moved, lv.furthest(self.base.trees.leaf_trees, change)) >= NOTHING

    def _part(self, before: F64, fresh: Parameters, whole: F64, at: float) -> tuple[Step, Parameters]:
        """Return which part of the way to new parameters is within the bound, and the parameters there.

        A part of the way in parameters is not that part in log-odds, for they are mixed, and cut at the clip: each part
        is measured. `before` and `whole` are log-odds of the last decisions, alerts begin `at`. No part is where so
        many payments stand at one score that any would make too many alerts.
        """
        most, share, taken = self._pace.step_rms, 1.0, fresh
        first = bound = step(before, whole, at, most=most)
        while bound.share < 1:
            share *= bound.share * WITHIN
            taken = towards(self.live, fresh, share)
            after = self.recent.log_odds(taken)
            if not self._differs(taken, after - before):
                return first._replace(share=0.0), self.live
            bound = step(before, after, at, most=most)
        return Step(share, bound.rms / share, bound.alerts, first.why), taken

    def snapshot(self) -> bytes:
        """Return the whole state but for the last decisions, which lie in the journal."""
        arrays = {name: (array.dtype.str, array.tobytes()) for name, array in self._stack.snapshot().items()}
        good, next_one = (None if one is None else packed(one) for one in (self._good, self._next))
        return _encode(
            RefresherState(
                self.base.version, arrays, self.told.snapshot(), packed(self.live), good, next_one, self._next_at,
                self.labels, self.watermark,
            )
        )  # fmt: skip

    def restore(self, state: RefresherState) -> None:
        """Replace the whole state; raise StateError when it is of other trees, or damaged."""
        try:
            self._stack.restore({name: np.frombuffer(body, kind) for name, (kind, body) in state.arrays.items()})
            self.live = unpacked(state.live)
            self._good = None if state.good is None else unpacked(state.good)
            self._next = None if state.next is None else unpacked(state.next)
        except (*UNREADABLE, TypeError, KeyError) as error:
            raise _unreadable(error) from error
        self.told.restore(state.told)
        self._next_at = state.next_at
        self.labels, self.watermark = state.labels, state.watermark
        self._values = self._stacked()

    def _stacked(self) -> F64:
        """Return the changes of live and good parameters, float64 (2 or 4, leaves)."""
        some = [self.live.changes] if self._good is None else [self.live.changes, self._good.changes]
        return np.concatenate(some).astype(np.float64)


_encode = msgspec.msgpack.Encoder().encode


def refresher_state(body: bytes) -> RefresherState:
    """Return what `Refresher.snapshot` returned; raise StateError for bytes that are none."""
    try:
        return msgspec.msgpack.decode(body, type=RefresherState)
    except UNREADABLE as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> StateError:
    return StateError(f"what was learned cannot be read ({error}): restore what `snapshot` returned")


def packed(parameters: Parameters) -> PlainParameters:
    """Return parameters as plain values."""
    return parameters.weights, parameters.changes.astype("<f4").tobytes(), parameters.clip


def unpacked(values: PlainParameters) -> Parameters:
    """Return what `packed` was given; raise ValueError for what it never was."""
    weights, body, clip = values
    changes = np.frombuffer(body, "<f4").astype(np.float32).reshape(len(weights) - 1, -1)
    if not (np.isfinite(changes).all() and np.isfinite((*weights, clip)).all() and min(weights) >= 0 and clip > 0):
        msg = "parameters are no numbers to serve by"
        raise ValueError(msg)
    return Parameters(weights, changes, clip)
