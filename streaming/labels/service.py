"""The label book's process: decisions and labels in, labels that are known out, each exactly once.

One SQLite transaction holds what waits, the offsets consumed and the messages to be published, numbered. One Kafka
transaction then publishes messages and commits offsets with the number of the last one. After kill -9 the process
seeks to the offsets on disk, and publishes what lies above the number that Kafka knows: nothing is lost, nothing is
published twice.
"""

import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import FrameType

import msgspec

from fraud.core.errors import DeliveryError
from fraud.core.labels import Deadlines, LabelBook
from fraud.core.records import Answer, KnownLabel, Label, Position, Reject
from streaming import clock
from streaming.kafka.client import Commit, Consumer, Place, Producer, Record
from streaming.kafka.topics import Topics
from streaming.labels.pending import SqlitePending
from streaming.messages import envelope
from streaming.messages.codec import Codec
from streaming.messages.envelope import Outgoing
from streaming.observe.logs import Log
from streaming.observe.metrics import Health, Pages

WATERMARK = "watermark"
POLL_MS, MOST = 100, 2_000
COMMIT_NS = 1_000_000_000


class LabelJoiner:
    """The label book over a file: what comes in changes the file and fills its outbox."""

    def __init__(self, pending: SqlitePending, deadlines: Deadlines, topics: Topics) -> None:
        """Take the file; its content goes on where it was."""
        self._pending, self._topics = pending, topics
        self._book = LabelBook(pending, deadlines)
        self._watermark = pending.number(WATERMARK, 0)
        self.counts = {"decisions": 0, "labels": 0, "known": 0, "silent": 0, "dropped": 0, "rejected": 0}

    @property
    def unmatched(self) -> int:
        """Return how many labels came before or without their transaction."""
        return self._book.unmatched

    def decision(self, answer: Answer) -> None:
        """Hold a decision's vector for its verdict; one that was seen already, or repeats another, is dropped."""
        source = f"seen {answer.position.topic} {answer.position.partition}"
        if answer.position.offset <= self._pending.number(source):
            self.counts["dropped"] += 1
            return
        self._pending.set_number(source, answer.position.offset)
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
        self._pending.send(envelope.reject_out(reject, self._topics.dead))

    def _advance(self, now: int) -> None:
        """Move the stream's time, and let silence speak."""
        if now <= self._watermark:
            return
        self._watermark = now
        self._pending.set_number(WATERMARK, now)
        for match in self._book.expire(now):
            self.counts["silent"] += 1
            self._send(match.known)

    def _send(self, known: KnownLabel) -> None:
        self.counts["known"] += 1
        self._pending.send(envelope.known_out(known, self._topics.known))


class Seen(msgspec.Struct, frozen=True):
    """What a commit's metadata says: the number of the last message published."""

    seq: int = 0


