"""The Consumer and Producer ports on confluent-kafka, the fast client: `kafka.library = "confluent"`.

It is imported when something is connected. Its options are those of `[kafka.client]`, named as kafka-python names them.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from operator import methodcaller
from typing import Any, NamedTuple

from fraud.core.errors import DeliveryError, KafkaUnavailableError, SettingsError
from fraud.core.fields import plain
from streaming import clock
from streaming.kafka import kafka_python
from streaming.kafka.client import (
    STOP_SECONDS,
    UNPACKED,
    Commit,
    Consumer,
    Heard,
    Member,
    Place,
    Span,
    heartbeat_ms,
    undelivered,
)
from streaming.kafka.topics import unconnected
from streaming.messages.envelope import Outgoing
from streaming.settings import ClientValue, KafkaSection

ACK_SECONDS = 30.0
ANSWER_SECONDS = 10.0
METADATA_NS = 30_000_000_000
SEEK_NS = 10_000_000_000
TRANSACTION_TRIES = 5
LOG = logging.getLogger("confluent_kafka")

NAMES = {
    "ssl_cafile": "ssl.ca.location",
    "ssl_certfile": "ssl.certificate.location",
    "ssl_keyfile": "ssl.key.location",
    "ssl_password": "ssl.key.password",
    "sasl_plain_username": "sasl.username",
    "sasl_plain_password": "sasl.password",
    "max_request_size": "message.max.bytes",
    "max_partition_fetch_bytes": "max.partition.fetch.bytes",
}
"""Options that the two clients name differently; of all others the words are the same, with points between them."""


class Found(NamedTuple):
    """One record, see the port."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    headers: Sequence[tuple[str, bytes | None]]
    value: bytes | None


HEADERS = methodcaller("headers")
"""A call in bytecode would not do: once it is specialised, Python (3.11) misses that the method has raised."""


def headers_of(message: Any) -> Sequence[tuple[str, bytes | None]]:
    """Return the headers of a message: none where the name of one is no UTF-8.

    For that this library (2.16) raises while it returns a list with nothing where the name should be: who touches that
    list ends the process.
    """
    try:
        return HEADERS(message) or ()
    except (SystemError, UnicodeDecodeError):
        return ()


