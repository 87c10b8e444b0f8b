"""What workers have taken in, read again from the topics: payments, and verdicts as they were applied."""

from collections.abc import Iterator, Mapping

from fraud.core.errors import DataError
from fraud.core.records import Arrival, Position, Reject
from streaming.kafka import output_log
from streaming.kafka.client import Commit, Place
from streaming.kafka.kafka_python import committed
from streaming.kafka.topics import Topics, described
from streaming.messages import envelope
from streaming.messages.bounds import taken
from streaming.messages.codec import Codec
from streaming.settings import KafkaSection


def partitions_of(kafka: KafkaSection, topic: str) -> list[Place]:
    """Return the partitions of a topic, none where it is not there."""
    found = described(kafka, [topic])
    return [(topic, each["partition_index"]) for each in found[topic]["partitions"]] if found else []


class InputLog:
    """The input topics of a site, partition by partition, in the order of each."""

    def __init__(self, kafka: KafkaSection, ids: Mapping[str, str], codec: Codec) -> None:
        """Take the ids of the input topics, and a codec that takes messages of any time."""
        self._kafka, self._ids, self._codec = kafka, ids, codec
        self._unread: dict[int, int] = {}
        self.topics = Topics.of(kafka)

    def committed(self) -> dict[Place, Commit | None]:
        """Return what the workers have committed for each input partition."""
        return committed(self._kafka, (self.topics.transactions, self.topics.known))

    def named(self, topic: str) -> str:
        """Return a topic's name with its id, as positions have it."""
        return f"{topic}@{self._ids[topic]}"

    def payments(self, partition: int, begin: int, end: int) -> Iterator[Arrival]:
        """Yield the payments of a partition from one offset to before another; what cannot be read is left out."""
        if begin >= end:
            return
        for record in output_log.records(self._kafka, {(self.topics.transactions, partition): begin}):
            if record.offset >= end:
                return
            position = Position(self.named(record.topic), partition, record.offset)
            value = envelope.unwrapped(record.value or b"", taken(record.headers))
            arrival = self._codec.transaction(value, position, record.timestamp * 1_000_000, ())
            if not isinstance(arrival, Reject):
                yield arrival

    def rejected(self) -> dict[int, set[int]]:
        """Return the offsets of today's payments that workers have refused, by partition: they are in no row.

        Some could be read later, as what was sent too far ahead of its time.
        """
        topic, found = self.named(self.topics.transactions), dict[int, set[int]]()
        starts = dict.fromkeys(partitions_of(self._kafka, self.topics.dead), 0)
        for record in output_log.records(self._kafka, starts) if starts else ():
            source = output_log.source_of(record.headers)
            if source is not None and source.topic == topic:
                found.setdefault(source.partition, set()).add(source.offset)
        return found

    def verdicts(self, partition: int, begin: int, end: int) -> Iterator[Arrival]:
        """Yield the applied verdicts that came from one offset to before another of today's topic.

        Spans of a partition are asked for in order: what lies before the first one left out is not read again.
        """
        if begin >= end:
            return
        for offset, arrival in self.applied(partition, self._unread.get(partition, 0)):
            source = arrival.position
            if source.topic != self.named(self.topics.known) or source.offset < begin:
                continue
            if source.offset >= end:
                self._unread[partition] = offset
                return
            yield arrival

    def applied(self, partition: int, begin: int = 0) -> Iterator[tuple[int, Arrival]]:
        """Yield all verdicts that workers have applied, under the position that they came from.

        Each comes with its offset in the topic of applied labels, which is read from `begin` on.
        """
        for record in output_log.records(self._kafka, {(self.topics.applied, partition): begin}):
            source = output_log.source_of(record.headers)
            try:
                label = envelope.known_in(record.value)
            except DataError:
                continue  # none of ours: no worker has applied it either
            if source is not None:
                yield record.offset, Arrival(self._codec.known(label), source)
