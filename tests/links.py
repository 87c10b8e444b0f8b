"""Kafka links for tests: topics of their own on the run's Kafka, a store whose mode a test sets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any

from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from fraud.core.fields import Duration
from fraud.core.records import Answer, Intake, KnownLabel, LabelSource, Level, Transaction, Verdict
from infra.services import KafkaServer
from streaming import service_wiring
from streaming.kafka import output_log
from streaming.kafka.link import KafkaLink
from streaming.kafka.recovery import Mode
from streaming.kafka.source import Waiting
from streaming.kafka.topics import Topics, admin, create
from streaming.messages import envelope, schema
from streaming.observe.stages import Watch
from streaming.settings import ClientValue, KafkaSection, ServiceSettings, StoreSection
from tests.services import shared_kafka
from tests.site import until

LIBRARIES = ("kafka-python", "confluent")
PARTITIONS = 4
_numbers = count()


class Store:
    """A store that the link needs nothing of; a test may set the mode."""

    birth = "here"

    def __init__(self) -> None:
        """Begin as it mostly is; `holds` is what it says to have applied."""
        self.mode = Mode.NORMAL
        self.holds: dict[tuple[str, int], int] = {}
        self.put: list[Answer] = []

    def put_answers(self, answers: Sequence[Answer]) -> None:
        """Take them."""
        self.put += answers

    def applied(self) -> dict[tuple[str, int], int]:
        """Return what a test has set."""
        return self.holds

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        """Take them."""

    def begun_again(self) -> None:
        """Go on as ever."""
        self.mode = Mode.NORMAL


class Unhurried:
    """A budget that nothing exceeds; a test may say what does, and looks at what it is told."""

    def __init__(self, late_before: int = 0) -> None:
        """Let what was sent before a time (ns since the epoch) come too late."""
        self.late = late_before
        self.told: list[Waiting] = []

    def choose(self, waiting: Waiting) -> Level:
        """Return that there is time for everything."""
        self.told.append(waiting)
        return Level.FULL

    def late_before(self) -> int:
        """Return what a test has set."""
        return self.late


class LinkSite:
    """Topics of one test, and links on them, one after the other as one worker."""

    def __init__(
        self,
        delivery: str = "fast",
        *,
        library: str = "kafka-python",
        durable_after: int = 0,
        commit_every: int = 100_000_000,
        server: KafkaServer | None = None,
        client: Mapping[str, ClientValue] | None = None,
    ) -> None:
        """Create the topics; what was stored `durable_after` (ns) ago counts as safe.

        With `client`, options of the links' clients, links go to the second port of `server`, which asks for them.
        """
        name = f"link-{next(_numbers)}"
        server = server or shared_kafka()
        self._feed = server.bootstrap
        self.section = KafkaSection(
            bootstrap=server.secure_bootstrap if client else server.bootstrap,
            client=dict(client or {}),
            prefix=f"{name}.",
            group=name,
            delivery=delivery,  # type: ignore[arg-type]
            library=library,  # type: ignore[arg-type]
            commit_every=Duration(commit_every),
        )
        self.topics = Topics.of(self.section)
        self._durable_after = Duration(durable_after)
        create(self.section, partitions=PARTITIONS)

    def link(
        self, store: Any = None, alive: Callable[[], None] = lambda: None, budget: Unhurried | None = None
    ) -> KafkaLink:
        """Return a link; the one before must be closed. `alive` is called while it reads a long output."""
        settings = ServiceSettings(kafka=self.section, store=StoreSection(durable_after=self._durable_after))
        return service_wiring.kafka_link(settings, "one", store or Store(), Watch(), budget or Unhurried(), None, alive)

    def put(self, values: Iterable[bytes], partition: int | None = None) -> None:
        """Send messages as transactions, into one partition or, without, one after the other."""
        producer = KafkaProducer(bootstrap_servers=self._feed, acks="all")
        for number, value in enumerate(values):
            where = number % PARTITIONS if partition is None else partition
            producer.send(self.topics.transactions, value=value, partition=where)
        producer.flush()
        producer.close()

    def tell(self, labels: int, partition: int = 0) -> None:
        """Send so many known labels into one partition."""
        producer = KafkaProducer(bootstrap_servers=self.section.bootstrap, acks="all", linger_ms=5)
        for number in range(labels):
            message = envelope.known_out(known(f"t{number}"), self.topics.known)
            producer.send(message.topic, value=message.value, partition=partition)
        producer.flush()
        producer.close()

    def limit(self, topic: str, size: int) -> None:
        """Let the broker refuse messages of a topic over so many bytes."""
        client = admin(self.section)
        try:
            client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(size)})])
        finally:
            client.close()

    def records(self, topic: str) -> list[Any]:
        """Return every record of a topic that is committed."""
        return list(output_log.records(self.section, {(topic, partition): 0 for partition in range(PARTITIONS)}))

    def pay(self, transactions: Iterable[Transaction]) -> None:
        """Send payments."""
        self.put(schema.of_transaction(tx) for tx in transactions)


def known(tx_id: str) -> KnownLabel:
    """Return a verdict on a payment."""
    return KnownLabel(
        tx_id=tx_id, verdict=Verdict.GENUINE, source=LabelSource.SILENCE, happened_at=1, seen_at=1, card="c",
        merchant="m", paid_at=1, base_amount=100,
    )  # fmt: skip


def read_until(link: KafkaLink, events: int, most: float = 60.0) -> list[Intake]:
    """Read until so many events are there, rejects among them; nothing is committed."""
    found: list[Intake] = []

    def enough() -> bool:
        intake = link.read()
        assert intake is not None
        found.append(intake)
        return sum(len(each.arrivals) + len(each.rejects) for each in found) >= events

    until(enough, lambda: f"{events} events, found {sum(len(each.arrivals) for each in found)}", most)
    return found
