"""History as a stream: payments in the order of time, each label arriving after its delay."""

import hashlib
import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import Generic, TypeVar

import msgspec

from fraud.core.errors import DataError
from fraud.core.records import (
    Answer,
    Arrival,
    Intake,
    Label,
    LabelSource,
    Level,
    Position,
    Reject,
    Transaction,
    Verdict,
)
from streaming.files.values.rows import Row
from streaming.messages.times import to_text

TRANSACTIONS, LABELS = "transactions", "labels"
WINDOW = 100_000
"""Rows within which a file may be out of order; it is sorted on the way, in memory bounded by this."""

T = TypeVar("T")


class TimeQueue(Generic[T]):
    """A queue by time, first in first out at the same instant; cheap while items come in order."""

    def __init__(self) -> None:
        """Start empty."""
        self._run: deque[tuple[int, int, T]] = deque()
        self._heap: list[tuple[int, int, T]] = []
        self._count = 0

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._run) + len(self._heap)

    def push(self, time: int, item: T) -> None:
        """Add an item."""
        self._count += 1
        if not self._run or self._run[-1][0] <= time:
            self._run.append((time, self._count, item))
        else:
            heapq.heappush(self._heap, (time, self._count, item))

    def pop(self) -> tuple[int, T]:
        """Take the earliest item, with its time."""
        run, heap = self._run, self._heap
        if not heap or (run and run[0][:2] < heap[0][:2]):
            time, _, item = run.popleft()
        else:
            time, _, item = heapq.heappop(heap)
        return time, item

    def due(self, now: int) -> bool:
        """Tell whether the earliest item is at `now` or before."""
        return bool((self._run and self._run[0][0] <= now) or (self._heap and self._heap[0][0] <= now))


def ordered(rows: Iterator[Row | Reject], window: int = WINDOW) -> Iterator[Row | Reject]:
    """Yield rows by time, those of the same instant in their order; rejects as they come.

    Rows may be displaced by up to `window` rows.

    Raises:
        DataError: when a row is older than one already given out: sort the file first.
    """
    queue: TimeQueue[Row] = TimeQueue()
    last = 0
    for number, row in enumerate(rows, 1):
        if isinstance(row, Reject):
            yield row
            continue
        time = row.tx.happened_at
        if time < last:
            msg = (
                f"row {number} ({row.tx.id}) is of {to_text(time)}, but one of {to_text(last)} stands more than "
                f"{window} rows before it: sort the file by time first"
            )
            raise DataError(msg)
        queue.push(time, row)
        if len(queue) > window:
            last, earliest = queue.pop()
            yield earliest
    while queue:
        yield queue.pop()[1]


def history(rows: Iterator[Row | Reject], delay: int | None, spread: float = 0.0) -> Iterator[Arrival | Reject]:
    """Yield payments by time, and each label `delay` nanoseconds after its payment (None: no labels).

    Where the file says when a label was known, that time counts instead, but never one before the payment. A label
    comes before payments of the same instant. Offsets count within each of the two topics. A `spread` varies delays
    and sources, see `varied`.
    """
    waiting: TimeQueue[Label] = TimeQueue()
    payments = labels = 0
    for row in rows:
        if isinstance(row, Reject):
            yield row
            continue
        tx = row.tx
        while waiting.due(tx.happened_at):
            yield Arrival(waiting.pop()[1], Position(LABELS, 0, labels))
            labels += 1
        yield Arrival(tx, Position(TRANSACTIONS, 0, payments))
        payments += 1
        if delay is not None and row.verdict is not None:
            due = tx.happened_at + delay if row.known_at is None else max(row.known_at, tx.happened_at)
            label = Label(tx_id=tx.id, verdict=row.verdict, happened_at=due, seen_at=due)
            if spread and row.known_at is None:
                label = varied(label, tx.happened_at, delay, spread)
            waiting.push(label.happened_at, label)
    while waiting:
        yield Arrival(waiting.pop()[1], Position(LABELS, 0, labels))
        labels += 1


def told(rows: Iterator[Row | Reject], labels: Iterable[Label]) -> Iterator[Arrival | Reject]:
    """Yield payments by time, and among them `labels`, which are in the order of `seen_at`, each at that time.

    A label comes before payments of the same instant. What the file of payments says of verdicts is left alone.
    """
    waiting = iter(labels)
    label = next(waiting, None)
    payments, told = count(), count()
    for row in rows:
        if isinstance(row, Reject):
            yield row
            continue
        while label is not None and label.seen_at <= row.tx.happened_at:
            yield Arrival(label, Position(LABELS, 0, next(told)))
            label = next(waiting, None)
        yield Arrival(row.tx, Position(TRANSACTIONS, 0, next(payments)))
    while label is not None:
        yield Arrival(label, Position(LABELS, 0, next(told)))
        label = next(waiting, None)


def by_rules(events: Iterator[Arrival | Reject], until: int) -> Iterator[Arrival | Reject]:
    """Yield events, payments made before `until` (ns UTC) to be decided by rules alone, as before there was a model."""
    for event in events:
        if until and isinstance(event, Arrival) and isinstance(event.event, Transaction):
            early = event.event.happened_at < until
            yield msgspec.structs.replace(event, level=Level.RULES) if early else event
        else:
            yield event


def varied(label: Label, paid_at: int, delay: int, spread: float) -> Label:
    """Return a label that comes between `delay * (1 - spread)` and `delay * (1 + spread)` after its payment, evenly.

    Half of the genuine ones are told by silence. A hash of the id decides both, so a history is always varied the same.
    For training on data whose labels all take one time, lest a model learn that time in place of what a verdict means.
    """
    draw = hashlib.blake2b(label.tx_id.encode(), digest_size=8).digest()
    share = int.from_bytes(draw[:6]) / 2**48
    due = paid_at + round(delay * (1 + spread * (2 * share - 1)))
    silent = label.verdict is Verdict.GENUINE and draw[6] % 2 == 0
    source = LabelSource.SILENCE if silent else label.source
    return msgspec.structs.replace(label, happened_at=due, seen_at=due, source=source)


class HistorySource:
    """The Source port over a history, in batches; where it stands is the number of items read."""

    def __init__(self, events: Iterator[Arrival | Reject], batch: int = 32, skip: int = 0) -> None:
        """Stand behind the first `skip` items."""
        self._events = events
        self._batch = batch
        self._skip = skip
        self.read_items = 0

    def read(self) -> Intake | None:
        """Return up to a batch, None at the end."""
        while self.read_items < self._skip and next(self._events, None) is not None:
            self.read_items += 1
        arrivals: list[Arrival] = []
        rejects: list[Reject] = []
        for item in self._events:
            self.read_items += 1
            (arrivals if isinstance(item, Arrival) else rejects).append(item)  # type: ignore[arg-type]
            if len(arrivals) + len(rejects) >= self._batch:
                break
        return Intake(tuple(arrivals), tuple(rejects)) if arrivals or rejects else None

    def commit(self, answers: Sequence[Answer]) -> None:
        """Do nothing: a history is read again from its beginning, or from a snapshot's position."""

    def close(self) -> None:
        """Let the file go."""
        self._events = iter(())
