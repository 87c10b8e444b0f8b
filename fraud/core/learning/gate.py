"""The gate in front of `labels.known`: labels that do not fit what the base model said are held from state and learner.

What the label book makes of labels is held here until the refresh period that it came in ends, then judged by charts
(`charts.py`). While a chart doubts, its labels wait, at most `patience` periods: should the alarm come, what raised
it is still here. At the alarm all of them are held until somebody says `release` or `drop`; nothing else ends it.

Of one payment things go through in the order in which they came, whatever holds the first: state is told what changes,
and what changes is reckoned from what was said before.

Why in front of the state too: without any learner, 30 % of one day's labels flipped took average precision from .93 to
.64 over two days, through the entities' label windows alone.
"""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from fraud.core.errors import StateError
from fraud.core.labels import Match
from fraud.core.learning.charts import (
    CHARTS,
    OF_FRAUDS,
    OF_MANY,
    Chart,
    Standing,
    evidence,
    of_band,
    of_fraud,
    placed,
    told_fraud,
)
from fraud.core.learning.journal import UNREADABLE, Journal
from fraud.core.pending import Pending
from fraud.core.records import KnownLabel, Label, LabelSource, Verdict

PATIENCE = 60
WAITING, GATE = "waiting", "gate"
EXAMPLES = 3
MOST_STANDING = 50_000
"""Charts of merchants and devices are forgotten, the oldest first, beyond so many: all are written each period."""


class Waiting(msgspec.Struct, frozen=True, array_like=True):
    """A match that waits: its number in the order of arrival, the period that it came in, the judged probability.

    `before` is the item as it stood before, without what only a learner reads; `state` is what state knows of it by
    then, where something in front was dropped.
    """

    number: int
    period: int
    base: float | None
    label: Label | None
    known: tuple[KnownLabel, ...]
    before: Pending
    state: Pending | None = None

    @property
    def tx_id(self) -> str:
        """Return the payment's id."""
        return self.before.tx_id


class Kept(NamedTuple):
    """What an alarm holds, or what stands behind such: its payment, its charts, and when it was seen (ns UTC)."""

    tx_id: str
    charts: tuple[str, ...]
    seen_at: int


class HeldChart(msgspec.Struct, frozen=True):
    """What an alarm holds: how many labels, the first of them seen at `since` (ns UTC), and a few payments."""

    count: int
    since: int
    examples: tuple[str, ...]


