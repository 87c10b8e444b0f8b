"""Records in: polled, stamped, decoded."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from fraud.core.errors import CardNumberError, DataError, TopicReplacedError
from fraud.core.records import Arrival, Intake, Level, Mark, Position, Reject
from streaming import clock
from streaming.kafka.client import Consumer, Place, Record
from streaming.kafka.topics import Topics
from streaming.messages import bounds, envelope
from streaming.messages.codec import Codec
from streaming.messages.faults import JSON, BadMessage
from streaming.messages.letters import refused
from streaming.observe.odd_records import OddRecords

IDLE_MS = 50
ASK_AGAIN_NS = 5_000_000
"""How old what the client knows of the ends of partitions may be: asking costs some microseconds a partition."""

Records = Mapping[Place, Sequence[Record]]
MILLISECOND_NS = 1_000_000


class Waiting(NamedTuple):
    """What waits when a batch is taken up.

    `records` are in it, `full` says that it could hold no more, `oldest` and `newest` are how long ago (ns) its
    transactions were sent, `behind` is how many records are known to wait behind it.
    """

    records: int
    full: bool = False
    oldest: int = 0
    newest: int = 0
    behind: int = 0

    @property
    def queue(self) -> int:
        """Return how many records wait behind the batch.

        What the client knows is as old as its last fetch, of which it may hold seconds. So a full batch is asked too:
        since its newest record as many came as its own pace says.
        """
        if not self.full:
            return self.behind
        return max(self.behind, self.records * self.newest // max(self.oldest - self.newest, MILLISECOND_NS))


class TimeBudget(Protocol):
    """What decides how much of the scorer there is time for."""

    def choose(self, waiting: Waiting) -> Level:
        """Return the level for a batch that is taken up now."""

    def late_before(self) -> int:
        """Return the time (ns since the epoch) before which sent was what comes too late if it is published now."""


class RecordReader:
    """Turns records of `transactions` and `labels.known` into events, in the order in which they are taken up."""

    def __init__(
        self, consumer: Consumer, codec: Codec, topics: Topics, ids: Mapping[str, str], budget: TimeBudget, batch: int,
        odd: OddRecords | None = None,
    ) -> None:  # fmt: skip
        """Take a consumer, the ids of its topics, and how many records a read brings at most.

        `odd` counts what is not taken as it came.
        """
        self._odd = odd or OddRecords()
        self._consumer, self._codec = consumer, codec
        self._topics, self._ids = topics, ids
        self._budget, self._batch = budget, batch
        self._seen_at = 0
        self._next: dict[Place, int] = {}
        self._ends: dict[Place, int] = {}
        self._asked_at = 0

    @property
    def transactions(self) -> str:
        """Return the topic of transactions."""
        return self._topics.transactions

    def poll(self) -> Records:
        """Return what is there, at most a batch, waiting a moment when nothing is; a rebalance happens in here."""
        return self._consumer.poll(IDLE_MS, self._batch)

    @property
    def backlog(self) -> int:
        """Return how many records are known to wait behind what was polled, as of the last batch."""
        return sum(max(end - self._next[place], 0) for place, end in self._ends.items())

    def begin(self, offsets: Mapping[Place, int]) -> None:
        """Note where partitions are read from, now that they were sought to."""
        self._next.update(offsets)

    def intake(self, records: Records, held: Collection[Place] = ()) -> Intake:
        """Return records as events, labels first, with the level that there is time for; `held` are our partitions.

        Raises:
            TopicReplacedError: when records of before come again: the log is not the one that was read.
        """
        for place, found in records.items():
            need_onward(place, found, self._next.get(place, 0))
        level = self._level(records, held)
        late_before = self._budget.late_before() // MILLISECOND_NS
        arrivals: list[Arrival] = []
        rejects: list[Reject] = []
        for record in in_order(records, self._topics):
            taken = self._take(record)
            if isinstance(taken, Reject):
                self._odd.refuse(taken)
                rejects.append(taken)
                continue
            marks = (Mark.OVERDUE,) if record.timestamp < late_before else ()
            if marks or level is not Level.FULL:
                taken = msgspec.structs.replace(taken, level=level, marks=marks)
            arrivals.append(taken)
        return Intake(tuple(arrivals), tuple(rejects))

    def _level(self, records: Records, held: Collection[Place]) -> Level:
        """Return the level for records that were polled."""
        self._next.update({place: found[-1].offset + 1 for place, found in records.items() if found})
        count = sum(map(len, records.values()))
        sent = sent_of(records, self._topics.transactions).values()
        if not sent:
            return Level.FULL
        now = clock.now_ns()
        if now - self._asked_at >= ASK_AGAIN_NS:
            self._asked_at, self._ends = now, self._known_ends(held)
        ages = max(now - min(sent), 0), max(now - max(sent), 0)
        return self._budget.choose(Waiting(count, count >= self._batch, *ages, self.backlog))

    def _known_ends(self, held: Collection[Place]) -> dict[Place, int]:
        """Return the end of each partition of ours that was read from, as the client last heard of it."""
        return {place: self._consumer.end(place) or 0 for place in self._next.keys() & set(held)}

    def _take(self, record: Record) -> Arrival | Reject:
        """Stamp and decode one record; stamps rise strictly, so that they order a replay."""
        self._seen_at = seen_at = max(self._seen_at + 1, clock.now_ns())
        position = Position(f"{record.topic}@{self._ids[record.topic]}", record.partition, record.offset)
        headers, value = bounds.taken(record.headers), record.value or b""
        if record.topic == self._topics.known:
            return self._known(value, position, seen_at, headers)
        taken = self._codec.transaction(envelope.unwrapped(value, headers), position, seen_at, headers)
        if isinstance(taken, Arrival):
            self._odd.take(taken, headers)
        return taken

    def _known(self, value: bytes, position: Position, seen_at: int, headers: bounds.Headers) -> Arrival | Reject:
        """Return a message of topic `labels.known` as an arrival that is seen now, or the reject that says why not."""
        try:
            label = self._codec.known(envelope.known_in(value))
        except (DataError, CardNumberError) as error:
            fault = error if isinstance(error, CardNumberError) else BadMessage(JSON, str(error))
            return refused(fault, value, position, headers, seen_at, self._codec.cards)
        return Arrival(msgspec.structs.replace(label, seen_at=seen_at), position)


def need_onward(place: Place, found: Sequence[Record], due: int) -> None:
    """Raise TopicReplacedError where a client went back by itself, as it does when its offset is beyond the end."""
    if found and found[0].offset < due:
        msg = (
            f"{place[0]} partition {place[1]} gave offset {found[0].offset} where {due} was due: its log was cut or "
            "the topic was made anew; the next start tells which"
        )
        raise TopicReplacedError(msg)


def in_order(records: Records, topics: Topics) -> list[Record]:
    """Return records in the order in which they are taken up: at the same moment labels come first."""
    wanted = topics.known, topics.transactions
    return [record for topic in wanted for place, found in records.items() if place[0] == topic for record in found]


def sent_of(records: Records, topic: str) -> dict[tuple[int, int], int]:
    """Return when each of a topic's records was sent (ns since the epoch), by partition and offset."""
    return {
        (place[1], record.offset): record.timestamp * MILLISECOND_NS
        for place, found in records.items()
        if place[0] == topic
        for record in found
    }
