"""Learner, gate and guard on a replayed stream, in the order that a service keeps, with a trace that can be audited.

At the boundary n x `every`: the gate lets through, the learner learns, parameters are published, the guard decides;
then come the payments of period n, and its labels wait in the gate.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core.learning.gate import PATIENCE, Alarm, Gate
from fraud.core.learning.guard import Guard, Losses, step
from fraud.core.learning.outcomes import loss, outcome_of
from fraud.core.records import KnownLabel, LabelSource, Verdict
from models.boosting.trees import F64
from models.online.leaves import Leaves
from models.online.parameters import Parameters, corrections, experts, neutral, towards
from models.online.stack import Learned, OnlineStack

I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]
RECENT = 10_000
NEVER = np.iinfo(np.int64).max
ALERT = 0.0
"""Log-odds from which a payment counts as an alert, p = 1/2: a quantile may fall among equal scores, where a hair
tips the count."""


class Replayed(NamedTuple):
    """Payments in order of time: when, base log-odds, leaves (n, trees), verdict, when it is told (ns), merchant."""

    time: I64
    base: F64
    leaves: Leaves
    leaf_count: int
    fraud: Bools
    told_at: I64
    merchant: NDArray[np.int32]
    delay: int


class Scored(NamedTuple):
    """Payment rows `begin` to `end`, decided in `period` with the parameters numbered `parameters`."""

    begin: int
    end: int
    period: int
    parameters: int


class Taught(NamedTuple):
    """A label that was learned: its row, the period it came in, the boundary it was learned at, the experts weighed."""

    row: int
    told_in: int
    learned_at: int
    experts: tuple[float, ...]


class Trace(NamedTuple):
    """What happened: parameters with the boundary each was published at, payments, labels."""

    published: list[tuple[int, Parameters]]
    scored: list[Scored]
    taught: list[Taught]


class Run(NamedTuple):
    """Probabilities, float64 (n,): frozen, mixture, and what the guard let payments have; what gate and guard did."""

    frozen: F64
    mixture: F64
    guarded: F64
    switches: int
    on_share: float
    alarms: list[Alarm]
    held: Bools
    waited: int
    steps_cut: int
    steps_refused: int
    trace: Trace


class Prequential:
    """One run over a stream; `gate` None holds nothing on. Methods are small so that a test can break one."""

    def __init__(self, stream: Replayed, every: int, gate: Gate | None, *, verdicts: Bools | None = None) -> None:
        """Take the stream, how often to refresh (ns), and what labels say where that is not the truth."""
        self.stream, self.every, self.gate = stream, every, gate
        self.verdicts = stream.fraud if verdicts is None else verdicts
        self.stack, self.guard = OnlineStack(stream.leaf_count), Guard(stream.delay)
        self.frozen = 1 / (1 + np.exp(-stream.base))
        self.experts = np.repeat(self.frozen[:, None], 3, axis=1)
        self.mixed, self.guarded = self.frozen.copy(), self.frozen.copy()
        self.trace = Trace([(-1, neutral(stream.leaf_count))], [], [])
        self.counts = {"cut": 0, "refused": 0, "on": 0, "waited": 0}
        self.alarms: list[Alarm] = []

    def run(self) -> Run:
        """Go through all periods in order."""
        stream, order = self.stream, np.argsort(self.stream.told_at, kind="stable")
        order = order[stream.told_at[order] < NEVER]
        paid, told = stream.time // self.every, stream.told_at[order] // self.every
        for n in np.unique(np.concatenate([paid, told])).tolist():
            self.boundary(n)
            begin, end = np.searchsorted(paid, [n, n + 1]).tolist()
            self.decide(begin, end, n)
            begin, end = np.searchsorted(told, [n, n + 1]).tolist()
            self.tell(order[begin:end].tolist(), n)
        # what only waits comes through in the end, what an alarm holds does not
        self.boundary(int(max(paid[-1], told[-1])) + PATIENCE + 1)
        held = np.ones(len(stream.time), bool)
        held[[each.row for each in self.trace.taught]] = False
        c = self.counts
        return Run(
            self.frozen, self.mixed, self.guarded, self.guard.switches, c["on"] / len(held), self.alarms,
            held & (stream.told_at < NEVER), c["waited"], c["cut"], c["refused"], self.trace,
        )  # fmt: skip

    def boundary(self, n: int) -> None:
        """Let labels through, learn them, publish, let the guard decide."""
        released = self.released(n)
        for label in released:
            self.learn(int(label.tx_id), label.verdict is Verdict.FRAUD, n)
        if released:
            self.publish(n)
        self.guard.decide(n * self.every)

    def released(self, n: int) -> Sequence[KnownLabel]:
        """Return the labels that come through at the boundary n."""
        gate = self.gate if self.gate is not None else self._open
        closed = gate.close(n - 1)
        self.alarms += closed.alarms
        return closed.released

    @property
    def _open(self) -> Gate:
        """Return a gate without charts: labels wait for the end of their period and no longer."""
        self.gate = Gate(())
        return self.gate

    def learn(self, row: int, fraud: bool, n: int) -> None:
        """Weigh what a label cost, as was said before, then learn it."""
        stream, said = self.stream, self.said(row)
        base = float(self.frozen[row])
        outcome = outcome_of(str(row), base, fraud=fraud)
        mixed = float(self.mixed[row])
        self.guard.absorb(Losses(int(stream.time[row]), fraud, loss(outcome, base), loss(outcome, mixed)))
        self.stack.learn(Learned(stream.leaves[row].tolist(), float(stream.base[row]), outcome, said))
        told_in = int(stream.told_at[row]) // self.every
        self.counts["waited"] += n - told_in > 1
        self.trace.taught.append(Taught(row, told_in, n, said))

    def said(self, row: int) -> tuple[float, ...]:
        """Return what each expert said when the payment was decided."""
        return tuple(self.experts[row].tolist())

    def publish(self, n: int) -> None:
        """Publish what was learned, as far as the step bound lets it."""
        live, candidate = self.trace.published[-1][1], self.stack.export()
        end = self.trace.scored[-1].end if self.trace.scored else 0
        share = self.share_of(live, candidate, slice(max(0, end - RECENT), end))
        self.counts["cut"] += 0 < share < 1
        self.counts["refused"] += share == 0
        if share:
            self.trace.published.append((n, towards(live, candidate, share)))

    def share_of(self, live: Parameters, candidate: Parameters, recent: slice) -> float:
        """Return how much of the step may be taken, by the last decisions."""
        leaves, base = self.stream.leaves[recent], self.stream.base[recent]
        if not len(base):
            return 1.0
        now, then = (mixed(each, base, leaves) for each in (live, candidate))
        return step(logit(now), logit(then), ALERT).share

    def in_force(self, n: int) -> int:
        """Return the number of the parameters that payments of a period get."""
        return len(self.trace.published) - 1

    def decide(self, begin: int, end: int, n: int) -> None:
        """Decide the payments of a period."""
        if begin == end:
            return
        number, rows = self.in_force(n), slice(begin, end)
        parameters = self.trace.published[number][1]
        found = experts(self.stream.base[rows], corrections(parameters, self.stream.leaves[rows]))
        self.experts[rows], self.mixed[rows] = found, found @ np.asarray(parameters.weights)
        if self.guard.on:
            self.guarded[rows] = self.mixed[rows]
            self.counts["on"] += end - begin
        self.trace.scored.append(Scored(begin, end, n, number))

    def tell(self, rows: Sequence[int], n: int) -> None:
        """Take in the labels of a period."""
        gate = self.gate if self.gate is not None else self._open
        for row in rows:
            gate.take(self.label(row), float(self.frozen[row]), n)

    def label(self, row: int) -> KnownLabel:
        """Return what is told of a payment."""
        stream, at = self.stream, int(self.stream.told_at[row])
        return KnownLabel(
            tx_id=str(row), verdict=Verdict.FRAUD if self.verdicts[row] else Verdict.GENUINE,
            source=LabelSource.CHARGEBACK, happened_at=at, seen_at=at, card="", merchant=str(stream.merchant[row]),
            paid_at=int(stream.time[row]), base_amount=0,
        )  # fmt: skip


def mixed(parameters: Parameters, base: F64, leaves: Leaves) -> F64:
    """Return the mixture's probabilities of rows."""
    found: F64 = experts(base, corrections(parameters, leaves)) @ np.asarray(parameters.weights)
    return found


