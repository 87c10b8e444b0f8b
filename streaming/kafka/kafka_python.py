"""The Consumer and Producer ports on kafka-python, which is imported when something is connected."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from fraud.core.errors import FraudError, SettingsError, StateError
from streaming import clock
from streaming.kafka.client import (
    STOP_SECONDS,
    Commit,
    Heard,
    Member,
    Place,
    Record,
    Span,
    heartbeat_ms,
    undelivered,
)
from streaming.kafka.topics import admin, await_topics, connected
from streaming.messages.envelope import Outgoing
from streaming.settings import KafkaSection

if TYPE_CHECKING:
    from streaming.kafka.library.paced import PacedClient

ACK_SECONDS = 30.0
LEFT_NS = 5_000_000_000
"""How long after its session a member may still be counted."""
METADATA_MS = 5_000
STOP_MS = int(STOP_SECONDS * 1_000)
BATCH_BYTES = 524_288
"""Most bytes of one partition in one request; a topic takes 1 MiB."""


class PythonConsumer:
    """The Consumer port on kafka-python."""

    def __init__(self, consumer: Any) -> None:
        """Take a consumer that has no topics yet."""
        self._consumer = consumer

    def subscribe(self, topics: Sequence[str], member: Member) -> None:
        """Join the group."""
        self._consumer.subscribe(topics, listener=listener(member))
        # A member that joins before it has heard of its topics assigns nothing, and rebalances again when it has.
        await_topics(self._consumer, topics)

    def assign(self, topics: Sequence[str]) -> list[Place]:
        """Take all partitions of some topics."""
        from kafka import TopicPartition

        await_topics(self._consumer, topics)
        places = self.places(topics)
        self._consumer.assign([TopicPartition(*place) for place in places])
        return places

    def places(self, topics: Sequence[str]) -> list[Place]:
        """Return all partitions of some topics, in order."""
        return [
            (topic, number) for topic in topics for number in sorted(self._consumer.partitions_for_topic(topic) or ())
        ]

    def poll(self, wait_ms: int, most: int) -> Mapping[Place, Sequence[Record]]:
        """Return what is there; a rebalance happens in here."""
        from kafka.errors import KafkaError, UnsupportedCodecError

        try:
            found: Mapping[Place, Sequence[Record]] = self._consumer.poll(wait_ms, max_records=most)
        except UnsupportedCodecError as error:
            msg = f"records are compressed by a codec that cannot be read here ({error}): pip install 'fraud[kafka]'"
            raise SettingsError(msg) from error
        except KafkaError as error:
            # The client wraps what its listener of rebalances raised.
            if isinstance(error.__cause__, FraudError):
                raise error.__cause__ from error
            raise
        return found

    def seek(self, place: Place, offset: int) -> None:
        """Read a partition from an offset on."""
        from kafka import TopicPartition

        self._consumer.seek(TopicPartition(*place), offset)

    def committed(self, place: Place) -> Commit | None:
        """Return what the group has committed."""
        from kafka import TopicPartition

        found = self._consumer.committed(TopicPartition(*place), metadata=True)
        # The other library writes a zero behind it.
        return None if found is None or found.offset < 0 else Commit(found.offset, found.metadata.rstrip("\0"))

    def commit(self, commits: Mapping[Place, Commit], heard: Heard, *, wait: bool) -> None:
        """Commit."""
        from kafka.errors import KafkaError

        if not wait:
            self._consumer.commit_async(
                offsets_of(commits), lambda _, ended: heard(repr(ended) if isinstance(ended, Exception) else "")
            )
            return
        try:
            self._consumer.commit(offsets_of(commits), timeout_ms=STOP_MS)
        except KafkaError as error:
            heard(repr(error))
        else:
            heard("")

    def spans(self, places: Collection[Place]) -> dict[Place, Span]:
        """Ask where logs begin and end."""
        from kafka import TopicPartition
        from kafka.errors import KafkaError

        asked = [TopicPartition(*place) for place in places]
        try:
            begins, ends = self._consumer.beginning_offsets(asked), self._consumer.end_offsets(asked)
        except KafkaError as error:
            raise undelivered(error) from error
        return {(one.topic, one.partition): Span(begins[one], ends[one]) for one in asked}

    def end(self, place: Place) -> int | None:
        """Return the offset after the newest record heard of."""
        from kafka import TopicPartition

        found: int | None = self._consumer.highwater(TopicPartition(*place))
        return found

    def group(self) -> Any:
        """Return the group's metadata."""
        return self._consumer.group_metadata()

    def close(self) -> None:
        """Leave; a static member keeps its partitions for its successor, until the session time-out."""
        self._consumer.close(autocommit=False, timeout_ms=STOP_MS)


