"""Every implementation of the Feed and Outlet ports, with a way to stage topics: the contract suite runs on all."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from resource import RLIMIT_FSIZE, getrlimit, setrlimit
from typing import NamedTuple, Protocol

from kafka import KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from streaming.feeds.kafka import KafkaFeed, KafkaOutlet, open_outlet
from streaming.feeds.segments import framed, path_of, segments
from streaming.feeds.topic_log import TopicLog, TopicLogFeed, TopicLogOutlet
from streaming.kafka.topics import admin
from streaming.messages.envelope import Outgoing
from streaming.messages.feed import Feed, Outlet
from streaming.settings import KafkaSection
from tests.services import shared_kafka

_names = count()


class FeedStage(Protocol):
    """Two topics of a test's own."""

    @property
    def topics(self) -> tuple[str, str]:
        """Return their names."""

    def feed(self) -> Feed:
        """Return a reader of both topics, not started."""

    def outlet(self) -> Outlet:
        """Return what writes to them."""

    def break_off(self, record: Outgoing) -> None:
        """Let a process begin to write a record and be killed before it has written all of it."""

    def failing(self) -> AbstractContextManager[None]:
        """Let nothing more be written in here."""


class FeedCase(NamedTuple):
    """One pair of implementations, and what stages them in an empty folder."""

    name: str
    feed: type
    outlet: type
    stage: Callable[[Path], FeedStage]


class InFolder:
    """Logs in a folder."""

    topics = "one", "other.topic"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def feed(self) -> TopicLogFeed:
        return TopicLog(self._folder).feed(self.topics)

    def outlet(self) -> TopicLogOutlet:
        return TopicLog(self._folder).outlet()

    def break_off(self, record: Outgoing) -> None:
        """Leave all but the last byte of its frame behind the newest record."""
        folder = self._folder / record.topic
        with path_of(folder, segments(folder)[-1]).open("ab") as file:
            file.write(framed(1, record.key, record.value, record.headers)[:-1])

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Let no file grow."""
        soft, hard = getrlimit(RLIMIT_FSIZE)
        setrlimit(RLIMIT_FSIZE, (0, hard))
        try:
            yield
        finally:
            setrlimit(RLIMIT_FSIZE, (soft, hard))


class OnKafka:
    """Topics of one partition each on the run's Kafka."""

    def __init__(self) -> None:
        name = f"feed-{next(_names)}"
        self._name = name
        self.section = KafkaSection(bootstrap=shared_kafka().bootstrap)
        self.topics = f"{name}.one", f"{name}.other"
        client = admin(self.section)
        try:
            client.create_topics({topic: {"num_partitions": 1} for topic in self.topics}, wait_for_metadata=True)
        finally:
            client.close()

    def feed(self) -> KafkaFeed:
        return KafkaFeed(self.section, self.topics)

    def outlet(self) -> KafkaOutlet:
        return open_outlet(self.section)

    def break_off(self, record: Outgoing) -> None:
        """Leave a transaction that was never committed; the one that comes after it ends it."""
        for begins in (True, False):
            producer = KafkaProducer(bootstrap_servers=self.section.bootstrap, transactional_id=self._name)
            producer.init_transactions()
            if begins:
                producer.begin_transaction()
                producer.send(record.topic, key=record.key, value=record.value, headers=list(record.headers))
                producer.flush()
            producer.close(timeout=0)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Let the broker refuse every record."""
        client = admin(self.section)
        try:
            refused = {"max.message.bytes": "10"}
            client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, refused) for topic in self.topics])
        finally:
            client.close()
        yield


FEEDS = [
    FeedCase("folder", TopicLogFeed, TopicLogOutlet, InFolder),
    FeedCase("kafka", KafkaFeed, KafkaOutlet, lambda folder: OnKafka()),
]