def logit(p: F64) -> F64:
    """Return log-odds."""
    q = np.clip(p, 1e-9, 1 - 1e-9)
    return np.log(q / (1 - q))


def audited(run: Prequential) -> list[str]:
    """Return what a run did out of order, a line each: nothing where every promise of the order was kept."""
    return [*early_labels(run), *late_losses(run), *early_parameters(run)]


def early_labels(run: Prequential) -> list[str]:
    """Return labels that were learned before the period that they came in had ended."""
    return [
        f"label of payment {one.row} came in period {one.told_in} and was learned at its boundary {one.learned_at}"
        for one in run.trace.taught
        if one.learned_at <= one.told_in
    ]


def late_losses(run: Prequential) -> list[str]:
    """Return labels weighed by other probabilities than the parameters in force at their decision give."""
    trace, stream = run.trace, run.stream
    number = np.zeros(len(stream.time), int)
    for one in trace.scored:
        number[one.begin : one.end] = one.parameters
    wrong = []
    for label in trace.taught:
        parameters, row = trace.published[number[label.row]][1], slice(label.row, label.row + 1)
        said = experts(stream.base[row], corrections(parameters, stream.leaves[row]))[0]
        if tuple(said.tolist()) != label.experts:
            wrong.append(f"label of payment {label.row} was weighed by what nobody had said when it was decided")
    return wrong


def early_parameters(run: Prequential) -> list[str]:
    """Return payments that were decided by parameters published after their period had begun, or by older ones."""
    trace, wrong = run.trace, []
    for one in trace.scored:
        due = max(number for number, (at, _) in enumerate(trace.published) if at <= one.period)
        if one.parameters != due:
            wrong.append(f"payments of period {one.period} got parameters {one.parameters}, due were {due}")
    return wrong
