"""Read the output: its end, to know which positions have been answered; and all of it, each effect exactly once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from fraud.core.errors import DataError
from fraud.core.records import Action, Answer, Position
from streaming.kafka.client import Place, Record
from streaming.kafka.topics import Topics, connected
from streaming.messages import envelope
from streaming.observe.odd_records import OddRecords
from streaming.settings import KafkaSection

POLL_MS = 200
BACK = 500
NONE = 2**63
MOST_IDS = 100_000
"""Alerts and dead letters that a reader remembers: what is published twice comes within minutes."""


def consumer(kafka: KafkaSection, **options: Any) -> Any:
    """Return a consumer that belongs to no group and sees committed messages only."""
    from kafka import KafkaConsumer

    given = {
        "enable_auto_commit": False,
        "isolation_level": "read_committed",
        "auto_offset_reset": "earliest",
        "fetch_max_wait_ms": 50,
        **options,
    }
    return connected(kafka, KafkaConsumer, given)


def records(kafka: KafkaSection, starts: Mapping[Place, int], **options: Any) -> Iterator[Any]:
    """Yield what stands in some partitions from given offsets up to their ends as they are now."""
    for piece in pieces(kafka, starts, **options):
        yield from piece


def pieces(kafka: KafkaSection, starts: Mapping[Place, int], **options: Any) -> Iterator[list[Any]]:
    """Yield the same, some hundred at a time; an empty piece says that there is more to wait for."""
    from kafka import TopicPartition

    reader = consumer(kafka, **options)
    try:
        begins = {TopicPartition(*partition): offset for partition, offset in starts.items()}
        reader.assign(list(begins))
        ends = reader.end_offsets(list(begins))
        first = reader.beginning_offsets(list(begins))
        for partition, offset in begins.items():
            # Beyond the end of a topic that was made anew: all that it holds is of since then.
            reader.seek(partition, offset if first[partition] <= offset <= ends[partition] else first[partition])
        while any(reader.position(partition) < ends[partition] for partition in begins):
            for partition, found in reader.poll(POLL_MS).items():
                yield [record for record in found if record.offset < ends[partition]]
            yield []
    finally:
        reader.close()


def first_offset(kafka: KafkaSection, place: Place) -> int:
    """Return the offset at which the log of a partition begins."""
    from kafka import TopicPartition

    reader = consumer(kafka)
    try:
        return int(reader.beginning_offsets([TopicPartition(*place)])[TopicPartition(*place)])
    finally:
        reader.close()


def begin_of(kafka: KafkaSection, output: Place, answered: tuple[str, int], before: int) -> int:
    """Return an offset of an output partition from which on stands every answer to what lies above a source offset.

    `answered` is the source's topic, as positions name it, and that offset; `before` an offset of the output at which
    later answers stand. Answers follow each other as their sources do, but for what a worker published that woke up
    late; so some hundred records are looked at, further and further back.
    """
    back = BACK
    while (start := max(before - back, 0)) > 0:
        if max(islice(sources(kafka, output, start, answered[0]), BACK), default=NONE) <= answered[1]:
            break
        back *= 4
    return start


def sources(kafka: KafkaSection, output: Place, start: int, topic: str) -> Iterator[int]:
    """Yield the source offsets of what answers a topic, from an offset of an output partition on."""
    for record in records(kafka, {output: start}, max_poll_records=BACK):
        position = source_of(record.headers)
        if position is not None and position.topic == topic:
            yield position.offset


class Answered(msgspec.Struct):
    """What the output says of one input partition: the offset after the last answered, and where the output ends."""

    resume: int = 0
    output: int = 0


class Decided(msgspec.Struct):
    """What is read of a decision to tell it from what is none, where nobody takes the answer."""

    tx_id: str
    action: Action


class Tail:
    """What the end of the output tells. `reached` says of each (output topic, partition) what has been answered."""

    def __init__(self, inputs: Mapping[Place, str], *, answers: str, applied: str, odd: OddRecords) -> None:
        """Take the input topic of each output partition, named with its id as positions do.

        `answers` is the topic of whose decisions the answers are taken, `""` for none, and `applied` that of labels.
        What speaks of another topic, deleted since, is left out. So is what cannot be read as what its topic holds: it
        answers nothing, whatever position it names; `odd` counts it.
        """
        self._inputs, self._answers, self._applied, self._odd = inputs, answers, applied, odd
        self.reached = {place: Answered() for place in inputs}

    def take(self, records: Iterable[Any]) -> list[Answer]:
        """Take in some records; return the first answers among them."""
        return [answer for record in records if (answer := self._take(record)) is not None]

    def _take(self, record: Any) -> Answer | None:
        place = record.topic, record.partition
        state = self.reached[place]
        state.output = max(state.output, record.offset + 1)
        position = source_of(record.headers)
        if position is not None and position.topic != self._inputs[place]:
            return None
        try:
            answer = self._read(record)
        except DataError:
            position = None
        if position is None or position.partition != record.partition:
            self._odd.skip(record.topic)
            return None
        state.resume = max(state.resume, position.offset + 1)
        return answer if answer is not None and answer.repeat_of is None else None

    def _read(self, record: Any) -> Answer | None:
        """Return the answer of a decision, if it is wanted; raise DataError for what its topic does not hold."""
        if record.topic == self._answers:
            return envelope.answer_in(record.value, record.headers)
        if record.topic == self._applied:
            envelope.known_in(record.value)
            return None
        try:
            msgspec.json.decode(record.value or b"", type=Decided)
        except envelope.UNREADABLE as error:
            msg = f"no decision: {error}"
            raise DataError(msg) from error
        return None


def source_of(headers: Iterable[tuple[str, bytes | None]]) -> Position | None:
    """Return the source position of a message, None when it names none."""
    value = envelope.header(headers, envelope.SOURCE)
    try:
        return envelope.position_in(value) if value is not None else None
    except DataError:
        return None


class Positions(msgspec.Struct, frozen=True):
    """Where a reader stands: what it keeps beside what it has done with all that it was given, to go on from there.

    `next` is the offset to read next of each output partition; `seen` the highest source offset accepted of each output
    topic, source topic and source partition; `ids` the newest alerts and dead letters, oldest first.
    """

    next: tuple[tuple[str, int, int], ...] = ()
    seen: tuple[tuple[str, str, int, int], ...] = ()
    ids: tuple[str, ...] = ()


class Identified(msgspec.Struct):
    """What is read of an alert to tell it from others."""

    id: str


class Once:
    """Tells which records of the output to accept, so that each effect is seen once though it was published twice.

    A decision or an applied label at or below the source offset that has been seen of its partition is dropped; an
    alert by its id; a dead letter by its source position. `foreign` counts what names no source and was dropped too.
    Labels that are known are published once, so all are accepted, as are the notes of letters driven in again.
    """

    def __init__(self, topics: Topics, positions: Positions | None = None) -> None:
        """Begin anew, or where another one stood."""
        kept = positions or Positions()
        self._topics = topics
        self._seen = {(output, topic, partition): offset for output, topic, partition, offset in kept.seen}
        self._ids = dict.fromkeys(kept.ids)
        self.foreign = 0

    def accepts(self, record: Record) -> bool:
        """Tell whether a record is new, and remember it."""
        if record.topic in (self._topics.decisions, self._topics.applied):
            return self._is_further(record.topic, source_of(record.headers))
        if record.topic == self._topics.alerts:
            return self._is_new(alert_id_in(record.value))
        if record.topic == self._topics.dead and (source := envelope.header(record.headers, envelope.SOURCE)):
            return self._is_new(source.decode(errors="replace"))
        return True

    def positions(self, offsets: Mapping[Place, int]) -> Positions:
        """Return where this one stands, with the offsets to read next."""
        return Positions(
            tuple((*place, offset) for place, offset in offsets.items()),
            tuple((*key, offset) for key, offset in self._seen.items()),
            tuple(self._ids),
        )

    def _is_further(self, output: str, source: Position | None) -> bool:
        if source is None:
            self.foreign += 1
            return False
        key = output, source.topic, source.partition
        if source.offset <= self._seen.get(key, -1):
            return False
        self._seen[key] = source.offset
        return True

    def _is_new(self, name: str | None) -> bool:
        if name is None:
            self.foreign += 1
            return False
        if name in self._ids:
            return False
        self._ids[name] = None
        if len(self._ids) > MOST_IDS:
            del self._ids[next(iter(self._ids))]
        return True


def alert_id_in(value: bytes | None) -> str | None:
    """Return the id of a published alert, None for a message that has none."""
    try:
        return msgspec.json.decode(value or b"", type=Identified).id
    except envelope.UNREADABLE:
        return None


class OutputReader:
    """Reads topics of the output as they grow, each effect exactly once.

    Whoever keeps `positions` together with what it did misses nothing and does nothing twice, also after a crash.
    """

    def __init__(self, consumer: Any, once: Once, offsets: Mapping[Place, int]) -> None:
        """Take a consumer that stands at these offsets of its partitions; see `open_output`."""
        self._consumer, self._once = consumer, once
        self._offsets = dict(offsets)

    def poll(self, wait_ms: int = POLL_MS) -> list[Any]:
        """Return what is new, in the order of each partition; empty when nothing came within `wait_ms`."""
        found: list[Any] = []
        for place, records in self._consumer.poll(wait_ms).items():
            found += [record for record in records if self._once.accepts(record)]
            self._offsets[place.topic, place.partition] = records[-1].offset + 1
        return found

    @property
    def positions(self) -> Positions:
        """Return where this reader stands: behind all that it has returned."""
        return self._once.positions(self._offsets)

    def close(self) -> None:
        """Release the consumer."""
        self._consumer.close()


def open_output(
    kafka: KafkaSection, names: Sequence[str], positions: Positions | None = None, *, at_end: bool = False
) -> OutputReader:
    """Return a reader of some topics that goes on at kept positions.

    What they do not name is read from its beginning, or with `at_end` from its end as it is now.
    """
    from kafka import TopicPartition

    reader = consumer(kafka)
    places = [TopicPartition(name, n) for name in names for n in sorted(reader.partitions_for_topic(name) or ())]
    reader.assign(places)
    begins = (reader.end_offsets if at_end else reader.beginning_offsets)(places)
    kept = {(topic, partition): offset for topic, partition, offset in (positions or Positions()).next}
    offsets = {(place.topic, place.partition): begins[place] for place in places} | kept
    for place in places:
        reader.seek(place, offsets[place.topic, place.partition])
    return OutputReader(reader, Once(Topics.of(kafka), positions), offsets)
