"""A source of simulated traffic: transactions and their late labels, in the order in which they become known.

It reads no clock: as fast as it is read, or paced by the clock that it is handed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from fraud.core.records import Answer, Arrival, Intake, Label, Position, Transaction
from fraud.simulate.traffic import Traffic

TRANSACTIONS = "transactions"
LABELS = "labels"
_NAP = 50_000_000


@dataclass(frozen=True, slots=True)
class Pace:
    """Real time: `speed` simulated seconds pass in one second of the clock, from instant `since` on.

    What was seen before `since` (UTC ns of the stream) comes at once, as warm history. `now` returns ns of a clock
    that never goes back; `sleep` waits that many seconds.
    """

    now: Callable[[], int]
    sleep: Callable[[float], None]
    speed: float
    since: int = 0


class SimulatedSource:
    """Traffic behind the `Source` port, in the order of `seen_at`; at the same instant labels come first.

    Transactions and labels have a topic each; an event's offset is its place in that topic.
    """

    def __init__(
        self, traffic: Traffic, *, delay: int | None = None, batch: int = 256, pace: Pace | None = None
    ) -> None:
        """Stand before the first event; `delay` (ns) is that of the labels, None for the traffic's own."""
        self._arrivals = merge(traffic, delay)
        self._batch = batch
        self._pace = pace
        self._next: Arrival | None = None
        self._origin: int | None = None

    def read(self) -> Intake | None:
        """Return up to a batch, empty when nothing is due yet, None at the end.

        A paced source that is read too early naps (a twentieth of a second at most) and returns what is due then.
        """
        if self._pace is None:
            arrivals = tuple(islice(self._arrivals, self._batch))
            return Intake(arrivals) if arrivals else None
        return self._read_paced(self._pace)

    def commit(self, answers: Sequence[Answer]) -> None:
        """Do nothing: simulated traffic begins anew with its seed."""

    def close(self) -> None:
        """End the stream."""
        self._arrivals = iter(())
        self._next = None

    def _read_paced(self, pace: Pace) -> Intake | None:
        self._next = self._next or next(self._arrivals, None)
        if self._next is None:
            return None
        early = _seen(self._next) - self._due(pace)
        if early > 0:
            pace.sleep(min(early / pace.speed, _NAP) / 1e9)
        return Intake(tuple(self._take(self._due(pace))))

    def _due(self, pace: Pace) -> int:
        """Return the stream's instant that the clock has reached; it starts at `since` with the first live event."""
        if self._next is not None and _seen(self._next) < pace.since:
            return pace.since - 1
        if self._origin is None:
            self._origin = pace.now()
        return pace.since + int((pace.now() - self._origin) * pace.speed)

    def _take(self, due: int) -> Iterator[Arrival]:
        for _ in range(self._batch):
            if self._next is None or _seen(self._next) > due:
                return
            yield self._next
            self._next = next(self._arrivals, None)


def merge(traffic: Traffic, delay: int | None = None) -> Iterator[Arrival]:
    """Yield transactions and labels in the order of `seen_at`, labels first at the same instant."""
    verdicts = traffic.verdicts(delay)
    transactions, labels = traffic.transactions(), traffic.labels(delay)
    is_label = np.repeat([True, False], [len(verdicts), len(traffic)])
    order = np.argsort(np.concatenate([verdicts.seen_at, traffic.seen_at]), kind="stable")
    offsets = {True: iter(range(len(verdicts))), False: iter(range(len(traffic)))}
    for label in is_label[order].tolist():
        event: Transaction | Label = next(labels) if label else next(transactions)
        yield Arrival(event, Position(LABELS if label else TRANSACTIONS, 0, next(offsets[label])))


def _seen(arrival: Arrival) -> int:
    """Return when an arrival became known."""
    return arrival.event.seen_at
