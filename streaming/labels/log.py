"""The label book's topics: partitions in, with offsets on disk; its outbox out; and what has been read to its end."""

from collections.abc import Mapping, Sequence

import msgspec

from fraud.core.errors import DeliveryError, StateError
from fraud.core.records import Position
from streaming import clock
from streaming.kafka.client import Commit, Consumer, Place, Producer, Record
from streaming.kafka.source import need_onward
from streaming.kafka.topics import Topics, TopicWatch, need_whole
from streaming.labels.pending import SqlitePending
from streaming.messages.envelope import Outgoing
from streaming.messages.times import to_text

POLL_MS, MOST = 100, 2_000
COMMIT_NS = 1_000_000_000
QUIET_NS = 5_000_000_000
"""A partition of which nothing came for so long is read to its end, whatever stands there that is no record."""


class Seen(msgspec.Struct, frozen=True):
    """What a commit's metadata says: the number of the last message published, and the birth of the file it is of."""

    seq: int = 0
    file: int = 0


class LabelLog:
    """The partitions that come in, with the offsets on disk, and the outbox that goes out.

    One Kafka transaction publishes the outbox and commits the offsets with the number of its last message and the
    file's birth: a file that is lost, or an older copy, is not taken for the one that goes on.
    """

    def __init__(
        self,
        consumer: Consumer,
        producer: Producer,
        pending: SqlitePending,
        topics: Topics,
        ids: Mapping[str, str],
        watch: TopicWatch | None = None,
    ) -> None:
        """Take a consumer and a transactional producer, which fences another process of its name.

        `watch` tells when a topic is no more the one of these ids.
        """
        self._consumer, self._producer, self._pending = consumer, producer, pending
        self._topics, self._ids, self._watch = topics, ids, watch
        self._inputs: list[Place] = []
        self._heard: dict[Place, int] = {}
        self._seq = self._committed_at = 0

    def begin(self, *, anew: bool = False) -> None:
        """Seek to the offsets on disk, and forget what Kafka says was published.

        With `anew`, a file that is lost is gone on without: the new one begins where Kafka's commits are.

        Raises:
            StateError: when the commits are of another file, or this is an older copy of theirs, or a log ends before
                where it was read up to.
        """
        self._inputs = self._consumer.assign((self._topics.decisions, self._topics.labels, self._topics.actions))
        seen = self._seen()
        if seen.file not in (0, self._pending.born):
            self._begin_anew(seen, anew=anew)
            seen = Seen()
        elif seen.seq > self._pending.last_sent():
            msg = (
                f"{self._pending.path} is an older copy: it has numbered {self._pending.last_sent()} messages, but "
                f"{seen.seq} are published; put the newest copy back, or remove it and run 'fraud learn --new-file'"
            )
            raise StateError(msg)
        spans = self._consumer.spans(self._inputs)
        for place in self._inputs:
            read = self._pending.number(self._name(place), 0)
            need_whole(place[0], place[1], read, spans[place])
            self._consumer.seek(place, read)
        if self._watch is not None:
            self._watch.begin()
        self._heard = dict.fromkeys(self._inputs, clock.monotonic_ns())
        self._seq = seen.seq
        self._pending.sent(self._seq)
        self._pending.commit()

    def poll(self) -> Mapping[Place, Sequence[Record]]:
        """Return what is there.

        Raises:
            TopicReplacedError: when a topic was made anew, or a log cut, since this began.
        """
        if self._watch is not None:
            self._watch.swap()
        found = self._consumer.poll(POLL_MS, MOST)
        for place, records in found.items():
            need_onward(place, records, self._pending.number(self._name(place), 0))
        return found

    def taken(self, found: Mapping[Place, Sequence[Record]]) -> None:
        """Note how far was read, once all of it is taken in: durable with the file's next commit, as that is."""
        for place, records in found.items():
            self._pending.set_number(self._name(place), records[-1].offset + 1)
            self._heard[place] = clock.monotonic_ns()

    def label_ends(self) -> dict[Place, int] | None:
        """Return where the partitions of `labels` end, None when that of one is not known yet."""
        ends = {place: self._consumer.end(place) for place in self._inputs if place[0] == self._topics.labels}
        return None if None in ends.values() else {place: end or 0 for place, end in ends.items()}

    def has_read(self, ends: Mapping[Place, int]) -> bool:
        """Tell whether some partitions have been read up to an offset, or to where nothing more comes."""
        now = clock.monotonic_ns()
        return all(
            self._pending.number(self._name(place), 0) >= end or now - self._heard[place] > QUIET_NS
            for place, end in ends.items()
        )

    def positions(self) -> dict[str, int]:
        """Return up to which offset labels were taken in, by their partition, named as positions name it."""
        return {
            f"{self._named(place)}/{place[1]}": self._pending.number(self._name(place), 0)
            for place in self._inputs
            if place[0] == self._topics.labels
        }

    def position(self, record: Record) -> Position:
        """Return where a record stands, its topic with the topic's id."""
        return Position(self._named((record.topic, record.partition)), record.partition, record.offset)

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
        if self._watch is not None:
            self._watch.close()
        self._consumer.close()
        self._producer.close()

    def _begin_anew(self, seen: Seen, *, anew: bool) -> None:
        """Take the offsets of Kafka's commits into a file that has none; refuse unless that is asked for."""
        if not anew:
            msg = (
                f"the label book's file is lost: {self._pending.path} was made at {to_text(self._pending.born)}, but "
                f"{seen.seq} messages are published of one made at {to_text(seen.file)}; put that back, or run "
                "'fraud learn --new-file' to go on without: verdicts on payments of before then find none"
            )
            raise StateError(msg)
        for place in self._inputs:
            if (commit := self._consumer.committed(place)) is not None:
                self._pending.set_number(self._name(place), commit.offset)

    def _transaction(self, messages: Sequence[Outgoing], last: int) -> None:
        try:
            self._producer.begin()
            for message in messages:
                self._producer.send(message)
            self._producer.end(self._commits(last), self._consumer.group())
        except DeliveryError as error:
            msg = f"{len(messages)} messages were not published ({error.__cause__!r}): stopping; they lie on disk"
            raise DeliveryError(msg) from error

    def _commits(self, last: int) -> dict[Place, Commit]:
        text = msgspec.json.encode(Seen(last, self._pending.born)).decode()
        return {place: Commit(max(self._pending.number(self._name(place), 0), 0), text) for place in self._inputs}

    def _seen(self) -> Seen:
        """Return what Kafka knows of what was published."""
        keeper = next(place for place in self._inputs if place[0] == self._topics.labels)
        commit = self._consumer.committed(keeper)
        try:
            return msgspec.json.decode(commit.metadata, type=Seen) if commit else Seen()
        except (msgspec.MsgspecError, ValueError):
            return Seen()

    def _name(self, place: Place) -> str:
        return f"next {self._named(place)} {place[1]}"

    def _named(self, place: Place) -> str:
        return f"{place[0]}@{self._ids[place[0]]}"


class Hearing:
    """Silence speaks only up to a time by which everything else was heard: `labels` is read to its end first."""

    def __init__(self, labels: LabelLog) -> None:
        """Take the topics."""
        self._labels = labels
        self._ends: dict[Place, int] | None = None
        self._until = 0

    def heard(self, watermark: int) -> int:
        """Return up to which time, `watermark` at most, all labels have been read; 0 while that is not known.

        Labels may come all the time: what is to be reached is where they ended when the time was noted.
        """
        if self._ends is None:
            self._ends, self._until = self._labels.label_ends(), watermark
        if self._ends is None or not self._labels.has_read(self._ends):
            return 0
        self._ends = None
        return self._until