class PythonProducer:
    """The Producer port on kafka-python. What is sent leaves with `push`, in one request to each broker."""

    def __init__(self, producer: Any, client: "PacedClient") -> None:
        """Take a producer and the client that it sends by."""
        from kafka.errors import KafkaError

        self._producer, self._client, self._error = producer, client, KafkaError
        self._known: set[str] = set()

    def send(self, message: Outgoing) -> Any:
        """Take a message to send."""
        try:
            self._know(message.topic)
            self._client.hold()
            return self._producer.send(
                message.topic,
                value=message.value,
                key=message.key,
                headers=list(message.headers),
                partition=message.partition,
            )
        except self._error as error:
            raise undelivered(error) from error

    def push(self) -> None:
        """Let everything that was sent leave."""
        if self._client.held:
            self._client.release()

    def wait(self, sent: Any) -> int:
        """Return a message's offset, once it is acknowledged."""
        self.push()
        try:
            return int(sent.get(ACK_SECONDS).offset)
        except self._error as error:
            raise undelivered(error) from error

    def begin(self) -> None:
        """Begin a transaction."""
        try:
            self._producer.begin_transaction()
        except self._error as error:
            raise undelivered(error) from error

    def end(self, commits: Mapping[Place, Commit] | None, group: Any) -> None:
        """Commit the transaction."""
        self.push()
        try:
            if commits is not None:
                self._producer.send_offsets_to_transaction(offsets_of(commits), group)
            self._producer.commit_transaction()
        except self._error as error:
            raise undelivered(error) from error

    def close(self) -> None:
        """Leave."""
        self.push()
        self._producer.close(timeout=STOP_SECONDS)

    def _know(self, topic: str) -> None:
        """Wait for a topic's partitions before its first message, for while messages wait the client asks nobody."""
        if topic not in self._known:
            self.push()
            self._producer.partitions_for(topic)
            self._known.add(topic)


def connect_producer(kafka: KafkaSection, transactional_id: str = "") -> PythonProducer:
    """Return a connected producer, with a transactional id one for transactions only; raise as `connected` does."""
    from kafka import KafkaProducer

    from streaming.kafka.library.paced import PacedClient

    clients: list[PacedClient] = []

    def paced(**given: Any) -> PacedClient:
        clients.append(PacedClient(**given))
        return clients[-1]

    options: dict[str, Any] = {
        "acks": "all",
        "enable_idempotence": True,
        "max_in_flight_requests_per_connection": 1,
        "allow_auto_create_topics": False,
        "linger_ms": 0,
        # A request takes one set of messages from each partition: with 16 KB, the default, that is two decisions.
        "batch_size": BATCH_BYTES,
        "metrics_enabled": False,
        "kafka_client": paced,
    }
    if transactional_id:
        # With the default of 100 ms every second transaction waits for the one before it to be written off.
        options |= {"transactional_id": transactional_id, "retry_backoff_ms": 1}
    producer = connected(kafka, KafkaProducer, options)
    if transactional_id:
        producer.init_transactions()
    return PythonProducer(producer, clients[-1])