class ConfluentConsumer:
    """The Consumer port on confluent-kafka."""

    def __init__(
        self,
        consumer: Any,
        troubles: "Troubles",
        committing: "Committing",
        kafka: KafkaSection,
        commits: Callable[[], Consumer],
    ) -> None:
        """Take a consumer that has no topics yet, what hears of its troubles and commits.

        `commits` makes the one that reads what is committed.
        """
        from confluent_kafka import KafkaError, KafkaException, TopicPartition

        self._troubles, self._committing, self._kafka = troubles, committing, kafka
        self._consumer, self._error, self._partition = consumer, KafkaException, TopicPartition
        self._packed = KafkaError._BAD_COMPRESSION
        self._next: dict[Place, int] = {}
        self._connect_commits = commits
        self._commits: Consumer | None = None

    def subscribe(self, topics: Sequence[str], member: Member) -> None:
        """Join the group."""
        self._await(topics)

        def assigned(_: Any, partitions: Sequence[Any]) -> None:
            member.take_partitions([(each.topic, each.partition) for each in partitions])

        def revoked(_: Any, partitions: Sequence[Any]) -> None:
            member.give_partitions([(each.topic, each.partition) for each in partitions])

        self._consumer.subscribe(list(topics), on_assign=assigned, on_revoke=revoked)

    def assign(self, topics: Sequence[str]) -> list[Place]:
        """Take all partitions of some topics."""
        self._await(topics)
        places = self.places(topics)
        self._consumer.assign([self._partition(*place) for place in places])
        return places

    def places(self, topics: Sequence[str]) -> list[Place]:
        """Return all partitions of some topics, in order."""
        try:
            held = self._consumer.list_topics(timeout=ANSWER_SECONDS).topics
        except self._error as error:
            # What the library has to say it says in here.
            self._consumer.poll(0)
            raise unconnected(self._kafka, self._troubles.why or error) from error
        return [(topic, number) for topic in topics if topic in held for number in sorted(held[topic].partitions)]

    def poll(self, wait_ms: int, most: int) -> Mapping[Place, Sequence[Found]]:
        """Return what is there; a rebalance happens in here."""
        first = self._consumer.poll(wait_ms / 1_000)
        if first is None:
            return {}
        found: dict[Place, list[Found]] = {}
        for message in [first, *self._consumer.consume(most - 1, 0.0)] if most > 1 else [first]:
            place = message.topic(), message.partition()
            if (error := message.error()) is None:
                record = Found(*place, message.offset(), message.timestamp()[1], headers_of(message), message.value())
            elif error.code() == self._packed:
                record = self._step_over(place, message)
            else:
                self._refuse(error)
                continue
            found.setdefault(place, []).append(record)
            self._next[place] = record.offset + 1
        return found

    def seek(self, place: Place, offset: int) -> None:
        """Read a partition from an offset on; the client takes a moment to know a partition it was just given."""
        from confluent_kafka import KafkaError

        self._next[place] = offset
        until = clock.monotonic_ns() + SEEK_NS
        while True:
            try:
                self._consumer.seek(self._partition(*place, offset))
            except self._error as error:
                if error.args[0].code() != KafkaError._STATE or clock.monotonic_ns() >= until:
                    raise
                clock.sleep(0.01)
            else:
                return

    def committed(self, place: Place) -> Commit | None:
        """Return what the group has committed.

        The other library reads it: this one (2.16) hands metadata over without its end, with whatever lies in memory
        behind it.
        """
        return self._other().committed(place)

    def commit(self, commits: Mapping[Place, Commit], heard: Heard, *, wait: bool) -> None:
        """Commit."""
        if not commits:
            heard("")
            return
        try:
            self._consumer.commit(offsets=self._offsets(commits), asynchronous=True)
        except self._error as error:
            heard(error.args[0].str())
            return
        self._committing.add(heard)
        until = clock.monotonic_ns() + int(STOP_SECONDS * 1e9)
        while wait and self._committing and clock.monotonic_ns() < until:
            # What else comes is not wanted any more.
            self._consumer.poll(0.05)
        if wait:
            self._committing.give_up(f"no answer in {STOP_SECONDS:g} s")

    def spans(self, places: Collection[Place]) -> dict[Place, Span]:
        """Ask where logs begin and end, of all at once, which the other library can."""
        return self._other().spans(places)

    def end(self, place: Place) -> int | None:
        """Return the offset after the newest record heard of."""
        _, high = self._consumer.get_watermark_offsets(self._partition(*place), cached=True)
        return int(high) if high >= 0 else None

    def group(self) -> Any:
        """Return the group's metadata."""
        return self._consumer.consumer_group_metadata()

    def close(self) -> None:
        """Leave; a static member keeps its partitions for its successor, until the session time-out."""
        self._consumer.close()
        if self._commits is not None:
            self._commits.close()

    def _other(self) -> Consumer:
        """Return a consumer of the other library, in the same group, for what this one does not tell."""
        if self._commits is None:
            self._commits = self._connect_commits()
        return self._commits

    def _offsets(self, commits: Mapping[Place, Commit]) -> list[Any]:
        return [self._partition(*place, *commit) for place, commit in commits.items()]

    def _await(self, topics: Sequence[str]) -> None:
        """Return when the brokers tell of the topics; raise SettingsError when they do not in time."""
        until = clock.monotonic_ns() + METADATA_NS
        while missing := set(topics) - {topic for topic, _ in self.places(topics)}:
            if clock.monotonic_ns() >= until:
                names = ", ".join(sorted(missing))
                msg = f"the brokers do not tell of topic {names}: check 'fraud check' and their health"
                raise KafkaUnavailableError(msg)
            clock.sleep(0.05)

    def _step_over(self, place: Place, message: Any) -> Found:
        """Return an empty record in place of one of a batch that is not unpacked, and go on behind it.

        The client tells it at the batch's first offset, again and again; what is read next is for us to know.
        """
        offset = max(message.offset(), self._next.get(place, 0))
        self.seek(place, offset + 1)
        why = ((UNPACKED, message.error().str().encode()),)
        return Found(*place, offset, clock.now_ns() // 1_000_000, why, None)

    def _refuse(self, error: Any) -> None:
        """Raise what the client will not get over by itself, such as another process under this member's name."""
        if error.fatal():
            raise undelivered(self._error(error))
        LOG.warning("%s", error.str())


class Committing:
    """Commits under way: the library tells how each ended, in the order in which they were sent, while it is polled."""

    def __init__(self) -> None:
        """Have none under way."""
        self._heard: deque[Heard] = deque()

    def __len__(self) -> int:
        """Return how many are under way."""
        return len(self._heard)

    def __call__(self, error: Any, partitions: Sequence[Any]) -> None:
        """Tell of the oldest how it ended."""
        if self._heard:
            errors = [error, *(each.error for each in partitions)]
            self._heard.popleft()(next((each.str() for each in errors if each is not None), ""))

    def add(self, heard: Heard) -> None:
        """Take one that was sent."""
        self._heard.append(heard)

    def give_up(self, why: str) -> None:
        """Tell of all that are under way that nothing more will be heard of them."""
        while self._heard:
            self._heard.popleft()(why)


class Troubles:
    """Hears why the library could not connect, which it tries again and again."""

    def __init__(self) -> None:
        """Have heard nothing."""
        self.why = ""

    def __call__(self, error: Any) -> None:
        """Note an error that is about no record; of many, one that is about the user."""
        from confluent_kafka import KafkaError

        if not self.why or error.code() == KafkaError._AUTHENTICATION:
            self.why = error.str()


class Sent:
    """A message on its way."""

    __slots__ = ("error", "offset")

    def __init__(self) -> None:
        """Begin under way."""
        self.error, self.offset = None, -1

    def delivered(self, error: Any, message: Any) -> None:
        """Note how it ended."""
        if error is not None:
            self.error = error
            return
        self.offset = message.offset()


class ConfluentProducer:
    """The Producer port on confluent-kafka. Acknowledgements are noted on the thread that waits for them."""

    def __init__(self, producer: Any, troubles: Troubles) -> None:
        """Take a producer, and what hears of its troubles."""
        from confluent_kafka import KafkaException

        self._producer, self._troubles, self._error = producer, troubles, KafkaException

    def send(self, message: Outgoing) -> Sent:
        """Begin to send."""
        sent = Sent()
        given = {} if message.partition is None else {"partition": message.partition}
        try:
            self._producer.produce(
                message.topic,
                value=message.value,
                key=message.key,
                headers=list(message.headers),
                on_delivery=sent.delivered,
                **given,
            )
        except (self._error, BufferError) as error:
            raise undelivered(error) from error
        return sent

    def push(self) -> None:
        """Do nothing: messages leave by themselves."""

    def wait(self, sent: Sent) -> int:
        """Return a message's offset, once it is acknowledged."""
        until = clock.monotonic_ns() + int(ACK_SECONDS * 1e9)
        while sent.offset < 0:
            if sent.error is not None or clock.monotonic_ns() >= until:
                late = TimeoutError(f"no acknowledgement in {ACK_SECONDS:g} s")
                raise undelivered(late if sent.error is None else self._error(sent.error), self._troubles.why)
            self._producer.poll(0.1)
        return sent.offset

    def begin(self) -> None:
        """Begin a transaction."""
        self._transact(self._producer.begin_transaction)

    def end(self, commits: Mapping[Place, Commit] | None, group: Any) -> None:
        """Commit the transaction."""
        if commits:
            from confluent_kafka import TopicPartition

            offsets = [TopicPartition(*place, *commit) for place, commit in commits.items()]
            self._transact(lambda: self._producer.send_offsets_to_transaction(offsets, group, ACK_SECONDS))
        self._transact(lambda: self._producer.commit_transaction(ACK_SECONDS))

    def close(self) -> None:
        """Leave, after what is under way."""
        self._producer.flush(STOP_SECONDS)

    def _transact(self, step: Callable[[], None]) -> None:
        """Take a step of a transaction, again where the client says that it may be."""
        for tries in range(TRANSACTION_TRIES):
            try:
                step()
            except self._error as error:
                if not error.args[0].retriable() or tries == TRANSACTION_TRIES - 1:
                    raise undelivered(error) from error
            else:
                return


def connect_producer(kafka: KafkaSection, transactional_id: str = "") -> ConfluentProducer:
    """Return a producer, with a transactional id one for transactions only.

    Raises:
        SettingsError: when confluent-kafka is not installed, or refuses an option.
        DeliveryError: when the brokers do not hand over the transactional id.
    """
    options: dict[str, Any] = {
        "acks": "all",
        "enable.idempotence": True,
        "max.in.flight.requests.per.connection": 1,
        "linger.ms": 0,
        "allow.auto.create.topics": False,
        "delivery.timeout.ms": int(ACK_SECONDS * 1_000),
    }
    if transactional_id:
        # Its default of 60 s is more than a message may take, which the client refuses.
        options |= {"transactional.id": transactional_id, "transaction.timeout.ms": int(ACK_SECONDS * 1_000)}
        # As with the other client: else every second transaction waits for the one before it to be written off.
        options["retry.backoff.ms"] = 1
    troubles = Troubles()
    producer = made("Producer", {**options, "error_cb": troubles}, kafka)
    if transactional_id:
        from confluent_kafka import KafkaException

        try:
            producer.init_transactions(ACK_SECONDS)
        except KafkaException as error:
            msg = f"no transactions as {transactional_id!r}: {troubles.why or error}"
            raise DeliveryError(msg) from error
    return ConfluentProducer(producer, troubles)


def connect_consumer(kafka: KafkaSection, group: str, member: str = "") -> ConfluentConsumer:
    """Return a consumer; `member` is a lasting name, so that a restart of its process is no rebalance.

    Raises:
        SettingsError: when confluent-kafka is not installed, or refuses an option.
    """
    session_ms = kafka.session_timeout // 1_000_000
    options: dict[str, Any] = {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "allow.auto.create.topics": False,
        "fetch.wait.max.ms": 100,
    }
    if member:
        options |= {
            "group.instance.id": member,
            "session.timeout.ms": session_ms,
            "heartbeat.interval.ms": heartbeat_ms(session_ms),
            # The same partitions of transactions and labels go to the same worker.
            "partition.assignment.strategy": "range",
            "topic.metadata.refresh.interval.ms": 5_000,
        }
    commits = partial(kafka_python.connect_consumer, kafka, group)
    troubles, committing = Troubles(), Committing()
    consumer = made("Consumer", {**options, "error_cb": troubles, "on_commit": committing}, kafka)
    return ConfluentConsumer(consumer, troubles, committing, kafka, commits)


PRODUCER_ONLY = frozenset(
    {"acks", "linger_ms", "batch_size", "compression_type", "max_request_size", "delivery_timeout_ms", "buffer_memory"}
)
CONSUMER_ONLY = frozenset(
    {"fetch_min_bytes", "fetch_max_wait_ms", "fetch_max_bytes", "max_partition_fetch_bytes", "max_poll_interval_ms"}
)
"""Options of `[kafka.client]` that mean something to one of the two only."""
ROLES = {"Producer": ("producer", CONSUMER_ONLY), "Consumer": ("consumer", PRODUCER_ONLY)}
"""The table of each kind's own options, and what of the common one is not for it."""


def made(kind: str, options: Mapping[str, Any], kafka: KafkaSection) -> Any:
    """Return a client of the library, `Producer` or `Consumer`; raise SettingsError when it cannot be made."""
    try:
        import confluent_kafka
    except ImportError as error:
        msg = "kafka.library is 'confluent', but confluent-kafka is not installed: pip install 'fraud[confluent]'"
        raise SettingsError(msg) from error
    role, others = ROLES[kind]
    passed = {name: value for name, value in kafka.client.items() if name not in others} | getattr(kafka, role)
    given = {"bootstrap.servers": kafka.bootstrap, **options, **translated(passed)}
    try:
        return getattr(confluent_kafka, kind)(given, logger=LOG)
    except confluent_kafka.KafkaException as error:
        msg = f"[kafka.client] with [kafka.{role}] is refused by confluent-kafka: {error.args[0].str()}"
        raise SettingsError(msg) from error


def translated(client: Mapping[str, ClientValue]) -> dict[str, ClientValue]:
    """Return options as this client names them."""
    found: dict[str, ClientValue] = {}
    for name, value in client.items():
        if name == "ssl_check_hostname":
            found["ssl.endpoint.identification.algorithm"] = "https" if value else "none"
        else:
            # The client takes `str` of what it is given, which of a secret is three stars.
            found[NAMES.get(name, name.replace("_", "."))] = plain(value)
    return found
