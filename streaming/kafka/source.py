"""Records in: polled, stamped, decoded."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from fraud.core.records import Arrival, Intake, Level, Mark, Position, Reject
from streaming import clock
from streaming.kafka.client import Consumer, Place, Record
from streaming.kafka.topics import Topics
from streaming.messages import envelope
from streaming.messages.codec import Codec

IDLE_MS = 50

Records = Mapping[Place, Sequence[Record]]
ChooseLevel = Callable[[int], tuple[Level, tuple[Mark, ...]]]
"""From how long ago (ns) a batch's oldest transaction was sent: how much of the scorer runs, and the marks it gets."""


class RecordReader:
    """Turns records of `transactions` and `labels.known` into events, in the order in which they are taken up."""

    def __init__(
        self, consumer: Consumer, codec: Codec, topics: Topics, ids: Mapping[str, str], level: ChooseLevel, batch: int
    ) -> None:
        """Take a consumer, the ids of its topics, and how many records a read brings at most."""
        self._consumer, self._codec = consumer, codec
        self._topics, self._ids = topics, ids
        self._level, self._batch = level, batch
        self._seen_at = 0

    def poll(self) -> Records:
        """Return what is there, at most a batch, waiting a moment when nothing is; a rebalance happens in here."""
        return self._consumer.poll(IDLE_MS, self._batch)

    def intake(self, records: Records) -> Intake:
        """Return records as events, labels first, with the level that there is time for."""
        level, marks = self._level(age_of(records, self._topics.transactions))
        arrivals: list[Arrival] = []
        rejects: list[Reject] = []
        for record in in_order(records, self._topics):
            taken = self._take(record)
            if isinstance(taken, Reject):
                rejects.append(taken)
            elif marks or level is not Level.FULL:
                arrivals.append(msgspec.structs.replace(taken, level=level, marks=marks))
            else:
                arrivals.append(taken)
        return Intake(tuple(arrivals), tuple(rejects))

    def _take(self, record: Record) -> Arrival | Reject:
        """Stamp and decode one record; stamps rise strictly, so that they order a replay."""
        self._seen_at = seen_at = max(self._seen_at + 1, clock.now_ns())
        position = Position(f"{record.topic}@{self._ids[record.topic]}", record.partition, record.offset)
        headers = tuple(record.headers)
        value = record.value or b""
        if record.topic == self._topics.known:
            try:
                label = msgspec.structs.replace(envelope.known_in(value), seen_at=seen_at)
            except msgspec.MsgspecError as error:
                return Reject("json", f"no known label: {error}", value, position, headers, seen_at)
            return Arrival(label, position, headers)
        return self._codec.transaction(envelope.unwrapped(value, headers), position, seen_at, headers)


def in_order(records: Records, topics: Topics) -> list[Record]:
    """Return records in the order in which they are taken up: at the same moment labels come first."""
    wanted = topics.known, topics.transactions
    return [record for topic in wanted for place, found in records.items() if place[0] == topic for record in found]


def age_of(records: Records, topic: str) -> int:
    """Return how long ago the oldest of a topic's records was sent, in nanoseconds."""
    sent = [record.timestamp for place, found in records.items() if place[0] == topic for record in found]
    return max(clock.now_ns() - min(sent) * 1_000_000, 0) if sent else 0