def connect_consumer(kafka: KafkaSection, group: str, member: str = "") -> PythonConsumer:
    """Return a connected consumer; `member` is a lasting name, so that a restart of its process is no rebalance.

    Raises:
        SettingsError: when no broker answers, or none takes the user.
    """
    from kafka import KafkaConsumer

    options: dict[str, Any] = {
        "group_id": group,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "allow_auto_create_topics": False,
        "fetch_max_wait_ms": 100,
        "metrics_enabled": False,
        **(member_options(kafka, member) if member else {}),
    }
    return PythonConsumer(connected(kafka, KafkaConsumer, options))


def committed(kafka: KafkaSection, topics: Sequence[str]) -> dict[Place, Commit | None]:
    """Return what the workers' group has committed for each partition of some topics."""
    consumer = connect_consumer(kafka, kafka.group)
    try:
        return {place: consumer.committed(place) for place in consumer.places(topics)}
    finally:
        consumer.close()


def hand_over(kafka: KafkaSection, member: str) -> None:
    """Leave the workers' group for good, where it has other members: they have the partitions within a second or two.

    A static member that just ends keeps its partitions until the session time-out, for its successor under this name.
    Where nobody else is there it keeps them: a group that is empty waits a while before it gives any out.
    """
    from kafka.admin import MemberToRemove
    from kafka.errors import KafkaError

    # Whatever is wrong with the brokers now, the session time-out does the same.
    with suppress(SettingsError, KafkaError), closing(admin(kafka)) as client:
        members = client.describe_groups([kafka.group])[kafka.group]["members"]
        if any(each["group_instance_id"] != member for each in members):
            client.remove_group_members(kafka.group, [MemberToRemove(group_instance_id=member)])


def need_alone(kafka: KafkaSection) -> None:
    """Return when the workers' group has no members; one that has ended is a member until its session is over.

    Raises:
        StateError: when it still has some then.
    """
    until = clock.monotonic_ns() + kafka.session_timeout + LEFT_NS
    with closing(admin(kafka)) as client:
        while members := client.describe_groups([kafka.group])[kafka.group]["members"]:
            if clock.monotonic_ns() >= until:
                names = ", ".join(sorted(str(each["group_instance_id"] or each["member_id"]) for each in members))
                msg = (
                    f"workers of group '{kafka.group}' are at work ({names}): what they take in meanwhile would be "
                    "lacking; end them first, and start them again when this is through"
                )
                raise StateError(msg)
            clock.sleep(0.25)


def member_options(kafka: KafkaSection, member: str) -> dict[str, Any]:
    """Return what a group's member is made with."""
    from kafka.coordinator.assignors.range import RangePartitionAssignor

    session_ms = kafka.session_timeout // 1_000_000
    return {
        "group_instance_id": member,
        # A topic or partition made a moment ago may be unknown to the first answer: it is asked for again soon.
        "metadata_max_age_ms": METADATA_MS,
        "session_timeout_ms": session_ms,
        "heartbeat_interval_ms": heartbeat_ms(session_ms),
        # The same partitions of transactions and labels go to the same worker.
        "partition_assignment_strategy": (RangePartitionAssignor,),
    }


def offsets_of(commits: Mapping[Place, Commit]) -> dict[Any, Any]:
    """Return commits in the client's own words."""
    from kafka import TopicPartition
    from kafka.structs import OffsetAndMetadata

    return {TopicPartition(*place): OffsetAndMetadata(*commit, -1) for place, commit in commits.items()}


def listener(member: Member) -> Any:
    """Return the client's listener of rebalances for a member."""
    from kafka import ConsumerRebalanceListener

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_revoked(self, revoked: Any) -> None:
            member.give_partitions([(each.topic, each.partition) for each in revoked])

        def on_partitions_assigned(self, assigned: Any) -> None:
            member.take_partitions([(each.topic, each.partition) for each in assigned])

    return Listener()
