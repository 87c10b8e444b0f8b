"""The label book's process: decisions and labels in, labels that are known out, each exactly once.

One SQLite transaction holds what waits, the offsets consumed and the messages to be published, numbered. One Kafka
transaction then publishes messages and commits offsets with the number of the last one. After kill -9 the process
seeks to the offsets on disk, and publishes what lies above the number that Kafka knows: nothing is lost, nothing is
published twice.
"""

import signal
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

import msgspec

from fraud.core.errors import DeliveryError
from fraud.core.labels import Deadlines, LabelBook
from fraud.core.records import Answer, KnownLabel, Label, Position, Reject
from streaming import clock
from streaming.kafka.topics import Topics, await_topics, client_options, ids
from streaming.labels.pending import SqlitePending
from streaming.messages import envelope
from streaming.messages.codec import Codec
from streaming.observe.logs import Log
from streaming.observe.metrics import Health
from streaming.settings import KafkaSection

WATERMARK = "watermark"
POLL_MS, MOST = 100, 2_000
COMMIT_NS = 1_000_000_000


class LabelJoiner:
    """The label book over a disk room: what comes in changes the room and fills its outbox."""

    def __init__(self, room: SqlitePending, deadlines: Deadlines, topics: Topics) -> None:
        """Take the room; its content goes on where it was."""
        self._room, self._topics = room, topics
        self._book = LabelBook(room, deadlines)
        self._watermark = room.number(WATERMARK, 0)
        self.counts = {"decisions": 0, "labels": 0, "known": 0, "silent": 0, "dropped": 0, "rejected": 0}

    @property
    def unmatched(self) -> int:
        """Return how many labels came before or without their transaction."""
        return self._book.unmatched

    def decision(self, answer: Answer) -> None:
        """Hold a decision's vector for its verdict; one that was seen already, or repeats another, is dropped."""
        source = f"seen {answer.position.topic} {answer.position.partition}"
        if answer.position.offset <= self._room.number(source):
            self.counts["dropped"] += 1
            return
        self._room.set_number(source, answer.position.offset)
        if answer.repeat_of is not None:
            self.counts["dropped"] += 1
            return
        self.counts["decisions"] += 1
        self._advance(answer.decision.happened_at)
        if (match := self._book.hold(answer.decision, answer.vector)) is not None:
            self._send(match.known)

    def label(self, label: Label) -> None:
        """Join a verdict with its payment; what was not known before goes out."""
        self.counts["labels"] += 1
        if (match := self._book.match(label)) is not None:
            self._send(match.known)

    def reject(self, reject: Reject) -> None:
        """Send what could not be read to the dead letters."""
        self.counts["rejected"] += 1
        self._room.send(envelope.reject_out(reject, self._topics.dead))

    def _advance(self, now: int) -> None:
        """Move the stream's time, and let silence speak."""
        if now <= self._watermark:
            return
        self._watermark = now
        self._room.set_number(WATERMARK, now)
        for match in self._book.expire(now):
            self.counts["silent"] += 1
            self._send(match.known)

    def _send(self, known: KnownLabel) -> None:
        self.counts["known"] += 1
        self._room.send(envelope.known_out(known, self._topics.known))


class Seen(msgspec.Struct, frozen=True):
    """What a commit's metadata says: the number of the last message published."""

    seq: int = 0


