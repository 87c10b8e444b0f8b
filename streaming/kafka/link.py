"""Source and sink on Kafka: drains what is there, publishes in order, commits behind.

The delivery protocol stands in ARCHITECTURE.md. In short: the state store gives each position one answer; the sink
waits for every acknowledgement, alerts before decisions; offsets are committed behind, with the position from which
the store's promise must be made good again; at an assignment the end of the output tells what has been published.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from fraud.core.errors import DeliveryError, StateError, StoreRestartedError, StoreUnavailableError
from fraud.core.records import Answer, Arrival, Intake, KnownLabel, Level, Position, Reject
from streaming import clock
from streaming.kafka import output_log
from streaming.kafka.model_pointer import Pointer
from streaming.kafka.offsets import Mark, Track, mark_in
from streaming.kafka.topics import Topics, await_topics, client_options, ids
from streaming.messages import envelope
from streaming.messages.codec import Codec
from streaming.observe.stages import Watch
from streaming.settings import KafkaSection
from streaming.worker.deadlines import Ladder

IDLE_MS = 50
METADATA_MS = 5_000
ACK_SECONDS = 30.0
SETTLED = 16
FAST, TRANSACTIONAL = "fast", "transactional"


class Recoverable(Protocol):
    """What the link asks of a state store beside its port. `birth` names the state, another one when it was lost."""

    birth: str

    def put_answers(self, answers: Sequence[Answer]) -> None:
        """Make published answers the first ones again where they are lost."""

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        """Let the first answers to (transaction id, version) age: their offsets are committed."""


class Link(msgspec.Struct, frozen=True):
    """What a link is made with. `member` is the worker's lasting name, so that its restart is no rebalance."""

    kafka: KafkaSection
    codec: Codec
    store: Recoverable
    member: str
    batch: int
    durable_after: int
    ladder: Ladder
    watch: Watch
    pointer: Pointer | None = None


class InFlight(msgspec.Struct):
    """What was sent and is not known to be acknowledged: messages, and what is done with once they are.

    `acked_at` is set by the client's own thread (monotonic ns, 0 while the last message is under way).
    """

    others: list[Any] = []
    decisions: list[tuple[Any, tuple[str, int]]] = []
    sent_at: int = 0
    acked_at: int = 0
    read: dict[tuple[str, int], int] = {}
    answers: list[Answer] = []