class GateState(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a gate beside the matches that wait, as of the last end of a period."""

    period: int
    number: int
    unjudged: int
    standing: dict[str, Standing]
    told: dict[str, tuple[int, int]] = {}
    """Frauds and genuine ones that each source has told."""


class Alarm(NamedTuple):
    """A chart that alarmed, as `kind/key`, and the number of the label at which it did, in order of arrival from 0."""

    chart: str
    number: int


class Closed(NamedTuple):
    """What the end of a period lets through, in order of arrival, and the alarms at it."""

    released: tuple[Waiting, ...]
    alarms: tuple[Alarm, ...]


class Taken(NamedTuple):
    """What is dropped of one payment: the item as state knows it, and what each source is to have said again.

    `said` names sources with the item as it stood before their first dropped label; `base` is the probability that the
    payment is judged by, `labels` how many go.
    """

    before: Pending
    said: dict[LabelSource, Pending]
    base: float | None
    labels: int


class Gate:
    """Hold matches until their period ends, and on where a chart says so. Period by period; no clock, no chance.

    All of it lies in the journal: matches as they come, the rest at the end of a period.
    """

    def __init__(self, journal: Journal, charts: Sequence[Chart] = CHARTS, *, patience: int = PATIENCE) -> None:
        """Go on where the journal stands; `patience` in periods. Without charts nothing is held on."""
        self._journal, self._charts, self._patience = journal, tuple(charts), patience
        self._longer = {chart.name: chart.longer for chart in self._charts}
        self._waiting: dict[int, Waiting] = {}
        self._kept: dict[int, Kept] = {}
        self._count: Counter[str] = Counter()
        self._held: dict[str, HeldChart] | None = None
        self._state = GateState(0, 0, 0, {}, {})
        self._load()

    @property
    def period(self) -> int:
        """Return the period that is open."""
        return self._state.period

    @property
    def unjudged(self) -> int:
        """Return how many labels passed whose decisions had no base probability."""
        return self._state.unjudged

    @property
    def waiting(self) -> int:
        """Return how many matches wait, those that an alarm holds aside."""
        return len(self._waiting)

    def take(self, match: Match, base: float | None, period: int) -> None:
        """Hold a match that came in `period`; `base` is the base probability at decision time, None without one.

        Raises ValueError for a period that is closed: its labels have been judged.
        """
        state, item = self._state, match.item
        if period < state.period:
            msg = f"label of {item.tx_id} came in period {period}, which is closed; expected {state.period} or later"
            raise ValueError(msg)
        entry = Waiting(state.number, period, base, match.label, match.known, bare(item))
        self._state = msgspec.structs.replace(state, number=state.number + 1)
        self._waiting[entry.number] = entry
        self._count[item.tx_id] += 1
        self._journal.put(WAITING, entry.number, _encode(entry))

    def close(self, period: int, flooding: Sequence[float] = (), told: Iterable[float] = ()) -> Closed:
        """End all periods up to `period`; judge what came in them, and let through what no chart holds.

        `flooding`, of `charts.flooding`, judges the frauds of sources that tell mostly frauds; without it nothing does.
        `told` are base probabilities of payments that were frauds by their deadline: silence has not spoken of them.
        """
        begin = self._state.period
        for p in told:
            self._ease_silence(p)
        came = [entry for entry in self._waiting.values() if begin <= entry.period <= period]
        alarms = [Alarm(name, entry.number) for entry in came for name in self._judge(entry, flooding)]
        self._state = msgspec.structs.replace(self._state, period=max(begin, period + 1))
        return Closed(self._let_through(), tuple(alarms))

    def let_all_through(self) -> tuple[Waiting, ...]:
        """End the newest period; return, in order of arrival, all that was here; for a gate without charts."""
        newest = max((entry.period for entry in self._waiting.values()), default=None)
        return () if newest is None else self.close(max(newest, self.period)).released

    def move(self, by: int) -> None:
        """Count periods on from another number, `by` more or fewer; what waits keeps its place in them.

        So does its patience: periods in which nobody looked do not count.
        """
        self._state = msgspec.structs.replace(self._state, period=max(self._state.period + by, 0))
        # what an alarm holds has no patience to keep, and may be much; it only must not lie ahead
        for number in sorted([*self._waiting, *(self._kept if by < 0 else ())]):
            entry = self._read(number)
            moved = msgspec.structs.replace(entry, period=entry.period + by)
            self._journal.put(WAITING, number, _encode(moved))
            if number in self._waiting:
                self._waiting[number] = moved
        self._journal.put(GATE, 0, _encode(self._state))

    def holds(self, tx_id: str) -> bool:
        """Tell whether anything of a payment is here."""
        return self._count[tx_id] > 0

    def held(self) -> dict[str, HeldChart]:
        """Return what each alarmed chart holds, by `kind/key`; reckoned when that has changed, for it may be much."""
        if self._held is None:
            self._held = {name: self._held_by(name) for name in self._alarmed()}
        return self._held

    def release(self, chart: str) -> tuple[Waiting, ...]:
        """End an alarm and let its labels through, but for those that another chart holds.

        Raises ValueError for a chart that has no alarm.
        """
        self._end(chart)
        return self._reconsidered()

    def drop(self, chart: str) -> tuple[list[Taken], tuple[Waiting, ...]]:
        """End an alarm and throw its labels away; return what is to be taken back, by payment, and what goes through.

        What came later of such a payment and stays no longer tells state anything: who takes back what was said tells
        it what holds then. Raises ValueError for a chart that has no alarm.
        """
        self._end(chart)
        by_payment: dict[str, list[Waiting]] = {}
        gone = {number for number, kept in self._kept.items() if chart in kept.charts}
        affected = {self._kept[number].tx_id for number in gone}
        behind = {number: entry.tx_id for number, entry in self._waiting.items()}
        for number, tx_id in sorted([*((number, kept.tx_id) for number, kept in self._kept.items()), *behind.items()]):
            if tx_id in affected:
                by_payment.setdefault(tx_id, []).append(self._read(number))
        taken = [self._take_back(entries, gone) for entries in by_payment.values()]
        return taken, self._reconsidered()

    def _load(self) -> None:
        """Take up what the journal holds; raise StateError when it cannot be read."""
        try:
            if (body := self._journal.get(GATE, 0)) is not None:
                self._state = msgspec.msgpack.decode(body, type=GateState)
            held = [_entry(body) for _, body in self._journal.rows(WAITING)]
        except UNREADABLE as error:
            msg = f"the gate's state cannot be read ({error}): restore what `snapshot` returned"
            raise StateError(msg) from error
        self._waiting = {entry.number: entry for entry in held}
        self._held = None
        self._kept, self._count = {}, Counter(entry.tx_id for entry in held)
        number = max([self._state.number, *(entry.number + 1 for entry in held)])
        self._state = msgspec.structs.replace(self._state, number=number)
        self._keep()

    def _judge(self, entry: Waiting, flooding: Sequence[float]) -> list[str]:
        """Add a label to its charts; return those that alarm at it."""
        if entry.label is None:
            return []
        if entry.base is None:
            self._state = msgspec.structs.replace(self._state, unjudged=self._state.unjudged + 1)
            return []
        if (fraud := told_fraud(entry.label, entry.before)) is None:
            return []
        mostly = self._tells_mostly_frauds(entry.label)
        found = []
        for chart, name in placed(self._charts, entry.label, entry.before):
            if entry.base < chart.least:
                continue
            by_spread = fraud and mostly and chart.name == OF_FRAUDS
            said = of_fraud if fraud and chart.eased else partial(evidence, fraud=fraud)
            more = said(entry.base, chart.rho, most=chart.most)
            if self._add(chart, name, entry.number, of_band(flooding, entry.base) if by_spread else more):
                found.append(name)
        return found

    def _ease_silence(self, p: float) -> None:
        """Count for silence a payment of which fraud was told; see `charts.py`."""
        for chart in self._charts:
            if chart.name not in OF_MANY and p >= chart.least:
                less = min(0.0, of_fraud(p, chart.rho, chart.most))
                self._add(chart, f"{chart.name}/{LabelSource.SILENCE.value}", self._state.number, less)

    def _tells_mostly_frauds(self, label: Label) -> bool:
        """Count a label of its source; tell whether that has told more frauds than genuine ones so far."""
        frauds, genuine = self._state.told.get(label.source, (0, 0))
        frauds, genuine = frauds + (label.verdict is Verdict.FRAUD), genuine + (label.verdict is Verdict.GENUINE)
        self._state.told[label.source.value] = frauds, genuine
        return frauds > genuine

    def _add(self, chart: Chart, name: str, number: int, more: float) -> bool:
        """Add evidence to a chart; tell whether it alarms at it."""
        standing = self._state.standing.get(name)
        if standing is None:
            if more <= 0:
                return False
            standing = self._state.standing[name] = Standing(0.0, number)
            self._forget_oldest()
        if standing.alarmed:
            return False
        standing.sum = max(0.0, standing.sum + more)
        if standing.sum == 0.0:
            del self._state.standing[name]
        standing.alarmed, standing.waits = standing.sum >= chart.alarm, standing.sum >= chart.wait
        return standing.alarmed

    def _forget_oldest(self) -> None:
        """Let the oldest chart of a merchant or device go where there are too many: one odd label may be their last."""
        held = self._state.standing
        if len(held) > MOST_STANDING:
            old = (name for name, one in held.items() if name.partition("/")[0] in OF_MANY and not one.alarmed)
            if (oldest := next(old, None)) is not None:
                del held[oldest]

    def _let_through(self) -> tuple[Waiting, ...]:
        """Take out of the waiting, in order of arrival, what nothing holds; put aside what an alarm holds.

        Only a release looks at the latter again: an alarm may hold them by the hundred thousand.
        """
        self._keep()
        released, stopped = [], set[str]()
        for entry in self._waiting.values():
            if entry.period >= self.period or entry.tx_id in stopped or self._doubted(entry):
                stopped.add(entry.tx_id)
            else:
                released.append(entry)
        for entry in released:
            self._remove(entry)
        self._journal.put(GATE, 0, _encode(self._state))
        return tuple(released)

    def _keep(self) -> None:
        """Put aside what an alarm holds, and what stands behind it."""
        if not self._alarmed():
            return
        stopped = {kept.tx_id for kept in self._kept.values()}
        for entry in list(self._waiting.values()):
            charts = [name for name, standing in self._above(entry) if standing.alarmed]
            if entry.period < self.period and (charts or entry.tx_id in stopped):
                stopped.add(entry.tx_id)
                names = tuple(name for _, name in placed(self._charts, entry.label, entry.before))
                seen_at = entry.label.seen_at if entry.label else 0
                self._kept[entry.number] = Kept(entry.tx_id, names, seen_at)
                self._held = None
                del self._waiting[entry.number]

    def _doubted(self, entry: Waiting) -> bool:
        """Tell whether a chart of a label doubts, and its patience lasts."""
        waited = self.period - entry.period
        return any(
            standing.waits and waited <= self._patience * self._longer.get(name.partition("/")[0], 1)
            for name, standing in self._above(entry)
        )

    def _above(self, entry: Waiting) -> list[tuple[str, Standing]]:
        """Return the charts that were above 0 from this label on; none for one that cannot be judged."""
        if entry.base is None or not self._state.standing:
            return []
        names = [name for _, name in placed(self._charts, entry.label, entry.before)]
        found = [(name, standing) for name in names if (standing := self._state.standing.get(name)) is not None]
        return [(name, standing) for name, standing in found if entry.number >= standing.since]

    def _reconsidered(self) -> tuple[Waiting, ...]:
        """Look again at everything that is put aside."""
        for number in self._kept:
            self._waiting[number] = self._read(number)
        self._waiting = dict(sorted(self._waiting.items()))
        self._kept, self._held = {}, None
        return self._let_through()

    def _take_back(self, entries: Sequence[Waiting], gone: Container[int]) -> Taken:
        """Remove what is dropped of one payment, whose `entries` are in order; void what state is told behind it."""
        first = next(place for place, entry in enumerate(entries) if entry.number in gone)
        said: dict[LabelSource, Pending] = {}
        state = entries[first].state or entries[first].before
        for entry in entries[first:]:
            if entry.number not in gone:
                if entry.label is not None:
                    said.pop(entry.label.source, None)  # it has spoken again
                void = msgspec.structs.replace(entry, known=(), state=state)
                self._journal.put(WAITING, entry.number, _encode(void))
                if entry.number in self._waiting:
                    self._waiting[entry.number] = void
            elif entry.label is not None:
                said.setdefault(entry.label.source, entry.before)
                self._remove(entry)
                del self._kept[entry.number]
        return Taken(state, said, entries[first].base, sum(entry.number in gone for entry in entries))

    def _remove(self, entry: Waiting) -> None:
        self._waiting.pop(entry.number, None)
        self._journal.remove(WAITING, entry.number)
        self._count[entry.tx_id] -= 1
        if not self._count[entry.tx_id]:
            del self._count[entry.tx_id]

    def _read(self, number: int) -> Waiting:
        """Return what is put aside under a number."""
        body = self._journal.get(WAITING, number)
        if body is None:
            msg = f"label number {number} is held and not in the journal: restore what `snapshot` returned"
            raise StateError(msg)
        return _entry(body)

    def _alarmed(self) -> list[str]:
        return [name for name, standing in sorted(self._state.standing.items()) if standing.alarmed]

    def _held_by(self, chart: str) -> HeldChart:
        kept = [self._kept[number] for number in sorted(self._kept) if chart in self._kept[number].charts]
        examples = dict.fromkeys(one.tx_id for one in kept[:EXAMPLES])
        return HeldChart(len(kept), kept[0].seen_at if kept else 0, tuple(examples))

    def _end(self, chart: str) -> None:
        standing = self._state.standing.get(chart)
        if standing is None or not standing.alarmed:
            alarmed = ", ".join(self._alarmed())
            msg = f"chart '{chart}' has no alarm, so nothing is held by it; with an alarm: {alarmed or 'none'}"
            raise ValueError(msg)
        del self._state.standing[chart]


_encode = msgspec.msgpack.Encoder().encode
_entry = msgspec.msgpack.Decoder(Waiting).decode


def bare(item: Pending) -> Pending:
    """Return an item without what only a learner reads."""
    return msgspec.structs.replace(item, vector=b"", parts=(), versions=None, said=())
