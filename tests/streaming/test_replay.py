"""A history comes in order of time, labels after their delay, the same for every batch size."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.core.errors import DataError
from fraud.core.records import Arrival, Label, LabelSource, Position, Reject, Transaction, Verdict
from streaming.files.values.rows import Row
from streaming.replay.history import HistorySource, TimeQueue, history, ordered, told

BAD = Reject("card", "row 1: no card", b"x", Position("f", 0, 0))


def row(time: int, number: int = 0, verdict: Verdict | None = Verdict.GENUINE, known_at: int | None = None) -> Row:
    tx = Transaction(id=f"t{number}", card="c", merchant="m", amount=1, base_amount=1, happened_at=time, seen_at=time)
    return Row(tx, verdict, "", known_at)


def rows_at(times: list[int | None]) -> Iterator[Row | Reject]:
    return iter([BAD if time is None else row(time, number) for number, time in enumerate(times)])


def events(times: list[int | None], delay: int | None, batch: int = 3, skip: int = 0) -> list[Arrival | Reject]:
    source = HistorySource(history(ordered(rows_at(times)), delay), batch, skip)
    found: list[Arrival | Reject] = []
    while (intake := source.read()) is not None:
        assert len(intake.arrivals) + len(intake.rejects) <= batch
        found += [*intake.arrivals, *intake.rejects]
    return found


def shape(arrivals: list[Arrival | Reject]) -> list[tuple[str, int]]:
    found = []
    for arrival in arrivals:
        assert isinstance(arrival, Arrival)
        assert isinstance(arrival.event, Transaction | Label)
        found.append((type(arrival.event).__name__, arrival.event.seen_at))
    return found


TIMES: st.SearchStrategy[list[int | None]] = st.lists(st.none() | st.integers(0, 30), max_size=40)
DELAYS = st.none() | st.integers(0, 20)


def test_history_puts_a_label_before_payments_of_the_same_instant() -> None:
    assert shape(events([0, 5, 5, 6], 5)) == [
        ("Transaction", 0),
        ("Label", 5),
        ("Transaction", 5),
        ("Transaction", 5),
        ("Transaction", 6),
        ("Label", 10),
        ("Label", 10),
        ("Label", 11),
    ]


def test_history_without_delay_gives_no_labels() -> None:
    assert [name for name, _ in shape(events([0, 5], None))] == ["Transaction", "Transaction"]


def test_history_with_delay_zero_gives_a_label_after_its_own_payment() -> None:
    assert [name for name, _ in shape(events([0, 0], 0))] == ["Transaction", "Label", "Transaction", "Label"]


def test_history_with_a_time_of_the_label_uses_it_but_never_before_the_payment() -> None:
    rows: list[Row | Reject] = [row(0, 0, known_at=9), row(1, 1, known_at=0), row(2, 2, None, known_at=3)]
    assert shape(list(history(iter(rows), 100))) == [
        ("Transaction", 0),
        ("Transaction", 1),
        ("Label", 1),
        ("Transaction", 2),
        ("Label", 9),
    ]


@given(TIMES, DELAYS)
def test_history_is_in_order_complete_and_counted(times: list[int | None], delay: int | None) -> None:
    found = events(times, delay)
    arrivals = [item for item in found if isinstance(item, Arrival)]
    seen = [at for _, at in shape(list(arrivals))]
    payments = [time for time in times if time is not None]
    assert seen == sorted(seen)
    assert len(found) - len(arrivals) == times.count(None)
    assert len(arrivals) == len(payments) * (1 if delay is None else 2)
    for topic in ("transactions", "labels"):
        offsets = [item.position.offset for item in arrivals if item.position.topic == topic]
        assert offsets == list(range(len(offsets)))


@given(TIMES, DELAYS, st.integers(1, 50))
def test_history_is_the_same_for_any_batch(times: list[int | None], delay: int | None, batch: int) -> None:
    whole, parted = events(times, delay, 1000), events(times, delay, batch)
    for kind in (Arrival, Reject):
        assert [item for item in whole if isinstance(item, kind)] == [item for item in parted if isinstance(item, kind)]


@given(TIMES, DELAYS, st.integers(0, 30))
def test_history_resumed_gives_the_rest(times: list[int | None], delay: int | None, skip: int) -> None:
    assert events(times, delay, 1, skip) == events(times, delay, 1)[skip:]


def label(seen_at: int, name: str) -> Label:
    return Label(tx_id=name, verdict=Verdict.FRAUD, happened_at=0, seen_at=seen_at, source=LabelSource.ANALYST)


def test_told_labels_come_when_they_were_seen_before_payments_of_that_instant() -> None:
    labels = [label(0, "t9"), label(5, "t0"), label(5, "t1"), label(9, "t1")]
    found = list(told(rows_at([0, None, 5, 6]), labels))
    assert found[2] is BAD
    assert [item.event for item in found if isinstance(item, Arrival) and isinstance(item.event, Label)] == labels
    assert shape([item for item in found if item is not BAD]) == [
        ("Label", 0),
        ("Transaction", 0),
        ("Label", 5),
        ("Label", 5),
        ("Transaction", 5),
        ("Transaction", 6),
        ("Label", 9),
    ]


@given(TIMES, st.lists(st.integers(0, 40)))
def test_told_is_in_order_complete_and_counted(times: list[int | None], seen: list[int]) -> None:
    labels = [label(at, f"l{number}") for number, at in enumerate(sorted(seen))]
    found = list(told(ordered(rows_at(times)), labels))
    arrivals = [item for item in found if isinstance(item, Arrival)]
    assert [at for _, at in shape(list(arrivals))] == sorted([*seen, *(time for time in times if time is not None)])
    assert len(found) - len(arrivals) == times.count(None)
    for topic, many in (("labels", len(seen)), ("transactions", len(times) - times.count(None))):
        offsets = [item.position.offset for item in arrivals if item.position.topic == topic]
        assert offsets == list(range(many))


def test_spread_varies_delays_evenly_and_tells_half_of_the_genuine_by_silence() -> None:
    many, delay = 4_000, 1_000_000
    rows = [row(n, n, Verdict.FRAUD if n % 4 == 0 else Verdict.GENUINE) for n in range(many)]
    found = [item for item in history(iter(rows), delay, 0.3) if isinstance(item, Arrival)]
    labels = [item.event for item in found if isinstance(item.event, Label)]
    late = np.array([label.happened_at - int(label.tx_id[1:]) for label in labels])
    assert len(labels) == many
    assert [label.seen_at for label in labels] == sorted(label.seen_at for label in labels)
    assert 700_000 <= late.min() < 710_000 < 1_290_000 < late.max() <= 1_300_000
    assert late.mean() == pytest.approx(delay, rel=0.01)
    silent = {label.tx_id for label in labels if label.source is LabelSource.SILENCE}
    genuine = {label.tx_id for label in labels if label.verdict is Verdict.GENUINE}
    assert silent < genuine
    assert len(silent) / len(genuine) == pytest.approx(0.5, abs=0.03)
    assert found == list(history(iter(rows), delay, 0.3))


def test_spread_leaves_the_times_that_the_file_tells() -> None:
    labels = [item.event for item in history(iter([row(0, 0, known_at=50)]), 10, 0.3) if isinstance(item, Arrival)]
    assert isinstance(labels[1], Label)
    assert (labels[1].happened_at, labels[1].source) == (50, LabelSource.CHARGEBACK)


@given(st.lists(st.integers(0, 9)), st.data())
def test_queue_gives_items_as_a_stable_sort_would(times: list[int], data: st.DataObject) -> None:
    queue: TimeQueue[int] = TimeQueue()
    for number, time in enumerate(times):
        queue.push(time, number)
    now = data.draw(st.integers(0, 9))
    assert queue.due(now) == any(time <= now for time in times)
    found = [queue.pop() for _ in range(len(queue))]
    assert found == sorted((time, number) for number, time in enumerate(times))


def test_rows_out_of_order_within_the_window_are_sorted() -> None:
    rows = ordered(iter([row(3, 0), row(1, 1), row(2, 2), row(1, 3)]), window=3)
    assert [item.tx.id for item in rows if isinstance(item, Row)] == ["t1", "t3", "t2", "t0"]


def test_rows_further_out_of_order_are_refused_with_their_number() -> None:
    with pytest.raises(DataError, match=r"row 4 \(t3\) is of 1970-01-01T00:00:00.0+1Z, .* sort the file"):
        list(ordered(iter([row(3, 0), row(2, 1), row(4, 2), row(1, 3)]), window=1))