class LabelLog:
    """The partitions that come in, with the offsets on disk, and the outbox that goes out.

    One Kafka transaction publishes the outbox and commits the offsets with the number of its last message.
    """

    def __init__(
        self, consumer: Consumer, producer: Producer, pending: SqlitePending, topics: Topics, ids: Mapping[str, str]
    ) -> None:
        """Take a consumer and a transactional producer, which fences another process of its name."""
        self._consumer, self._producer, self._pending = consumer, producer, pending
        self._topics, self._ids = topics, ids
        self._inputs: list[Place] = []
        self._seq = self._committed_at = 0

    def begin(self) -> None:
        """Seek to the offsets on disk, and forget what Kafka says was published."""
        self._inputs = self._consumer.assign((self._topics.decisions, self._topics.labels))
        for place in self._inputs:
            self._consumer.seek(place, self._pending.number(self._name(place), 0))
        self._seq = self._published()
        self._pending.sent(self._seq)
        self._pending.commit()

    def poll(self) -> Mapping[Place, Sequence[Record]]:
        """Return what is there."""
        return self._consumer.poll(POLL_MS, MOST)

    def taken(self, found: Mapping[Place, Sequence[Record]]) -> None:
        """Note how far was read, once all of it is taken in: durable with the file's next commit, as that is."""
        for place, records in found.items():
            self._pending.set_number(self._name(place), records[-1].offset + 1)

    def position(self, record: Record) -> Position:
        """Return where a record stands, its topic with the topic's id."""
        return Position(f"{record.topic}@{self._ids[record.topic]}", record.partition, record.offset)

    def publish(self) -> None:
        """Publish the outbox; commit now and then when there is nothing to publish.

        Raises:
            DeliveryError: when something was not acknowledged; it lies on disk.
        """
        waiting = self._pending.outbox(self._seq)
        now = clock.monotonic_ns()
        if not waiting and now - self._committed_at < COMMIT_NS:
            return
        self._committed_at = now
        while True:
            last = waiting[-1][0] if waiting else self._seq
            self._transaction([message for _, message in waiting], last)
            self._seq = last
            self._pending.sent(last)
            self._pending.commit()
            if not (waiting := self._pending.outbox(self._seq)):
                return

    def close(self) -> None:
        """Release the clients."""
        self._consumer.close()
        self._producer.close()

    def _transaction(self, messages: Sequence[Outgoing], last: int) -> None:
        try:
            self._producer.begin()
            for message in messages:
                self._producer.send(message)
            self._producer.end(self._commits(last), self._consumer.group())
        except DeliveryError as error:
            msg = f"{len(messages)} known labels were not published ({error.__cause__!r}): stopping; they lie on disk"
            raise DeliveryError(msg) from error

    def _commits(self, last: int) -> dict[Place, Commit]:
        text = msgspec.json.encode(Seen(last)).decode()
        return {place: Commit(max(self._pending.number(self._name(place), 0), 0), text) for place in self._inputs}

    def _published(self) -> int:
        """Return the number of the last message that Kafka knows of."""
        keeper = next(place for place in self._inputs if place[0] == self._topics.labels)
        commit = self._consumer.committed(keeper)
        try:
            return msgspec.json.decode(commit.metadata, type=Seen).seq if commit else 0
        except (msgspec.MsgspecError, ValueError):
            return 0

    def _name(self, place: Place) -> str:
        return f"next {place[0]}@{self._ids[place[0]]} {place[1]}"


class LabelService:
    """The label book on Kafka: one process, fenced by its transactional id, so that a second one ends the first."""

    def __init__(
        self,
        labels: LabelLog,
        codec: Codec,
        joiner: LabelJoiner,
        pending: SqlitePending,
        topics: Topics,
        log: Log,
        health: Health,
        pages: Pages | None,
        group: str,
    ) -> None:
        """Take the parts, which `streaming.service_wiring` puts together; `group` is told when it starts."""
        self._labels, self._codec, self._joiner = labels, codec, joiner
        self._pending, self._topics = pending, topics
        self._log, self._health, self._pages = log, health, pages
        self._group = group
        self._stopping = False

    def turn(self) -> int:
        """Take up what is there, make it durable, publish; return how many records there were."""
        found = self._labels.poll()
        for records in found.values():
            for record in records:
                self._take(record)
        self._labels.taken(found)
        self._pending.commit()
        self._labels.publish()
        return sum(map(len, found.values()))

    def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        self._log.say("started", http_port=self._pages.port if self._pages else None, group=self._group)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            while not self._stopping:
                self.turn()
                self._health.turn(())
        finally:
            self._log.say("stopped", **self._joiner.counts)
            self.close()

    def close(self) -> None:
        """Release clients, file and pages."""
        with ExitStack() as last:
            last.callback(self._labels.close)
            last.callback(self._pending.close)
            if self._pages:
                last.callback(self._pages.close)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Let `run` end after its turn."""
        del number, frame
        self._stopping = True

    def _take(self, record: Record) -> None:
        headers, value = tuple(record.headers), record.value or b""
        if record.topic == self._topics.decisions:
            self._joiner.decision(envelope.answer_in(value, headers))
            return
        message = envelope.unwrapped(value, headers)
        taken = self._codec.label(message, self._labels.position(record), clock.now_ns(), headers)
        if isinstance(taken, Reject):
            self._joiner.reject(taken)
        elif isinstance(taken.event, Label):
            self._joiner.label(taken.event)
