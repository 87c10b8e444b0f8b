"""History as a stream: payments in the order of time, each label arriving after its delay."""

import heapq
from collections import deque
from collections.abc import Iterator, Sequence

from fraud.core.errors import DataError
from fraud.core.records import Answer, Arrival, Intake, Label, Position, Reject
from streaming.rows import Row

TRANSACTIONS, LABELS = "transactions", "labels"
WINDOW = 100_000
"""Rows within which a file may be out of order; it is sorted on the way, in memory bounded by this."""


def ordered(rows: Iterator[Row | Reject], window: int = WINDOW) -> Iterator[Row | Reject]:
    """Yield rows by time, rejects as they come; rows may be displaced by up to `window` rows.

    Raises:
        DataError: when a row is older than one already given out: sort the file first.
    """
    heap: list[tuple[int, int, Row]] = []
    last = 0
    for number, row in enumerate(rows):
        if isinstance(row, Reject):
            yield row
            continue
        heapq.heappush(heap, (row.tx.happened_at, number, row))
        if len(heap) > window:
            last = advance(last, heap[0][0], number)
            yield heapq.heappop(heap)[2]
    while heap:
        yield heapq.heappop(heap)[2]


def advance(last: int, now: int, number: int) -> int:
    """Return `now`; raise DataError when it lies before `last`."""
    if now < last:
        msg = f"row {number + 1} is older than one {WINDOW} rows before it: sort the file by time first"
        raise DataError(msg)
    return now


def history(rows: Iterator[Row | Reject], delay: int | None) -> Iterator[Arrival | Reject]:
    """Yield payments by time, and each label `delay` nanoseconds after its payment (None: no labels).

    A label comes before payments of the same instant. Offsets count within each of the two topics.
    """
    waiting: deque[tuple[int, Label]] = deque()
    payments = labels = 0
    for row in rows:
        if isinstance(row, Reject):
            yield row
            continue
        while waiting and waiting[0][0] <= row.tx.happened_at:
            yield Arrival(waiting.popleft()[1], Position(LABELS, 0, labels))
            labels += 1
        yield Arrival(row.tx, Position(TRANSACTIONS, 0, payments))
        payments += 1
        if delay is not None and row.verdict is not None:
            due = row.tx.happened_at + delay
            waiting.append((due, Label(tx_id=row.tx.id, verdict=row.verdict, happened_at=due, seen_at=due)))
    for _, label in waiting:
        yield Arrival(label, Position(LABELS, 0, labels))
        labels += 1


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
