"""The guard: decides, by losses that nobody could have learned from, whether payments get what was learned.

Evidence is a bet (e-process, Ramdas et al., Statistical Science 2023). With d = clip(loss of the frozen model - loss of
the candidate, +-1), a stake lambda on d > 0 grows as prod(1 + lambda d); if the candidate is no better its mean over
stakes passes 1 / alpha with chance at most alpha, however often one looks. On at 20. Off by the same bet the other way,
each stake started again at 1 whenever it falls below (so that good times are no credit), against the frozen model and
against the last good parameters.

Losses must be prequential: of probabilities given when the decision was read. A guard that scored labels anew, which
the candidate had learned, let learners on that hurt.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.core.errors import StateError
from fraud.core.learning.journal import UNREADABLE
from fraud.core.learning.outcomes import probability
from fraud.core.ports import Policy
from fraud.core.records import Action

STAKES = (0.02, 0.05, 0.1, 0.2, 0.4)
PASSES = 20.0
MOST_DIFFERENCE = 1.0
ENOUGH_FRAUDS = 150
"""Labelled frauds below which a guard's figures are no figures."""

STEP_RMS = 0.05
ALERTS_LEAST, ALERTS_MOST = 0.8, 1.25
ALERTS_FEW = 1e-3
"""A step may also make so many more or fewer alerts, a share of the decisions: a factor of next to none is none."""

Floats = NDArray[np.float64]


class GuardState(msgspec.Struct, array_like=True):
    """The whole guard: bets in log; times are ns UTC, those of payments."""

    on: bool = False
    bets_on: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(STAKES))
    bets_off: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(STAKES))
    bets_good: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(STAKES))
    counts_from: int = 0
    blocked_until: int = 0
    labels: int = 0
    frauds: int = 0
    switches: int = 0


class Losses(NamedTuple):
    """What a payment decided at `decided_at` (ns UTC) cost by each, in nats.

    `good` is by the last good parameters, None where there are no others than the candidate's to go back to.
    """

    decided_at: int
    fraud: bool
    frozen: float
    candidate: float
    good: float | None = None


class Guard:
    """Switch the candidate on and off. `absorb` takes in labels, `decide` is asked at the end of each period."""

    def __init__(self, label_delay: int) -> None:
        """Start off; after a revert nothing is switched on for two times `label_delay`, ns."""
        self._cool = 2 * label_delay
        self._state = GuardState()

    @property
    def on(self) -> bool:
        """Tell whether payments get what was learned."""
        return self._state.on

    @property
    def switches(self) -> int:
        """Return how often it was switched."""
        return self._state.switches

    @property
    def evidence(self) -> tuple[float, float]:
        """Return the evidence for switching on and for switching off, as it counts now; 20 is enough."""
        s = self._state
        return mean_bet(s.bets_on), max(mean_bet(s.bets_off), mean_bet(s.bets_good))

    @property
    def enough(self) -> bool:
        """Tell whether there were enough labelled frauds for the evidence to be shown as a figure."""
        return self._state.frauds >= ENOUGH_FRAUDS

    def absorb(self, losses: Losses) -> None:
        """Take in a label's losses; of payments decided before the last switch nothing counts."""
        s = self._state
        if losses.decided_at < s.counts_from:
            return
        s.labels += 1
        s.frauds += losses.fraud
        better = difference(losses.frozen, losses.candidate)
        s.bets_on = [bet + math.log1p(stake * better) for bet, stake in zip(s.bets_on, STAKES, strict=True)]
        if s.on:
            s.bets_off = restarted(s.bets_off, -better)
            worse = 0.0 if losses.good is None else difference(losses.candidate, losses.good)
            s.bets_good = restarted(s.bets_good, worse)

    def decide(self, now: int) -> bool:
        """Return whether payments from `now` (ns UTC, the end of a period) on get what was learned."""
        s, (on, off) = self._state, self.evidence
        if s.on and off >= PASSES:
            self._switch(now, on=False)
            s.blocked_until = now + self._cool
        elif not s.on and on >= PASSES and now >= s.blocked_until:
            self._switch(now, on=True)
        return s.on

    def move(self, now: int) -> None:
        """Let no time lie ahead that was noted by a clock which has gone back to `now` (ns UTC)."""
        s = self._state
        s.counts_from, s.blocked_until = min(s.counts_from, now), min(s.blocked_until, now + self._cool)

    def snapshot(self) -> bytes:
        """Return the whole state, to the last bit."""
        return msgspec.msgpack.encode(self._state)

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole state; raise StateError for bytes that are none."""
        try:
            self._state = msgspec.msgpack.decode(snapshot, type=GuardState)
        except UNREADABLE as error:
            msg = f"the guard's state cannot be read ({error}): restore what `snapshot` returned"
            raise StateError(msg) from error

    def _switch(self, now: int, *, on: bool) -> None:
        """Switch; only payments decided from now on are evidence of what comes."""
        had = self._state
        self._state.on, self._state.counts_from, self._state.switches = on, now, had.switches + 1
        for bets in (had.bets_on, had.bets_off, had.bets_good):
            bets[:] = [0.0] * len(STAKES)
        had.labels = had.frauds = 0


def difference(one: float, other: float) -> float:
    """Return how much more `one` lost than `other`, clipped to +-1: a bet on it is never lost in full."""
    return min(max(one - other, -MOST_DIFFERENCE), MOST_DIFFERENCE)


def restarted(bets: Sequence[float], by: float) -> list[float]:
    """Return log bets after one more difference, each started again at 0 where it falls below."""
    return [max(0.0, bet + math.log1p(stake * by)) for bet, stake in zip(bets, STAKES, strict=True)]


def mean_bet(bets: Sequence[float]) -> float:
    """Return the mean of the stakes' bets, which are given in log; at most 1e300."""
    most = min(max(bets), 690.0)
    return math.fsum(math.exp(min(bet, most) - most) for bet in bets) / len(bets) * math.exp(most)


