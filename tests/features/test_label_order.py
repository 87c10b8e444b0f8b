"""Any order and repetition of the same labels ends in the same state: label book, entity rows, histories.

What of the rows goes by order is left out, or kept from happening here: the times of an entity's last verdict and last
fraud only grow, so one that was withdrawn or corrected since may have moved them; a label window's slot that a newer
time has taken does not come back when that verdict goes, nor does what it pushed out of the ring of the newest verdicts
or of known frauds. So labels here lie within a day, and are few.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.extractor import OnlineExtractor, keys_of
from features.state import layout as at
from features.stores.memory import MemoryStore
from fraud.core import labels as module
from fraud.core.labels import Deadlines, LabelBook, Match
from fraud.core.pending import MemoryPending, Pending, PendingState
from fraud.core.records import (
    HOUR,
    MINUTE,
    Action,
    Arrival,
    Decision,
    Label,
    LabelSource,
    Position,
    Transaction,
    Verdict,
)
from tests.contract.payments import counts_of, payment, sent
from tests.filled import filled
from tests.histories import Encoding, histories_of

PAID = [msgspec.structs.replace(payment(f"t{n}", after=n * MINUTE), device="phone") for n in range(2)]
SILENT_AFTER = 22 * HOUR
HOLD, EXPIRE = "hold", "expire"

Event = Label | tuple[str, int]


class End(NamedTuple):
    """What is there when everything was taken in."""

    items: list[Pending]
    counts: list[tuple[list[int], list[int]]]
    rings: list[bytes]
    histories: dict[str, bytes]


def label(tx: int, source: LabelSource, verdict: Verdict, version: int, hours: int) -> Label:
    when = PAID[tx].happened_at + hours * HOUR
    return Label(tx_id=f"t{tx}", verdict=verdict, source=source, version=version, happened_at=when, seen_at=when)


def decided(tx: Transaction, action: Action) -> Decision:
    fields = {name: getattr(tx, name) for name in ("card", "merchant", "device", "happened_at", "base_amount")}
    plain = msgspec.structs.replace(
        filled(Decision), tx_id=tx.id, known_as="", channel="", marks=(), unusual=False, version=0
    )
    return msgspec.structs.replace(plain, action=action, **fields)


class Run:
    """A book, and the state that takes in what it tells."""

    def __init__(self, actions: Sequence[Action]) -> None:
        self._actions = actions
        self._store, self._pending = MemoryStore(), MemoryPending()
        self._book = LabelBook(self._pending, Deadlines(SILENT_AFTER))
        self._extractor = OnlineExtractor(self._store)
        for number, tx in enumerate(PAID):
            self._extractor.open([sent(tx, number)], Encoding())
            self._extractor.look(tx)
            self._extractor.absorb(tx, Position("transactions", 0, number))
            self._extractor.close([])

    def take(self, event: Event) -> None:
        if isinstance(event, Label):
            match = self._book.match(event)
            self._apply([match] if match else [])
        elif event[0] == HOLD:
            self._apply(self._book.hold(decided(PAID[event[1]], self._actions[event[1]])))
        else:
            self._apply(self._book.expire(PAID[event[1]].happened_at + SILENT_AFTER).silent)

    def end(self) -> End:
        for number in range(len(PAID)):
            self.take((EXPIRE, number))
        items = msgspec.msgpack.decode(self._pending.snapshot(), type=PendingState).items
        items.sort(key=lambda item: item.tx_id)
        work = self._store.read([sent(PAID[0], 0)])
        card, merchant, device, pair = keys_of(PAID[0])
        rows = [work.entities.get(key) for key in (card, merchant, device)]
        counts = [counts_of(row) for row in (*rows, work.pairs.get(pair))]
        rings = [row[at.VERDICTS_AT : at.RING_AT] for row in rows]
        return End(items, counts, rings, dict(histories_of(self._store, [sent(tx, 0) for tx in PAID])))

    def _apply(self, matches: Sequence[Match]) -> None:
        for match in matches:
            for known in match.known:
                self._extractor.open([Arrival(known, Position("labels.known", 0, 0))], Encoding())
                self._extractor.apply(known, None)
                self._extractor.close([])


def ended(actions: Sequence[Action], events: Sequence[Event]) -> End:
    run = Run(actions)
    for event in events:
        run.take(event)
    return run.end()


LABELS = st.builds(
    label,
    st.integers(0, 1),
    st.sampled_from(LabelSource),
    st.sampled_from(Verdict),
    st.integers(0, 2),
    st.integers(1, 20),
)


@st.composite
def orders(draw: st.DrawFn) -> tuple[list[Action], list[Event], list[Event]]:
    """Draw what was done with each payment, its labels in one order, and in another with some said again."""
    actions = [draw(st.sampled_from([Action.APPROVE, Action.APPROVE, Action.DECLINE])) for _ in PAID]
    labels: list[Event] = list(draw(st.lists(LABELS, max_size=8)))
    held: list[Event] = [(HOLD, number) for number in range(len(PAID))]
    due: list[Event] = [(EXPIRE, number) for number in range(len(PAID))]
    again: list[Event] = list(draw(st.lists(st.sampled_from(labels), max_size=4))) if labels else []
    return actions, [*held, *labels], draw(st.permutations([*labels, *again, *held, *due]))


def agree(case: tuple[list[Action], list[Event], list[Event]]) -> None:
    actions, one, other = case
    assert ended(actions, one) == ended(actions, other)


@given(orders())
@settings(max_examples=150, deadline=None)
def test_any_order_and_repetition_of_labels_ends_in_the_same_state(
    case: tuple[list[Action], list[Event], list[Event]],
) -> None:
    agree(case)


def test_withdrawn_verdict_leaves_rows_as_they_were_without_it() -> None:
    """But for when the last verdict, and the last fraud, was."""
    said: list[Event] = [label(0, LabelSource.ANALYST, Verdict.FRAUD, 0, 3)]
    taken_back = label(0, LabelSource.ANALYST, Verdict.WITHDRAWN, 1, 5)
    refused = [Action.DECLINE, Action.DECLINE]
    held: list[Event] = [(HOLD, 0), (HOLD, 1)]
    plain, withdrawn = ended(refused, held), ended(refused, [*held, *said, taken_back])
    assert withdrawn[1:] == plain[1:]
    assert ended(refused, [*held, *said])[1:] != plain[1:]


# --- each of these faults is found -----------------------------------------------------------------------------------


def of_one_source(order: tuple[int, int]) -> tuple[list[Action], list[Event], list[Event]]:
    """Return a fraud and its withdrawal in order, and in another."""
    said: list[Event] = [
        label(0, LabelSource.CHARGEBACK, Verdict.FRAUD, 0, 9),
        label(0, LabelSource.CHARGEBACK, Verdict.GENUINE, 1, 3),
    ]
    held: list[Event] = [(HOLD, 0), (HOLD, 1)]
    return [Action.APPROVE, Action.APPROVE], [*held, *said], [*held, *(said[place] for place in order)]


def test_check_finds_a_book_in_which_the_last_label_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    agree(of_one_source((1, 0)))
    monkeypatch.setattr(module, "is_newer", lambda said, held: True)
    with pytest.raises(AssertionError):
        agree(of_one_source((1, 0)))


def test_check_finds_a_book_that_takes_repetitions_as_new(monkeypatch: pytest.MonkeyPatch) -> None:
    agree(of_one_source((0, 1)))
    monkeypatch.setattr(LabelBook, "_moved", lambda self, before, after, seen_at: (
        (module.known(after, new, None, seen_at),) if (new := self.standing(after)) else ()
    ))  # fmt: skip
    with pytest.raises(AssertionError):
        agree(of_one_source((1, 0)))


def test_check_finds_a_silence_that_outlives_a_withdrawal(monkeypatch: pytest.MonkeyPatch) -> None:
    said = label(0, LabelSource.ANALYST, Verdict.WITHDRAWN, 0, 3)
    held: list[Event] = [(HOLD, 0), (HOLD, 1)]
    case = [Action.APPROVE, Action.APPROVE], [*held, said], [*held, (EXPIRE, 1), said]
    agree(case)
    keep = msgspec.structs.replace

    def replaced(item: Pending, **fields: object) -> Pending:
        return keep(item, **{name: value for name, value in fields.items() if (name, value) != ("silent_at", 0)})

    monkeypatch.setattr(msgspec.structs, "replace", replaced)
    with pytest.raises(AssertionError):
        agree(case)
