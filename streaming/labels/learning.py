"""The learning loop in the label book's process: told periods and orders; what it says leaves by the outbox.

The loop itself (`models/online/loop.py`) knows no clock, no Kafka, no file. Its state lies in a journal in the book's
file, so one commit covers labels taken in, offsets, what was learned of them, and what is to be published of that.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from fraud.core.errors import FraudError
from fraud.core.labels import Due, Match
from fraud.core.learning.gate import Gate
from fraud.core.pending import Pending
from fraud.core.records import DAY, HOUR, Decision, FeatureVector, KnownLabel
from streaming import clock
from streaming.kafka import updates
from streaming.kafka.topics import Topics
from streaming.kafka.updates import EVENT, HELD, LIVE, SNAPSHOT
from streaming.labels.journal import SqliteJournal
from streaming.labels.pending import SqlitePending
from streaming.messages.bounds import MOST_SENT
from streaming.messages.envelope import Outgoing, known_out
from streaming.messages.schema import Deal, Do, LabelsMessage, RefreshMessage
from streaming.observe.counts import NS, SECONDS, Cells, Tally
from streaming.observe.logs import Log

PERIOD, EVENTS, KEPT = "refresh period", "refresh events", "refresh kept"
REFUSED, ALARM, MOVED = "refused", "alarm", "clock-back"
BACK_NS, BACK_PERIODS = HOUR, 2
"""A clock that is further behind the open period than that was ahead; behind by less, it is waited for."""
WORK_NS, AT_ONCE = 20_000_000, 16
"""For how long payments are learned in a turn, and how many between two looks at the clock."""
MOST_HELD = MOST_SENT - 1_024
"""Bytes of the record that says what the gate holds, less what a message has beside its value."""
TOLD = frozenset({"promoted", "reverted", ALARM, REFUSED, MOVED, "base-changed", "drift"})
"""Events that are a line in the log; what operators order is one too."""


class Versioned(Protocol):
    """A snapshot of what was learned, or which one payments get."""

    @property
    def version(self) -> str:
        """Return the version, `""` for the model as it was trained."""


class Happened(Protocol):
    """What happened to the learner."""

    @property
    def at(self) -> int:
        """Return when, ns UTC."""

    @property
    def kind(self) -> str:
        """Return what kind of thing."""

    @property
    def text(self) -> str:
        """Return a sentence."""

    @property
    def details(self) -> Mapping[str, Any]:
        """Return figures."""


class HeldChart(Protocol):
    """What the gate holds of one chart."""

    @property
    def count(self) -> int:
        """Return how many labels."""

    @property
    def since(self) -> int:
        """Return when the first of them was given, ns UTC."""

    @property
    def examples(self) -> Sequence[Any]:
        """Return some of them."""


class Closed(Protocol):
    """What the end of a period, or an order, brings about."""

    @property
    def known(self) -> Sequence[KnownLabel]:
        """Return what entity state takes in."""

    @property
    def snapshot(self) -> Versioned | None:
        """Return what was learned."""

    @property
    def live(self) -> Versioned | None:
        """Return what payments get from now on, None: what they got before."""

    @property
    def events(self) -> Sequence[Happened]:
        """Return what happened."""


class Loop(Protocol):
    """The learning loop; see `LearningLoop`."""

    def hear(self, decision: Decision, vector: FeatureVector | None) -> tuple[float, ...]:
        """Return what each expert says of a decision now."""

    def take(self, match: Match, period: int) -> None:
        """Take in a match of the label book."""

    def ripen(self, item: Pending) -> None:
        """Learn of a payment that has reached the age for it."""

    def settle(self, item: Pending) -> None:
        """Count a payment whose deadline has passed."""

    def work(self, most: int) -> int:
        """Learn ahead of the end of the period, so many payments at most; return how many were looked at."""

    def close(self, period: int, now: int, positions: Mapping[str, int]) -> Closed:
        """End a period."""

    def move(self, by: int, now: int) -> None:
        """Count periods on from another number: time has gone back, or nobody was here for a while."""

    def release(self, chart: str, now: int) -> Closed:
        """Let the labels of a chart through."""

    def drop(self, chart: str, now: int) -> Closed:
        """Throw the labels of a chart away."""

    def pin(self, version: str, now: int) -> Closed:
        """Give payments one version."""

    def unpin(self, now: int) -> Closed:
        """Let the guard decide again."""

    def rollback(self, now: int) -> Closed:
        """Go back to the last good version."""

    def freeze(self, now: int) -> Closed:
        """Give payments the model as it was trained."""

    def thaw(self, now: int) -> Closed:
        """End that."""

    def held(self) -> Mapping[str, HeldChart]:
        """Return what the gate holds, by chart."""

    def figures(self) -> Mapping[str, Any]:
        """Return what metrics show."""


class Box(Protocol):
    """Where what is to be published waits, with the numbers that it is counted by."""

    def send(self, message: Outgoing) -> None:
        """Let a message wait."""

    def number(self, name: str, default: int) -> int:
        """Return a named number."""

    def set_number(self, name: str, value: int) -> None:
        """Set a named number."""


class Event(msgspec.Struct, frozen=True):
    """An event as it is published, numbered by this process; the fields are those of `models.online.snapshots`."""

    seq: int
    at: int
    kind: str
    text: str
    details: dict[str, Any] = {}


class Refreshes(NamedTuple):
    """How a process refreshes: on which model (`NAME@VERSION`), how often (ns), by the stream's time or the clock's."""

    base: str
    every: int
    by_stream: bool = False


class Successor(NamedTuple):
    """What a learner goes on with where payments are decided by another model, or policy.

    `base` names the model; `take_up` is called between two periods.
    """

    base: str
    take_up: Callable[[], None]


class Following(Protocol):
    """Follows which model payments are decided by; see `streaming.labels.following`."""

    def turn(self, now: int) -> None:
        """Ask, if it is time for it at `now` (monotonic ns)."""

    def successor(self) -> Successor | None:
        """Return, once, what a learner is to go on with."""


class Outlet:
    """What of the loop leaves: into an outbox, and a line in the log. `events` and `known` count it."""

    def __init__(self, box: Box, topics: Topics, log: Log | None) -> None:
        """Take the outbox, as the book's file is; its events are numbered on."""
        self._box, self._topics, self._log = box, topics, log
        self._held = b""
        self.events, self.known = Tally(), 0

    def publish(
        self, closed: Closed, base: str, held: Mapping[str, HeldChart], details: Mapping[str, Any] | None = None
    ) -> None:
        """Publish what came about: a version before what names it, labels last, for they may be many.

        What the gate holds is published where that has changed since this process has last looked; `details` go into
        every event.
        """
        if closed.snapshot is not None:
            self.send(SNAPSHOT + closed.snapshot.version, closed.snapshot)
        if closed.live is not None:
            self.send(LIVE + base, closed.live)
        for event in closed.events:
            self.tell(event.at, event.kind, event.text, {**event.details, **(details or {})})
        self._show_held(base, held)
        for label in closed.known:
            self.label(label)

    def begin_anew(self) -> None:
        """Publish what is held once more, as it is to be found under another model's name."""
        self._held = b""

    def _show_held(self, base: str, held: Mapping[str, HeldChart]) -> None:
        shown = {name: {"count": one.count, "since": one.since, "examples": one.examples} for name, one in held.items()}
        body = fitting(shown)
        if body != self._held:
            self._held = body
            self.put(HELD + base, body)

    def put(self, key: str, body: bytes) -> None:
        """Publish a record on `model-updates`."""
        self._box.send(Outgoing(self._topics.updates, key.encode(), body, ()))

    def send(self, key: str, record: object) -> None:
        """Publish a record, as JSON."""
        self.put(key, msgspec.json.encode(record))

    def label(self, label: KnownLabel) -> None:
        """Publish a label that is known."""
        self.known += 1
        self._box.send(known_out(label, self._topics.known))

    def tell(self, at: int, kind: str, text: str, details: dict[str, Any]) -> None:
        """Publish an event; logs name it by its number, for its text may name a merchant or a device."""
        number = self._box.number(EVENTS, 0) + 1
        self._box.set_number(EVENTS, number)
        self.send(f"{EVENT}{number}", Event(number, at, kind, text, details))
        self.events.add(kind)
        if self._log is not None and (kind in TOLD or "order" in details):
            self._log.say(kind, refresh_event=number, version=str(details.get("version", "")))


