"""What a worker counts of its batches: plain numbers on the path, Prometheus's families when they are asked for.

The client library's own counters take a lock and look their labels up at each step, some microseconds a decision; here
a step is an addition. A scrape reads while a worker counts: it may miss the batch at hand, never more.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from fraud.core.records import Answer, Intake, KnownLabel
from streaming import clock

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 5, 30)
STAGE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
EVENTS = (1, 2, 4, 8, 16, 32, 64, 128)
NS = 1_000_000_000


class Tally:
    """A counter by labels."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.held: dict[tuple[str, ...], int] = {}

    def add(self, *labels: str, times: int = 1) -> None:
        """Count under some labels."""
        if times:
            self.held[labels] = self.held.get(labels, 0) + times


class Cells:
    """A histogram: how many values lie at or below each bound, in whole numbers of a unit; and their sum."""

    def __init__(self, bounds: Iterable[float], unit: int = 1) -> None:
        """Take bounds, ascending, and how many of the values' units they are counted in."""
        self._names = [str(float(bound)) for bound in bounds] + ["+Inf"]
        self._bounds = [round(float(name) * unit) for name in self._names[:-1]]
        self._unit = unit
        self._held = [0] * len(self._names)
        self._sum = 0

    def add(self, value: int) -> None:
        """Count a value."""
        self._held[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def told(self) -> tuple[list[tuple[str, float]], float]:
        """Return how many lie at or below each bound, by its name, and the sum."""
        return list(zip(self._names, map(float, accumulate(self._held)), strict=True)), self._sum / self._unit


class Counts:
    """A Prometheus collector of everything that is counted a batch or a decision."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._events, self._decisions, self._marks = Tally(), Tally(), Tally()
        self._explained, self._repeats = Tally(), Tally()
        self._repeats.held[()] = 0
        self._rows, self._commits = Tally(), Tally()
        self._latency = Cells(SECONDS, NS)
        self._batch = Cells(EVENTS)
        self._stages: dict[str, Cells] = {}

    def add(self, intake: Intake, answers: Sequence[Answer], spent: Mapping[str, int]) -> None:
        """Take in one batch; `spent` is nanoseconds by stage."""
        events = len(intake.arrivals) + len(intake.rejects)
        if not events:
            return
        labels = sum(isinstance(arrival.event, KnownLabel) for arrival in intake.arrivals)
        self._events.add("labels.known", times=labels)
        self._events.add("transactions", times=len(intake.arrivals) - labels)
        self._batch.add(events)
        for stage, ns in spent.items():
            if stage not in self._stages:
                self._stages[stage] = Cells(STAGE_SECONDS, NS)
            self._stages[stage].add(ns)
        self._add_answers(answers, clock.now_ns())

    def late(self, decisions: int) -> None:
        """Count decisions that were found late only when they were published."""
        self._marks.add("overdue", times=decisions)

    def commits(self, sent: int, refused: int) -> None:
        """Note how many commits were sent so far, and how many of them the brokers refused."""
        self._commits.held[("sent",)], self._commits.held[("refused",)] = sent, refused

    def rows(self, copies: int, whole: int) -> None:
        """Note how many rows were at hand so far, and how many were read whole from the store."""
        self._rows.held[("copy",)], self._rows.held[("whole",)] = copies, whole

    def _add_answers(self, answers: Sequence[Answer], now: int) -> None:
        for answer in answers:
            decision = answer.decision
            if answer.repeat_of is not None:
                self._repeats.add()
                continue
            self._decisions.add(decision.action.value, decision.level.value)
            self._explained.add(decision.explainer.value)
            self._latency.add(max(now - decision.seen_at, 0))
            for mark in decision.marks:
                self._marks.add(mark.value)

    def collect(self) -> Iterator[Any]:
        """Yield every family, as Prometheus's client asks for it."""
        yield counter("fraud_events", "Records taken up", self._events, "topic")
        yield counter("fraud_decisions", "Decisions made", self._decisions, "action", "level")
        yield counter("fraud_decisions_explained", "Decisions by what explained them", self._explained, "explainer")
        yield counter("fraud_decision_marks", "Decisions with something unusual", self._marks, "mark")
        yield counter("fraud_repeats", "Transactions sent again, answered with the first answer", self._repeats)
        yield counter("fraud_store_rows", "Rows read: kept as a copy, or whole from the store", self._rows, "read")
        yield counter("fraud_commits", "Commits of offsets: sent, and those refused", self._commits, "outcome")
        taken = "From taking a transaction up to its decision handed to the broker"
        yield histogram("fraud_decision_seconds", taken, {(): self._latency})
        stages: dict[tuple[str, ...], Cells] = {(stage,): cells for stage, cells in self._stages.copy().items()}
        yield histogram("fraud_stage_seconds", "Time of a batch by stage", stages, "stage")
        yield histogram("fraud_batch_events", "Events taken at once", {(): self._batch})


def counter(name: str, text: str, tally: Tally, *labels: str) -> Any:
    """Return a counter's family."""
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in tally.held.copy().items():
        family.add_metric(values, count)
    return family


def histogram(name: str, text: str, held: Mapping[tuple[str, ...], Cells], *labels: str) -> Any:
    """Return a histogram's family."""
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(name, text, labels=labels)
    for values, cells in held.items():
        family.add_metric(values, *cells.told())
    return family
