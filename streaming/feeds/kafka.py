"""The Feed and Outlet ports on Kafka, by kafka-python, which is imported when something is connected.

A feed belongs to no group: its reader keeps the offsets. It sees committed records only.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fraud.core.errors import SettingsError
from streaming import clock
from streaming.kafka import output_log
from streaming.kafka.client import Producer
from streaming.kafka.kafka_python import connect_producer
from streaming.kafka.source import need_onward
from streaming.kafka.topics import TopicWatch, ids, unconnected
from streaming.messages.bounds import taken
from streaming.messages.envelope import Outgoing
from streaming.messages.feed import MOST_RECORDS, Place, Record
from streaming.settings import KafkaSection

NOTICE_MS = 10_000
"""How often partitions that were added are looked for, in milliseconds."""
ENDS_MS = 5_000
"""How long a broker may take to say where partitions end, in milliseconds: whoever asks has other things to do."""
MILLISECOND_NS = 1_000_000


class KafkaFeed:
    """The Feed port over all partitions of some topics, those that are added later too."""

    def __init__(self, kafka: KafkaSection, topics: Sequence[str], notice_ms: int = NOTICE_MS) -> None:
        """Take the site and the names of its topics; `start` connects."""
        self._kafka, self._topics, self._notice_ms = kafka, tuple(topics), notice_ms
        self._consumer: Any = None
        self._next: dict[Place, int] = {}
        self._looked_at = 0
        self._ids: Mapping[str, str] = {}
        self._watch: TopicWatch | None = None

    def named(self) -> Mapping[str, str]:
        """Return each topic's name with its id; raise SettingsError when one does not exist or no broker answers."""
        self._ids = ids(self._kafka, self._topics)
        return {name: f"{name}@{self._ids[name]}" for name in self._topics}

    def start(self, offsets: Mapping[Place, int]) -> None:
        """Connect, and read each partition from the offset given, from its oldest record without one.

        Raises:
            SettingsError: when no broker answers or a topic does not exist.
        """
        self.close()
        if not self._ids:
            self.named()
        options = {"metadata_max_age_ms": self._notice_ms, "max_poll_records": MOST_RECORDS}
        self._consumer = output_log.consumer(self._kafka, allow_auto_create_topics=False, **options)
        if missing := [name for name in self._topics if not self._consumer.partitions_for_topic(name)]:
            self.close()
            msg = f"no topic {', '.join(missing)} at {self._kafka.bootstrap}: make them with 'fraud topics create'"
            raise SettingsError(msg)
        self._next = {}
        self._take(self._places(), offsets)
        self._watch = TopicWatch(self._kafka, self._ids)
        self._watch.begin()

    def poll(self, seconds: float) -> Sequence[Record]:
        """Return what is new, in order of each partition; wait up to `seconds` for the first of it."""
        if self._watch is not None:
            self._watch.swap()
        self._notice()
        found = self._consumer.poll(int(seconds * 1_000), max_records=MOST_RECORDS)
        for (topic, partition), several in found.items():
            need_onward((topic, partition), several, self._next.get((topic, partition), 0))
        records = [record_of(each) for several in found.values() for each in several]
        for each in records:
            self._next[each.topic, each.partition] = each.offset + 1
        return records

    def ends(self) -> Mapping[Place, int]:
        """Return the offset after the newest record of each partition; raise SettingsError when no broker answers."""
        from kafka.errors import KafkaError

        try:
            ends: dict[Place, int] = self._consumer.end_offsets(places_of(self._next), ENDS_MS)
        except KafkaError as error:
            raise unconnected(self._kafka, error) from error
        return {(topic, partition): end for (topic, partition), end in ends.items()}

    def close(self) -> None:
        """Leave the broker's connections."""
        consumer, self._consumer = self._consumer, None
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        if consumer is not None:
            consumer.close()

    def _notice(self) -> None:
        """Now and then look for partitions that were added; they begin at their oldest record."""
        now = clock.monotonic_ns()
        if now - self._looked_at < self._notice_ms * MILLISECOND_NS:
            return
        self._looked_at = now
        if (places := self._places()) - self._next.keys():
            self._take(places | self._next.keys(), {})

    def _places(self) -> set[Place]:
        return {(name, number) for name in self._topics for number in self._consumer.partitions_for_topic(name)}

    def _take(self, places: set[Place], offsets: Mapping[Place, int]) -> None:
        """Read these partitions: where they stand, new ones from the offset given where that is there."""
        new = places_of(places - self._next.keys())
        begins, ends = self._consumer.beginning_offsets(new), self._consumer.end_offsets(new)
        for place in new:
            wanted = offsets.get((place.topic, place.partition), -1)
            there = begins[place] <= wanted <= ends[place]
            self._next[place.topic, place.partition] = wanted if there else begins[place]
        taken = places_of(places)
        self._consumer.assign(taken)
        for place in taken:
            self._consumer.seek(place, self._next[place.topic, place.partition])


class KafkaOutlet:
    """The Outlet port over an idempotent producer: acknowledged is what all replicas in sync have."""

    def __init__(self, producer: Producer) -> None:
        """Take a connected producer; see `open_outlet`."""
        self._producer: Producer | None = producer

    def send(self, records: Sequence[Outgoing]) -> None:
        """Send records and wait until all are acknowledged; raise DeliveryError when one is not."""
        if (producer := self._producer) is None:
            msg = "this outlet is closed: open another one"
            raise ValueError(msg)
        sent = [producer.send(record) for record in records]
        producer.push()
        for each in sent:
            producer.wait(each)

    def close(self) -> None:
        """Leave the broker's connections."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close()


def open_outlet(kafka: KafkaSection) -> KafkaOutlet:
    """Return an outlet to a site's Kafka; raise SettingsError when no broker answers."""
    return KafkaOutlet(connect_producer(kafka))


def record_of(found: Any) -> Record:
    """Return a record of the client as ours; no key and no value are empty ones."""
    return Record(
        found.topic,
        found.partition,
        found.offset,
        found.key or b"",
        found.value or b"",
        taken(found.headers),
        found.timestamp * MILLISECOND_NS,
    )


def places_of(places: Any) -> list[Any]:
    """Return partitions in the client's own words, in order."""
    from kafka import TopicPartition

    return [TopicPartition(*place) for place in sorted(places)]
