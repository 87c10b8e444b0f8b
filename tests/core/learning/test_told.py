"""Whatever is said, held, dropped and let through, in any order: what state was told sums to what the book holds."""

from typing import NamedTuple

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.core.labels import Deadlines, LabelBook
from fraud.core.learning.charts import CHARTS
from fraud.core.learning.gate import Gate, Waiting
from fraud.core.learning.journal import MemoryJournal
from fraud.core.pending import MemoryPending
from fraud.core.records import Action, Decision, KnownLabel, Label, LabelSource, Verdict
from tests.filled import filled

PLAIN = msgspec.structs.replace(filled(Decision), known_as="", marks=(), unusual=False, channel="", device=None)
EAGER = tuple(chart._replace(alarm=1.0, wait=0.2) for chart in CHARTS)
"""Charts that alarm at one odd label."""
SILENT_AFTER = 30
FLOOD = (2.0,) * 5
"""Each fraud is odd, of whatever payment."""


class Say(NamedTuple):
    """A source says something of a payment."""

    tx: int
    source: LabelSource
    verdict: Verdict
    version: int


class Pay(NamedTuple):
    """A payment is decided, or corrected: another version of it, at another merchant."""

    tx: int
    version: int
    merchant: int
    action: Action


class Order(NamedTuple):
    """An operator deals with the alarm of that number; `drop` or `release`."""

    drop: bool
    number: int


Step = Say | Pay | Order | int
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(
        Say, st.integers(0, 3), st.sampled_from([LabelSource.CHARGEBACK, LabelSource.ANALYST, LabelSource.SILENCE]),
        st.sampled_from(list(Verdict)), st.integers(0, 2),
    ),
    st.builds(Pay, st.integers(0, 3), st.integers(0, 3), st.integers(0, 1), st.sampled_from(list(Action))),
    st.builds(Order, st.booleans(), st.integers(0, 5)),
    st.integers(1, 25),
)  # fmt: skip
BASES = (0.001, 0.5, 0.95, None)
"""The base probability of each payment."""


class State:
    """What a state was told: of each payment the verdict and its time, by place. It takes out only what is in."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], tuple[Verdict, int]] = {}

    def apply(self, known: KnownLabel) -> None:
        place = known.tx_id, known.merchant
        if known.replaces is not None:
            assert self.held.pop(place) == (known.replaces, known.replaces_at)
        assert place not in self.held
        if known.verdict is not Verdict.WITHDRAWN:
            self.held[place] = known.verdict, known.happened_at


class Run:
    """A book behind a gate, and a state that is told what comes through."""

    def __init__(self) -> None:
        self.pending, self.state = MemoryPending(), State()
        self.book = LabelBook(self.pending, Deadlines(SILENT_AFTER, keep=10_000, keep_vectors=10_000))
        self.gate = Gate(MemoryJournal(), EAGER, patience=3)
        self.now = 0

    def take(self, step: Step) -> None:
        """Take a step; a number lets so much time pass, and the period end."""
        if isinstance(step, Say):
            label = Label(
                tx_id=f"T{step.tx}", verdict=step.verdict, happened_at=self.now, seen_at=self.now,
                source=step.source, version=step.version,
            )  # fmt: skip
            match = self.book.match(label)
            self.wait([match] if match else [])
        elif isinstance(step, Pay):
            paid = msgspec.structs.replace(
                PLAIN, tx_id=f"T{step.tx}", version=step.version, merchant=f"M{step.merchant}", action=step.action,
                happened_at=10,
            )  # fmt: skip
            self.wait(self.book.hold(paid))
        elif isinstance(step, Order):
            self.order(step)
        else:
            self.now += step
            self.wait(self.book.expire(self.now).silent)
            self.tell(self.gate.close(self.gate.period, FLOOD).released)
        self.check()

    def wait(self, matches: list) -> None:  # type: ignore[type-arg]
        for match in matches:
            self.gate.take(match, BASES[int(match.item.tx_id[1:])], self.gate.period)

    def order(self, order: Order) -> None:
        charts = list(self.gate.held())
        if not charts:
            return
        chart = charts[order.number % len(charts)]
        if not order.drop:
            self.tell(self.gate.release(chart))
            return
        taken, passed = self.gate.drop(chart)
        for one in taken:
            match = self.book.forget(one.before, one.said, self.now)
            if match is not None:
                self.gate.take(match, one.base, self.gate.period)
        self.tell(passed)

    def tell(self, passed: tuple[Waiting, ...]) -> None:
        for entry in passed:
            for known in entry.known:
                self.state.apply(known)

    def check(self) -> None:
        """See that of every payment of which nothing waits the state holds what the book does."""
        for number in range(4):
            tx_id = f"T{number}"
            item = self.book.item(tx_id)
            told = {merchant: said for (tx, merchant), said in self.state.held.items() if tx == tx_id}
            if self.gate.holds(tx_id):
                continue
            stands = None if item is None else self.book.standing(item)
            assert told == ({item.merchant: (stands.verdict, stands.at)} if item and stands else {})


@given(st.lists(STEPS, max_size=40))
@settings(max_examples=300, deadline=None)
def test_state_is_told_what_the_book_holds(steps: list[Step]) -> None:
    run = Run()
    for step in steps:
        run.take(step)
    # in the end every alarm is dealt with, and everything comes through
    for turn in range(90):
        run.take(Order(drop=turn % 3 == 0, number=turn))
        run.take(1)
    assert not any(run.gate.holds(f"T{number}") for number in range(4))
    run.check()
