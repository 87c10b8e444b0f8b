"""The link's side of rebalances, on a real Kafka, its callbacks called where the client calls them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from fraud.core.records import Answer, Level
from streaming import service_wiring
from streaming.kafka.link import KafkaLink
from streaming.kafka.recovery import Mode
from streaming.kafka.topics import Topics, create
from streaming.observe.stages import Watch
from streaming.settings import KafkaSection, ServiceSettings
from tests.site import until

PARTITIONS = range(4)


class Store:
    """A store that is always there, and that the link needs nothing of."""

    birth = "here"
    mode = Mode.NORMAL

    def put_answers(self, answers: Sequence[Answer]) -> None:
        """Take them."""

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        """Take them."""

    def begun_again(self) -> None:
        """Do nothing: it never went away."""


def in_full(age: int) -> tuple[Level, tuple[str, ...]]:
    """Return that there is always time."""
    del age
    return Level.FULL, ()


@pytest.fixture
def section(kafka: str, unique: Callable[[str], str]) -> KafkaSection:
    """Topics made a moment ago, with one message that cannot be read in partition 1."""
    name = unique("link")
    made = KafkaSection(bootstrap=kafka, prefix=f"{name}.", group=name)
    create(made, partitions=len(PARTITIONS))
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    producer.send(f"{name}.transactions", value=b"{", partition=1).get(30)
    producer.close()
    return made


@pytest.fixture
def link(section: KafkaSection) -> Iterator[KafkaLink]:
    """A link on these topics."""
    made = service_wiring.kafka_link(ServiceSettings(kafka=section), "one", Store(), Watch(), in_full)
    yield made
    made.close()


def take_bad_message(link: KafkaLink) -> None:
    """Read until the bad message is there, and send its letter."""
    rejects: list[Any] = []

    def read() -> bool:
        intake = link.read()
        assert intake is not None
        rejects.extend(intake.rejects)
        if not rejects:
            link.write([], [])
            link.commit([])
        return bool(rejects)

    until(read, "the bad message")
    link.write([], rejects)
    link.commit([])


def test_first_assignment_on_new_topics_is_whole_and_no_second_one_follows(link: KafkaLink) -> None:
    take_bad_message(link)
    for _ in range(20):
        link.read()
        link.write([], [])
        link.commit([])
    assert link.assigned == 2 * len(PARTITIONS)
    assert link.counts.recoveries == 1


def test_partitions_are_given_up_with_what_is_under_way_acknowledged_and_committed(
    link: KafkaLink, section: KafkaSection, kafka: str
) -> None:
    take_bad_message(link)
    topics = Topics.of(section)
    link.give_partitions([(name, number) for name in (topics.transactions, topics.known) for number in PARTITIONS])
    reader = KafkaConsumer(bootstrap_servers=kafka, group_id=section.group, enable_auto_commit=False)
    try:
        until(lambda: reader.committed(TopicPartition(topics.transactions, 1)) == 1, "the commit", 10)
        assert sum(reader.end_offsets([TopicPartition(topics.dead, n) for n in PARTITIONS]).values()) == 1
    finally:
        reader.close()
