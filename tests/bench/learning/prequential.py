"""The learning loop on a replayed stream, in the order that a service keeps, with a trace that can be audited.

At the boundary n x `every` the loop closes period n - 1; then come the payments of period n, each heard as it is
decided, and its labels, by the label book. The loop is the one that services run (`models/online/loop.py`); what is
noted of it here is what an auditor needs, and nothing of it is used again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core.labels import Deadlines, LabelBook
from fraud.core.learning.charts import CHARTS, Chart
from fraud.core.learning.journal import MemoryJournal
from fraud.core.learning.settings import GateSection
from fraud.core.pending import MemoryPending, Pending
from fraud.core.ports import Matrix
from fraud.core.records import DAY, Action, Decision, FeatureVector, Label, Level, Verdict, Versions
from models.boosting.trees import F64, Trees
from models.online.leaves import reached
from models.online.loop import LearningLoop, LearningRules
from models.online.parameters import Parameters, corrections, experts, neutral
from models.online.refresher import FROZEN, MIXTURE, PERIOD, Base, Refresher

I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]
NEVER = np.iinfo(np.int64).max
ALERT = 0.0
"""Log-odds from which a payment counts as an alert, p = 1/2: a quantile may fall among equal scores, where a hair
tips the count."""
VERSION = "replayed@1"
CLOSE = 1e-12
"""Two ways to the same probability may differ by so much."""


class Replayed(NamedTuple):
    """Payments in order of time: when, base log-odds, vectors (n, features), verdict, when it is told (ns), shop."""

    time: I64
    base: F64
    matrix: Matrix
    trees: Trees
    fraud: Bools
    told_at: I64
    merchant: NDArray[np.int32]
    delay: int


class Heard(NamedTuple):
    """A payment that was heard: its row, the period it was decided in, what was said of it."""

    row: int
    period: int
    said: tuple[float, ...]


class Taught(NamedTuple):
    """A label that was learned: its row, the period it came in, the boundary it was learned at, the experts weighed."""

    row: int
    told_in: int
    learned_at: int
    experts: tuple[float, ...]


class Trace(NamedTuple):
    """What happened: parameters with the boundary each was published at, payments, labels."""

    published: list[tuple[int, Parameters]]
    heard: list[Heard]
    taught: list[Taught]


class Run(NamedTuple):
    """Probabilities, float64 (n,): frozen, mixture, and what the guard let payments have; what gate and guard did.

    `alarms` are charts with the number of the label that raised each; `held` are labels that never came through.
    """

    frozen: F64
    mixture: F64
    guarded: F64
    on_share: float
    alarms: list[tuple[str, int]]
    held: Bools
    figures: dict[str, int]
    trace: Trace


class Traced(LearningLoop):
    """The loop, telling what it learns: `boundary` is the one under way."""

    trace: Trace
    boundary = 0
    every = 1

    def _learn(
        self, refresher: Refresher, item: Pending, source: str, *, fraud: bool, told: float = 1.0, again: bool
    ) -> None:
        row = int(item.tx_id)
        told_in = max((claim.happened_at for claim in item.claims), default=0) // self.every
        self.trace.taught.append(Taught(row, told_in, self.boundary, item.said[:MIXTURE]))
        super()._learn(refresher, item, source, fraud=fraud, told=told, again=again)


class Prequential:
    """One run over a stream; without `charts` the gate holds nothing on. Methods are small: a test can break one."""

    kind: type[Traced] = Traced

    def __init__(
        self, stream: Replayed, every: int, charts: tuple[Chart, ...] = CHARTS, *, verdicts: Bools | None = None,
        untold: bool = False,
    ) -> None:  # fmt: skip
        """Take the stream, how often to refresh (ns), and what labels say where that is not the truth.

        With `untold` payments that nobody has spoken of at the stream's delay are learned as such.
        """
        self.stream, self.every = stream, every
        self.verdicts = stream.fraud if verdicts is None else verdicts
        deadlines = Deadlines(default=max(45 * DAY, stream.delay), maturity=stream.delay)
        self.book = LabelBook(MemoryPending(most_vectors=len(stream.time)), deadlines)
        self.rules = rules = LearningRules(
            every=every, maturity=stream.delay, alert_at=lambda amount: ALERT, charts=charts, untold=untold,
            patience=GateSection().periods(every),
        )  # fmt: skip
        self.loop = self.kind(Base(VERSION, "", stream.trees), self.book, rules, MemoryJournal())
        self.trace = Trace([(-1, neutral(len(stream.trees.leaf)))], [], [])
        self.loop.trace, self.loop.every = self.trace, every
        self.frozen, self.mixed = 1 / (1 + np.exp(-stream.base)), 1 / (1 + np.exp(-stream.base))
        self.guarded = self.frozen.copy()
        self.alarms: list[tuple[str, int]] = []

    def run(self) -> Run:
        """Go through all periods in order."""
        stream, order = self.stream, np.argsort(self.stream.told_at, kind="stable")
        order = order[stream.told_at[order] < NEVER]
        paid, told = stream.time // self.every, stream.told_at[order] // self.every
        on = 0
        for n in np.unique(np.concatenate([paid, told])).tolist():
            self.boundary(n)
            begin, end = np.searchsorted(paid, [n, n + 1]).tolist()
            on += (end - begin) * bool(self.loop.version)
            self.decide(range(begin, end), n)
            begin, end = np.searchsorted(told, [n, n + 1]).tolist()
            self.tell(order[begin:end].tolist(), n)
        # what only waits comes through in the end, what an alarm holds does not
        self.boundary(int(max(paid[-1], told[-1])) + self.rules.patience + 2)
        held = stream.told_at < NEVER
        held[[row for row in np.flatnonzero(held).tolist() if not self.loop.holds(str(row))]] = False
        figures = self.loop.figures()
        counts = {"switches": figures["switches"], **figures["counts"]}
        return Run(
            self.frozen, self.mixed, self.guarded, on / len(held), self.alarms, held, counts, self.trace
        )  # fmt: skip

    def boundary(self, n: int) -> None:
        """End the period before."""
        self.loop.boundary = n
        closed = self.loop.close(n - 1, n * self.every)
        self.alarms += [
            (event.details["chart"], event.details["number"]) for event in closed.events if event.kind == "alarm"
        ]
        self.note(n)

    def note(self, n: int) -> None:
        """Note what is published at a boundary."""
        refresher = self.loop._refresher
        if refresher is not None and refresher.live is not self.trace.published[-1][1]:
            self.trace.published.append((n, refresher.live))

    def decide(self, rows: Sequence[int], n: int) -> None:
        """Decide the payments of a period."""
        for row in rows:
            decision, vector = self.decision(row), FeatureVector(str(row), self.stream.matrix[row], "", 0)
            said = self.loop.hear(decision, vector)
            self.book.hold(decision, vector, said)
            self.mixed[row] = said[MIXTURE]
            if self.loop.version:
                self.guarded[row] = said[MIXTURE]
            self.trace.heard.append(Heard(row, n, said))

    def tell(self, rows: Sequence[int], n: int) -> None:
        """Take in the labels of a period."""
        for row in rows:
            label = self.label(row)
            if (match := self.book.match(label)) is not None:
                self.loop.take(match, n)
            self.fall_due(label.seen_at, n)

    def fall_due(self, now: int, n: int) -> None:
        """Let fall due what is due: silence speaks, payments reach the age of learning, or are settled."""
        due = self.book.expire(now)
        for match in due.silent:
            self.loop.take(match, n)
        for item in due.ripe:
            self.loop.ripen(item)
        for item in due.settled:
            self.loop.settle(item)

    def decision(self, row: int) -> Decision:
        """Return the decision on a payment."""
        stream, at = self.stream, int(self.stream.time[row])
        return Decision(
            tx_id=str(row), version=0, action=Action.APPROVE, score=float(self.frozen[row]), reasons=(),
            level=Level.FULL, versions=Versions(VERSION, "", "", ""), seen_at=at, happened_at=at, card="",
            merchant=str(stream.merchant[row]), base_amount=0, parts=(("base", float(stream.base[row])), ("exit", 0.0)),
        )  # fmt: skip

    def label(self, row: int) -> Label:
        """Return what is told of a payment."""
        at, verdict = int(self.stream.told_at[row]), Verdict.FRAUD if self.verdicts[row] else Verdict.GENUINE
        return Label(tx_id=str(row), verdict=verdict, happened_at=at, seen_at=at)


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
    """Return labels weighed by other probabilities than were given when their payment was decided."""
    said = {one.row: one.said[:MIXTURE] for one in run.trace.heard}
    return [
        f"label of payment {one.row} was weighed by what nobody had said when it was decided"
        for one in run.trace.taught
        if one.experts != said[one.row]
    ]


def early_parameters(run: Prequential) -> list[str]:
    """Return payments whose experts are not those of the parameters that were due in their period."""
    trace, stream, wrong = run.trace, run.stream, []
    boundaries = [at for at, _ in trace.published]
    for one in trace.heard:
        due = trace.published[int(np.searchsorted(boundaries, one.period, side="right")) - 1][1]
        row = slice(one.row, one.row + 1)
        leaves = reached(stream.trees, np.ascontiguousarray(stream.matrix[row]))
        expected = experts(stream.base[row], corrections(due, leaves))[0]
        if np.abs(expected - one.said[FROZEN:MIXTURE]).max() > CLOSE or one.said[PERIOD] != one.period:
            wrong.append(f"payment {one.row} of period {one.period} was not decided by the parameters due then")
    return wrong