def fitting(shown: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return what the gate holds as one message: where that is too much for one, the charts that hold most of it."""
    body, charts = msgspec.json.encode(shown), sorted(shown, key=lambda name: -shown[name]["count"])
    while len(body) > MOST_HELD:
        charts = charts[: len(charts) // 2]
        body = msgspec.json.encode({name: shown[name] for name in charts})
    return body


class Learning:
    """The loop over the book's file. `positions` says up to where labels were taken in, by partition.

    `in_force` returns the records of what payments get, as they were published, by key. `figures` are those of the loop
    as of the last end of a period, for metrics; `took` is what ends of periods took.
    """

    def __init__(
        self,
        loop: Loop,
        refreshes: Refreshes,
        pending: SqlitePending,
        outlet: Outlet,
        positions: Callable[[], Mapping[str, int]],
        in_force: Callable[[str], Mapping[str, bytes]],
        following: Following | None = None,
    ) -> None:
        """Go on in the period that the file is in; without `following` on the model of the beginning."""
        self._loop, self._refreshes = loop, refreshes
        self._pending, self.outlet = pending, outlet
        self._positions, self._in_force, self._following = positions, in_force, following
        self._period = pending.number(PERIOD, 0)
        self.took = Cells(SECONDS, NS)
        self.figures = loop.figures()

    # ---- what the book says

    def hear(self, decision: Decision, vector: FeatureVector | None) -> tuple[float, ...]:
        """Return what is said of a decision now, to be kept with it."""
        return self._loop.hear(decision, vector)

    def take(self, matches: Iterable[Match]) -> None:
        """Take in what labels changed, in this period."""
        for match in matches:
            self._loop.take(match, self._period)

    def fall_due(self, due: Due) -> None:
        """Take in what fell due beside silence: payments old enough to be learned of, those that are settled."""
        for item in due.ripe:
            self._loop.ripen(item)
        for item in due.settled:
            self._loop.settle(item)

    def work(self) -> None:
        """Learn for a moment of payments that are old enough: a minute's at once would hold everything up.

        Before that, ask by which model payments are decided.
        """
        if self._following is not None:
            self._following.turn(clock.monotonic_ns())
        until = clock.monotonic_ns() + WORK_NS
        while self._loop.work(AT_ONCE) and clock.monotonic_ns() < until:
            pass

    # ---- time

    def stream_reached(self, at: int) -> None:
        """Note the stream's time, ns UTC; it ends periods where the settings say so."""
        if self._refreshes.by_stream:
            self._end_periods(at)

    def clock_reached(self, at: int) -> None:
        """Note the clock's time, ns UTC; it ends periods unless the stream's does."""
        if not self._refreshes.by_stream:
            self._end_periods(at)

    def _end_periods(self, at: int) -> None:
        """End the periods that are over; the first time says which one is under way."""
        every = self._refreshes.every
        period = at // every
        if period < self._period - max(BACK_NS // every, BACK_PERIODS):
            self._go_back(period, at)
        if period <= self._period:
            return
        began, self._period = self._period, period
        self._pending.set_number(PERIOD, period)
        if began:
            if (away := period - 1 - began) and not self._refreshes.by_stream:
                self._loop.move(away, at)  # what the gate doubts is not let through by an hour without labels
            start, end = clock.monotonic_ns(), period * every
            self._keep(at)
            positions = self._positions()
            self._publish(self._loop.close(period - 1, end, positions), {})
            ended = {"at": end, "version": self.figures.get("version", ""), "positions": positions}
            self.outlet.send(updates.PERIOD + self._refreshes.base, ended)
            self._follow()
            self.took.add(clock.monotonic_ns() - start)

    def _follow(self) -> None:
        """Go on with another model, or policy, if payments are decided by one."""
        if self._following is None or (successor := self._following.successor()) is None:
            return
        successor.take_up()
        self._refreshes = self._refreshes._replace(base=successor.base)
        self.outlet.begin_anew()
        self.figures = self._loop.figures()

    def _go_back(self, period: int, at: int) -> None:
        """Go on in a period of before: a clock that was ahead was set right, or periods are longer than they were."""
        by, self._period = period - self._period, period
        self._pending.set_number(PERIOD, period)
        self._loop.move(by, at)
        self.outlet.tell(at, MOVED, f"the period that was open lies {-by} periods ahead: goes on in that of now", {})

    # ---- orders

    def order(self, order: RefreshMessage | LabelsMessage, place: str, at: int) -> None:
        """Carry out an operator's order that stands at `place`; what came of it is an event that names the place."""
        details = {"order": place, "by": order.by, "do": order.do.value}
        base = self._refreshes.base
        try:
            if order.base not in ("", base):
                msg = f"the order is for {order.base}, this process learns on {base or 'no model'}"
                raise ValueError(msg)
            closed = self._done(order, at)
        except (ValueError, FraudError) as error:
            self.outlet.tell(at, REFUSED, str(error), details)
            return
        self._publish(closed, details)
        if not closed.events:
            self.outlet.tell(at, order.do.value, "nothing changed", details)

    def _done(self, order: RefreshMessage | LabelsMessage, at: int) -> Closed:
        loop = self._loop
        if isinstance(order, LabelsMessage):
            return (loop.release if order.do is Deal.RELEASE else loop.drop)(order.chart, at)
        if order.do is Do.PIN:
            return loop.pin(order.version, at)
        plain = {Do.UNPIN: loop.unpin, Do.ROLLBACK: loop.rollback, Do.FREEZE: loop.freeze, Do.THAW: loop.thaw}
        return plain[order.do](at)

    # ---- out

    def _publish(self, closed: Closed, details: Mapping[str, Any]) -> None:
        self.outlet.publish(closed, self._refreshes.base, self._loop.held(), details)
        self.figures = self._loop.figures()

    def _keep(self, at: int) -> None:
        """Publish what payments get once more each day: the topic forgets what is old, but not what is in force.

        That is read from the topic, so nothing newer may wait to be published: it would be overruled.
        """
        kept = self._pending.number(KEPT, 0)
        if (kept and 0 <= at - kept < DAY) or self._pending.outbox(0, 1):
            return
        self._pending.set_number(KEPT, at)
        if kept:
            for key, body in self._in_force(self._refreshes.base).items():
                self.outlet.put(key, body)


def let_through(pending: SqlitePending, outlet: Outlet, log: Log) -> None:
    """Where nobody learns or judges any more, let go what waits in the gate: the book counts it as said."""
    gate = Gate(SqliteJournal(pending), ())
    passed = gate.let_all_through()
    for entry in passed:
        for label in entry.known:
            outlet.label(label)
    if passed:
        pending.set_number(PERIOD, max(pending.number(PERIOD, 0), gate.period))
        log.say("gate is off", let_through=len(passed))
