"""Fill an empty state store from the topics: what the workers have absorbed, absorbed again."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from features.extractor import OnlineExtractor
from fraud.core.errors import StateError
from fraud.core.records import Arrival, KnownLabel, Position, Reject, Transaction
from streaming.kafka import output_log
from streaming.kafka.offsets import mark_in
from streaming.kafka.topics import Topics, ids
from streaming.messages import envelope
from streaming.messages.codec import Codec, Limits
from streaming.settings import ServiceSettings, rates
from streaming.worker.service import open_store

BATCH = 256


class Rebuild:
    """One rebuilding. `total` is the number of records to be read.

    Payments first, then verdicts: rows depend on the set of both, not on their order. Each is applied under its own
    position, so the workers go on from their commits as if nothing had happened.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        """Connect, and look where the workers' commits stand.

        Raises:
            StateError: when the store is not empty.
        """
        self._kafka = settings.kafka
        self._topics = Topics.of(settings.kafka)
        self._ids = ids(settings.kafka, (self._topics.transactions, self._topics.known))
        self._codec = Codec(rates(settings), Limits(ahead=2**62))
        self._store = open_store(settings)
        if self._store.applied_offsets():
            msg = f"the store at {settings.store.url} is not empty: rebuild into an empty one, or empty it first"
            raise StateError(msg)
        self._births: set[str] = set()
        self._ends = self._committed()
        self.total = sum(self._ends.values())

    def run(self, step: Callable[[int], None]) -> dict[str, Any]:
        """Rebuild; return the last line's content. `step` is told the records done."""
        extractor = OnlineExtractor(self._store)
        done = 0
        arrivals = self._arrivals()
        while batch := list(islice(arrivals, BATCH)):
            extractor.open(batch)
            for arrival in batch:
                if isinstance(arrival.event, Transaction):
                    extractor.absorb(arrival.event, arrival.position)
                elif isinstance(arrival.event, KnownLabel):
                    extractor.apply(arrival.event, arrival.position)
            extractor.close([])
            done += len(batch)
            step(done)
        if self._births:
            self._store.take_over(max(self._births))
        self._store.close()
        return {"records": done}

    def _arrivals(self) -> Iterator[Arrival]:
        for record in self._read(self._topics.transactions, self._ends):
            position = Position(f"{record.topic}@{self._ids[record.topic]}", record.partition, record.offset)
            value = envelope.unwrapped(record.value or b"", record.headers)
            taken = self._codec.transaction(value, position, record.timestamp * 1_000_000, ())
            if not isinstance(taken, Reject):
                yield taken
        for record in self._read(self._topics.applied, {}):
            source = output_log.source_of(record.headers)
            if source is not None:
                yield Arrival(envelope.known_in(record.value), source)

    def _read(self, topic: str, ends: dict[int, int]) -> Iterator[Any]:
        partitions = sorted(self._ends)
        for record in output_log.records(self._kafka, {(topic, partition): 0 for partition in partitions}):
            if not ends or record.offset < ends[record.partition]:
                yield record

    def _committed(self) -> dict[int, int]:
        """Return, for each partition of transactions, the offset that the workers have committed."""
        from kafka import TopicPartition

        reader = output_log.consumer(self._kafka, group_id=self._kafka.group)
        try:
            numbers = sorted(reader.partitions_for_topic(self._topics.transactions))
            found = {n: reader.committed(TopicPartition(self._topics.transactions, n), metadata=True) for n in numbers}
            for each in found.values():
                if each is not None and (birth := mark_in(each.metadata, each.offset).birth):
                    self._births.add(birth)
            return {number: max(each.offset, 0) if each is not None else 0 for number, each in found.items()}
        finally:
            reader.close()