class LabelService:
    """The desk on Kafka: one process, fenced by its transactional id, so that a second one ends the first."""

    def __init__(self, kafka: KafkaSection, codec: Codec, room: SqlitePending, deadlines: Deadlines) -> None:
        """Connect and seek to the offsets on disk.

        Raises:
            SettingsError: when no broker answers or a topic does not exist.
        """
        from kafka import TopicPartition

        self._kafka, self._codec, self._room = kafka, codec, room
        self.topics = Topics.of(kafka)
        self._ids = ids(kafka, (self.topics.decisions, self.topics.labels))
        self.desk = LabelJoiner(room, deadlines, self.topics)
        self._producer = self._make_producer()
        self._consumer = self._make_consumer()
        await_topics(self._consumer, (self.topics.decisions, self.topics.labels))
        inputs = [
            TopicPartition(topic, partition)
            for topic in (self.topics.decisions, self.topics.labels)
            for partition in sorted(self._consumer.partitions_for_topic(topic))
        ]
        self._keeper = next(one for one in inputs if one.topic == self.topics.labels)
        self._consumer.assign(inputs)
        for one in inputs:
            self._consumer.seek(one, room.number(self._name(one), 0))
        self._seq = self._published()
        room.sent(self._seq)
        room.commit()
        self._committed_at = 0
        self._stopping = False

    def turn(self) -> int:
        """Take up what is there, make it durable, publish; return how many records there were."""
        found = self._consumer.poll(POLL_MS, max_records=MOST)
        for partition, records in found.items():
            for record in records:
                self._take(record)
            self._room.set_number(self._name(partition), records[-1].offset + 1)
        self._room.commit()
        self._publish()
        return sum(map(len, found.values()))

    def stop(self) -> None:
        """Let `run` end after its turn."""
        self._stopping = True

    def run(self, health: Health, log: Log) -> None:
        """Turn until stopped."""
        try:
            while not self._stopping:
                self.turn()
                health.turn(())
        finally:
            log.say("stopped", **self.desk.counts)
            self.close()

    def close(self) -> None:
        """Release clients and file."""
        self._consumer.close(autocommit=False)
        self._producer.close(timeout=10)
        self._room.close()

    def _take(self, record: Any) -> None:
        headers, value = tuple(record.headers), record.value or b""
        if record.topic == self.topics.decisions:
            self.desk.decision(envelope.answer_in(value, headers))
            return
        position = Position(f"{record.topic}@{self._ids[record.topic]}", record.partition, record.offset)
        taken = self._codec.label(envelope.unwrapped(value, headers), position, clock.now_ns(), headers)
        if isinstance(taken, Reject):
            self.desk.reject(taken)
        elif isinstance(taken.event, Label):
            self.desk.label(taken.event)

    def _publish(self) -> None:
        """Publish the outbox and commit offsets with its last number, in one Kafka transaction."""
        from kafka.errors import KafkaError

        waiting = self._room.outbox(self._seq)
        now = clock.monotonic_ns()
        if not waiting and now - self._committed_at < COMMIT_NS:
            return
        self._committed_at = now
        try:
            while True:
                last = waiting[-1][0] if waiting else self._seq
                self._transaction([message for _, message in waiting], last)
                self._seq = last
                self._room.sent(last)
                self._room.commit()
                if not (waiting := self._room.outbox(self._seq)):
                    return
        except KafkaError as error:
            msg = f"{len(waiting)} known labels were not published ({error!r}): stopping; they lie on disk"
            raise DeliveryError(msg) from error

    def _transaction(self, messages: Sequence[envelope.Outgoing], last: int) -> None:
        producer = self._producer
        producer.begin_transaction()
        for message in messages:
            producer.send(message.topic, value=message.value, key=message.key, headers=list(message.headers))
        producer.send_offsets_to_transaction(self._offsets(last), self._consumer.group_metadata())
        producer.commit_transaction()

    def _offsets(self, last: int) -> Mapping[Any, Any]:
        from kafka.structs import OffsetAndMetadata

        text = msgspec.json.encode(Seen(last)).decode()
        return {
            one: OffsetAndMetadata(max(self._room.number(self._name(one), 0), 0), text, -1)
            for one in self._consumer.assignment()
        }

    def _published(self) -> int:
        """Return the number of the last message that Kafka knows of."""
        committed = self._consumer.committed(self._keeper, metadata=True)
        if committed is None or committed.offset < 0:
            return 0
        try:
            return msgspec.json.decode(committed.metadata, type=Seen).seq
        except (msgspec.MsgspecError, ValueError):
            return 0

    def _name(self, partition: Any) -> str:
        return f"next {partition.topic}@{self._ids[partition.topic]} {partition.partition}"

    def _make_producer(self) -> Any:
        from kafka import KafkaProducer

        options = {"acks": "all", "transactional_id": f"{self._kafka.group}-book", "retry_backoff_ms": 1}
        producer = KafkaProducer(**{**options, **client_options(self._kafka)})
        producer.init_transactions()
        return producer

    def _make_consumer(self) -> Any:
        from kafka import KafkaConsumer

        options: dict[str, Any] = {
            "group_id": f"{self._kafka.group}-book",
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "isolation_level": "read_committed",
            "allow_auto_create_topics": False,
            "fetch_max_wait_ms": 100,
        }
        return KafkaConsumer(**{**options, **client_options(self._kafka)})


def until_stopped(link: LabelService, health: Health, log: Log) -> None:
    """Run a desk until SIGTERM or SIGINT."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        link.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    link.run(health, log)