class KafkaLink:
    """The Source and Sink ports on one consumer and one producer.

    One batch may be under way to the broker while the next is worked on: the store has its answers already, and nothing
    is noted as done, so nothing committed, before it has been acknowledged.
    """

    def __init__(self, link: Link) -> None:
        """Connect; partitions come with the first reads.

        Raises:
            SettingsError: when no broker answers or a topic does not exist.
        """
        self._link = link
        self._kafka = link.kafka
        self.topics = Topics.of(link.kafka)
        self._ids = ids(link.kafka, (self.topics.transactions, self.topics.known))
        self._outputs = {
            self.topics.transactions: self.topics.decisions,
            self.topics.known: self.topics.applied,
        }
        self._tracks: dict[tuple[str, int], Track] = {}
        self._fresh: set[tuple[str, int]] = set()
        self._read: dict[tuple[str, int], int] = {}
        self._applied: list[Arrival] = []
        self._unsettled: list[tuple[tuple[str, int], tuple[str, int]]] = []
        self._covered: deque[tuple[str, int]] = deque()
        self._seen_at = 0
        self._committed_at = 0
        self._stopping = False
        self.degraded = False
        self.rereads = False
        self.pointer = link.pointer
        self.ack_ns = 0
        self._in_flight: InFlight | None = None
        self._failed = False
        self.counts = {"read": 0, "published": 0, "rejected": 0, "recoveries": 0, "commits": 0}
        self._producer = self._make_producer()
        self._consumer = self._make_consumer()

    # ---- Source

    def read(self) -> Intake | None:
        """Return what is there, at most a batch; None after `stop`."""
        if self._stopping:
            return None
        records = self._poll()
        if self._fresh:
            self.flush()
            fresh = set(self._fresh)
            records = {key: found for key, found in records.items() if tuple(key) not in fresh}
            self._recover(fresh)
        self._link.watch.reset()
        began = clock.monotonic_ns()
        intake = self._intake(records)
        self._link.watch.add("decode", began)
        return intake

    def commit(self, answers: Sequence[Answer]) -> None:
        """Note what has been stored and published; commit when it is time."""
        now = clock.monotonic_ns()
        if not self.degraded and not self.rereads:
            if self._in_flight is not None:
                self._in_flight.read, self._in_flight.answers = self._read, list(answers)
            else:
                self._note(now, self._read, answers)
            if now - self._committed_at >= self._kafka.commit_every and self._kafka.delivery == FAST:
                self._commit(now)
            # All at once they would hold up whatever came meanwhile.
            if len(self._covered) >= SETTLED or not answers:
                self._settle(max(SETTLED, 2 * len(answers)))
        self._read, self._applied, self.rereads = {}, [], False

    def close(self) -> None:
        """Commit, leave the group and release both clients; a second call does nothing."""
        if self._consumer is None:
            return
        consumer, self._consumer = self._consumer, None
        if not self._failed:
            self.flush()
            if not self.degraded and self._kafka.delivery == FAST and self._tracks:
                consumer.commit(self._offsets(clock.monotonic_ns()))
                self._cover()
        # A static member keeps its partitions for its successor; the group lets them go after the session time-out.
        consumer.close(autocommit=False)
        self._producer.close(timeout=ACK_SECONDS)
        if not self._failed and not self.degraded:
            self._settle(len(self._covered))

    # ---- Sink

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        """Send: alerts first, waiting for them, then dead letters, applied labels and decisions.

        It returns when the batch before has been acknowledged and this one is under way; see `flush`.

        Raises:
            DeliveryError: when something was not acknowledged; the process must end and begin again from its commit.
        """
        if self.rereads:
            return
        from kafka.errors import KafkaError

        began = clock.monotonic_ns()
        first, others, decisions = self._messages(answers, rejects)
        try:
            self._publish(first, others, decisions)
            self._link.watch.add("publish", began)
        except KafkaError as error:
            raise self._undelivered(error) from error
        self.counts["published"] += len(decisions)
        self.counts["rejected"] += len(rejects)

    def flush(self) -> None:
        """Return when all that was written is acknowledged, and noted as done.

        Raises:
            DeliveryError: when it was not.
        """
        in_flight, self._in_flight = self._in_flight, None
        if in_flight is None:
            return
        from kafka.errors import KafkaError

        try:
            self._acknowledged(in_flight.others)
            for future, key in in_flight.decisions:
                offset = future.get(ACK_SECONDS).offset
                if (track := self._tracks.get(key)) is not None:
                    track.output = max(track.output, offset + 1)
        except KafkaError as error:
            raise self._undelivered(error) from error
        now = clock.monotonic_ns()
        self.ack_ns = (in_flight.acked_at or now) - in_flight.sent_at if in_flight.decisions else self.ack_ns
        self._note(now, in_flight.read, in_flight.answers)

    def _undelivered(self, error: Exception) -> DeliveryError:
        self._failed = True
        msg = f"messages were not acknowledged ({error!r}): stopping without a commit"
        return DeliveryError(msg)

    # ---- control

    def stop(self) -> None:
        """Let the next read end the stream."""
        self._stopping = True

    def seek_back(self) -> None:
        """Begin again at the marks of the last commits: the store came back, and may have lost what was last.

        The batch in hand is left: it will be read again.
        """
        self.flush()
        self._read, self._applied, self.rereads = {}, [], True
        self._recover(set(self._tracks))

    def take_up(self, pointer: Pointer) -> None:
        """Use the histories of another encoder from here on: read again, between two batches, what they lack."""
        self.pointer = pointer
        self.flush()
        self._recover(set(self._tracks))

    @property
    def assigned(self) -> int:
        """Return how many partitions this worker holds."""
        return len(self._tracks)

    def lag(self) -> dict[tuple[str, int], int]:
        """Return, for each partition, how many messages wait beyond what has been read."""
        from kafka import TopicPartition

        lags = {}
        for key, track in self._tracks.items():
            high = self._consumer.highwater(TopicPartition(*key))
            lags[key] = max((high or 0) - track.next, 0)
        return lags

    # ---- reading

    def _poll(self) -> dict[Any, list[Any]]:
        """Return records by partition; a rebalance happens in here."""
        from kafka.errors import KafkaError

        try:
            return dict(self._consumer.poll(IDLE_MS, max_records=self._link.batch))
        except KafkaError as error:
            # The client wraps what its listener of rebalances raised.
            if isinstance(error.__cause__, DeliveryError):
                raise error.__cause__ from error
            raise

    def _intake(self, records: Mapping[Any, Sequence[Any]]) -> Intake:
        arrivals: list[Arrival] = []
        rejects: list[Reject] = []
        level, marks = self._link.ladder.level(age_of(records, self.topics.transactions))
        for topic in (self.topics.known, self.topics.transactions):
            for key, found in records.items():
                if key.topic == topic:
                    for record in found:
                        taken = self._take(record)
                        if isinstance(taken, Reject):
                            rejects.append(taken)
                        elif marks or level is not Level.FULL:
                            arrivals.append(msgspec.structs.replace(taken, level=level, marks=marks))
                        else:
                            arrivals.append(taken)
                    self._read[tuple(key)] = found[-1].offset + 1
                    self.counts["read"] += len(found)
        self._applied = [arrival for arrival in arrivals if isinstance(arrival.event, KnownLabel)]
        return Intake(tuple(arrivals), tuple(rejects))

    def _take(self, record: Any) -> Arrival | Reject:
        """Stamp and decode one record; stamps rise strictly, so that they order a replay."""
        self._seen_at = seen_at = max(self._seen_at + 1, clock.now_ns())
        position = Position(f"{record.topic}@{self._ids[record.topic]}", record.partition, record.offset)
        headers = tuple(record.headers)
        value = record.value or b""
        if record.topic == self.topics.known:
            try:
                label = msgspec.structs.replace(envelope.known_in(value), seen_at=seen_at)
            except msgspec.MsgspecError as error:
                return Reject("json", f"no known label: {error}", value, position, headers, seen_at)
            return Arrival(label, position, headers)
        return self._link.codec.transaction(envelope.unwrapped(value, headers), position, seen_at, headers)

    def _note(self, now: int, read: Mapping[tuple[str, int], int], answers: Sequence[Answer]) -> None:
        for key, after in read.items():
            if (track := self._tracks.get(key)) is not None:
                track.done(now, after)
        for answer in answers:
            key = answer.position.topic.partition("@")[0], answer.position.partition
            if answer.repeat_of is None:
                self._unsettled.append((key, (answer.decision.tx_id, answer.decision.version)))

    # ---- publishing

    def _messages(
        self, answers: Sequence[Answer], rejects: Sequence[Reject]
    ) -> tuple[list[envelope.Outgoing], list[envelope.Outgoing], list[tuple[envelope.Outgoing, tuple[str, int]]]]:
        """Return alerts, which go first; letters and labels; and decisions with the partition that they answer."""
        topics, stages = self.topics, self._link.watch.text().encode()
        new = [answer for answer in answers if self._publishes(answer.position)]
        first = [envelope.alert_out(answer, topics.alerts) for answer in new if answer.alert is not None]
        others = [envelope.reject_out(reject, topics.dead) for reject in rejects if self._publishes(reject.position)]
        if not self.degraded:
            for arrival in self._applied:
                if self._publishes(arrival.position) and isinstance(arrival.event, KnownLabel):
                    source = ((envelope.SOURCE, envelope.position_text(arrival.position)),)
                    others.append(envelope.known_out(arrival.event, topics.applied, source, arrival.position.partition))
        out = [
            (envelope.decision_out(answer, topics.decisions, stages), (topics.transactions, answer.position.partition))
            for answer in new
        ]
        return first, others, out

    def _publishes(self, position: Position) -> bool:
        track = self._tracks.get((position.topic.partition("@")[0], position.partition))
        return track is not None and track.publishes(position.offset)

    def _publish(
        self,
        first: Sequence[envelope.Outgoing],
        others: Sequence[envelope.Outgoing],
        decisions: Sequence[tuple[envelope.Outgoing, tuple[str, int]]],
    ) -> None:
        if self._kafka.delivery == TRANSACTIONAL:
            self._transaction([*first, *others], decisions)
            return
        # A decision in the log says that its alert is there too, so alerts are waited for.
        alerts = [self._send(message) for message in first]
        self.flush()
        self._acknowledged(alerts)
        in_flight = InFlight(others=[self._send(message) for message in others], sent_at=clock.monotonic_ns())
        in_flight.decisions = [(self._send(message), key) for message, key in decisions]
        if in_flight.decisions:
            in_flight.decisions[-1][0].add_callback(lambda _: setattr(in_flight, "acked_at", clock.monotonic_ns()))
        self._in_flight = in_flight

    def _transaction(
        self, first: Sequence[envelope.Outgoing], decisions: Sequence[tuple[envelope.Outgoing, tuple[str, int]]]
    ) -> None:
        """Publish and commit in one Kafka transaction; nothing is read as committed before all is."""
        if not self._read:
            return
        producer, now = self._producer, clock.monotonic_ns()
        producer.begin_transaction()
        futures = [self._send(message) for message in first]
        sent = [(self._send(message), key) for message, key in decisions]
        if not self.degraded:
            self._note(now, self._read, ())
            producer.send_offsets_to_transaction(self._offsets(now), self._consumer.group_metadata())
        producer.commit_transaction()
        self._acknowledged(futures)
        for future, key in sent:
            track = self._tracks[key]
            track.output = max(track.output, future.get(ACK_SECONDS).offset + 1)
        if not self.degraded:
            self._cover()

    def _send(self, message: envelope.Outgoing) -> Any:
        return self._producer.send(
            message.topic,
            value=message.value,
            key=message.key,
            headers=list(message.headers),
            partition=message.partition,
        )

    def _acknowledged(self, futures: Sequence[Any]) -> None:
        for future in futures:
            future.get(ACK_SECONDS)

    # ---- commits

    def _commit(self, now: int) -> None:
        self._committed_at = now
        offsets = self._offsets(now)
        if offsets:
            self.counts["commits"] += 1
            self._consumer.commit_async(offsets)
            self._cover()

    def _offsets(self, now: int) -> dict[Any, Any]:
        from kafka import TopicPartition
        from kafka.structs import OffsetAndMetadata

        offsets = {}
        for key, track in self._tracks.items():
            offset, mark = track.commit(now, self._link.durable_after)
            offsets[TopicPartition(*key)] = OffsetAndMetadata(offset, mark.text(), -1)
        return offsets

    def _cover(self) -> None:
        """Note that a commit covers what has been published: its first answers may age."""
        self._covered.extend(answer for _, answer in self._unsettled)
        self._unsettled = []

    def _settle(self, most: int) -> None:
        """Let some first answers age whose offsets a commit has covered."""
        done = [self._covered.popleft() for _ in range(min(most, len(self._covered)))]
        if not done:
            return
        try:
            self._link.store.settle(done)
        except (StoreUnavailableError, StoreRestartedError):
            # Nothing is lost but room: they stay as they are. What is read next is decided by rules until it is back.
            self.degraded = True

    # ---- assignment

    def _recover(self, keys: set[tuple[str, int]]) -> None:
        """Read the end of the output, put lost answers back, and begin where the store's promise ends."""
        from kafka import TopicPartition

        marks = {key: self._reached(key) for key in keys}
        starts = {(self._outputs[key[0]], key[1]): mark.output for key, (_, mark) in marks.items()}
        inputs = {(self._outputs[key[0]], key[1]): f"{key[0]}@{self._ids[key[0]]}" for key in keys}
        found = output_log.answered(output_log.records(self._kafka, starts), inputs, decisions=self.topics.decisions)
        for key, (committed, mark) in marks.items():
            state = found[self._outputs[key[0]], key[1]]
            self._need_same_state(mark, key)
            encoder = self.pointer.encoder if self.pointer else ""
            track = Track(mark, max(committed, state.resume), self._link.store.birth, encoder)
            track.output = max(track.output, state.output)
            self._tracks[key] = track
            begin = mark.absorb_from if self._put(state.answers) else track.resume
            self._consumer.seek(TopicPartition(*key), begin)
        self._unsettled = [entry for entry in self._unsettled if entry[0] not in keys]
        self._fresh -= keys
        self.counts["recoveries"] += 1

    def _need_same_state(self, mark: Mark, key: tuple[str, int]) -> None:
        """Raise StateError when the store is not the one that the commit speaks of: it was emptied, or is another."""
        birth = self._link.store.birth
        if mark.birth and mark.birth != birth:
            msg = (
                f"the state store (born {birth}) is not the one that {key[0]} partition {key[1]} was committed with "
                f"(born {mark.birth}): it was emptied or is another; fill it with 'fraud state rebuild'"
            )
            raise StateError(msg)

    def _put(self, answers: Sequence[Answer]) -> bool:
        """Put answers back; without a store go on by rules alone, until it comes back and this is done again."""
        try:
            self._link.store.put_answers(answers)
        except (StoreUnavailableError, StoreRestartedError):
            self.degraded = True
        return not self.degraded

    def _reached(self, key: tuple[str, int]) -> tuple[int, Mark]:
        """Return the committed offset of a partition and its mark, moved back to what the histories in use lack."""
        committed, mark = self._mark(key)
        if self.pointer is not None:
            mark = self.pointer.reach_back(mark, f"{key[0]}@{self._ids[key[0]]}", key[1])
        return committed, mark

    def _mark(self, key: tuple[str, int]) -> tuple[int, Mark]:
        """Return the committed offset of a partition, and its mark."""
        from kafka import TopicPartition

        committed = self._consumer.committed(TopicPartition(*key), metadata=True)
        if committed is None or committed.offset < 0:
            return 0, Mark(0)
        return committed.offset, mark_in(committed.metadata, committed.offset)

    def _make_producer(self) -> Any:
        from kafka import KafkaProducer

        options: dict[str, Any] = {
            "acks": "all",
            "enable_idempotence": True,
            "max_in_flight_requests_per_connection": 1,
            "allow_auto_create_topics": False,
            "linger_ms": 0,
        }
        if self._kafka.delivery == TRANSACTIONAL:
            # With the default of 100 ms every second transaction waits for the one before it to be written off.
            options |= {"transactional_id": f"{self._kafka.group}-{self._link.member}", "retry_backoff_ms": 1}
        producer = KafkaProducer(**{**options, **client_options(self._kafka)})
        if self._kafka.delivery == TRANSACTIONAL:
            producer.init_transactions()
        return producer

    def _make_consumer(self) -> Any:
        from kafka import KafkaConsumer
        from kafka.coordinator.assignors.range import RangePartitionAssignor

        session_ms = self._kafka.session_timeout // 1_000_000
        options: dict[str, Any] = {
            "group_id": self._kafka.group,
            "group_instance_id": self._link.member,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "isolation_level": "read_committed",
            "allow_auto_create_topics": False,
            "fetch_max_wait_ms": 100,
            # A topic or partition made a moment ago may be unknown to the first answer: it is asked for again soon.
            "metadata_max_age_ms": METADATA_MS,
            "session_timeout_ms": session_ms,
            "heartbeat_interval_ms": max(session_ms // 10, 100),
            # The same partitions of transactions and labels go to the same worker.
            "partition_assignment_strategy": (RangePartitionAssignor,),
        }
        consumer = KafkaConsumer(**{**options, **client_options(self._kafka)})
        topics = [self.topics.transactions, self.topics.known]
        consumer.subscribe(topics, listener=listener(self))
        # A member that joins before it has heard of its topics assigns nothing, and rebalances again when it has.
        await_topics(consumer, topics)
        return consumer

    def take_partitions(self, keys: Sequence[tuple[str, int]]) -> None:
        """Note partitions that were assigned; the next read recovers them before anything of theirs is used."""
        self._fresh |= {(key[0], key[1]) for key in keys}

    def give_partitions(self, keys: Sequence[tuple[str, int]]) -> None:
        """Forget partitions that go to somebody else, once all that was done is acknowledged and committed.

        Whoever takes them begins at that commit: what it does not cover is published again.
        """
        if not self._failed:
            self.flush()
        if self._consumer is not None and self._kafka.delivery == FAST and not self.degraded:
            self._commit(clock.monotonic_ns())
        for key in keys:
            self._tracks.pop((key[0], key[1]), None)
            self._fresh.discard((key[0], key[1]))
            self._read.pop((key[0], key[1]), None)


def age_of(records: Mapping[Any, Sequence[Any]], topic: str) -> int:
    """Return how long ago the oldest of a topic's records was sent, in nanoseconds."""
    sent = [record.timestamp for key, found in records.items() if key.topic == topic for record in found]
    return max(clock.now_ns() - min(sent) * 1_000_000, 0) if sent else 0


def listener(link: KafkaLink) -> Any:
    """Return the client's listener of rebalances for a link."""
    from kafka import ConsumerRebalanceListener

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_revoked(self, revoked: Any) -> None:
            link.give_partitions(list(revoked))

        def on_partitions_assigned(self, assigned: Any) -> None:
            link.take_partitions(list(assigned))

    return Listener()