class Step(NamedTuple):
    """What the step bound says of new parameters: which part of the step fits, or is to be tried (1: all), and why.

    `rms` is how far the step moves the last decisions, root mean square, `alerts` how many times as many it makes.
    """

    share: float
    rms: float
    alerts: float
    why: str


def step(live: Floats, candidate: Floats, alert_at: float, *, most: float = STEP_RMS) -> Step:
    """Bound the step from live to candidate log-odds of the last decisions, float64 (decisions,) each; needs no labels.

    The root mean square move may be `most`: of a longer step that share is to be tried. Decisions at or above
    `alert_at` (log-odds) may become .8 to 1.25 times as many, and by one in 1,000 more or fewer: else half of it is.
    """
    rms = float(np.sqrt(np.mean(np.square(candidate - live)))) if len(live) else 0.0
    share = min(1.0, most / rms) if rms > 0 else 1.0
    taken = live + share * (candidate - live)
    before, after = int(np.count_nonzero(live >= alert_at)), int(np.count_nonzero(taken >= alert_at))
    alerts, few = after / before if before else float(1 if not after else math.inf), ALERTS_FEW * len(live)
    if not ALERTS_LEAST * before - few <= after <= ALERTS_MOST * before + few:
        why = f"alerts of {len(live)} decisions would go from {before} to {after}"
        why += f", allowed are {ALERTS_LEAST} to {ALERTS_MOST} times as many, and {few:.0f} more or fewer"
        return Step(share / 2, rms, alerts, why)
    return Step(share, rms, alerts, "" if share == 1 else f"the step of {rms:.3f} rms is cut to {most}")


FURTHEST, HALVINGS = 16.0, 40
"""Log-odds within which a policy is asked, and how often the stretch is halved: to 3e-11."""


def alert_log_odds(policy: Policy, base_amount: int) -> float:
    """Return the log-odds of fraud from which a policy does not approve a payment of an amount (minor units).

    At any amount a higher score never gives a milder action. Infinite where it approves all.
    """

    def alerts(logit: float) -> bool:
        return policy.action(probability(logit), base_amount) is not Action.APPROVE

    low, high = -FURTHEST, FURTHEST
    if not alerts(high):
        return math.inf
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if alerts(middle) else (middle, high)
    return high
