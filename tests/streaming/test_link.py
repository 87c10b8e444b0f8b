"""The link's side of rebalances, on a real Kafka, its callbacks called where the client calls them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from fraud.core.records import Answer
from streaming.kafka.link import KafkaLink, Link
from streaming.kafka.topics import create
from streaming.messages.codec import Codec
from streaming.observe.stages import Watch
from streaming.settings import KafkaSection
from streaming.worker.deadlines import Ladder
from tests.site import until

SECOND = 1_000_000_000
PARTITIONS = range(4)


class Store:
    """A store that the link needs nothing of."""

    birth = "here"

    def put_answers(self, answers: Sequence[Answer]) -> None:
        """Take them."""

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        """Take them."""


@pytest.fixture
def link(kafka: str, unique: Callable[[str], str]) -> Iterator[KafkaLink]:
    """A link on topics made a moment ago, with one message that cannot be read in partition 1."""
    name = unique("link")
    section = KafkaSection(bootstrap=kafka, prefix=f"{name}.", group=name)
    create(section, partitions=len(PARTITIONS))
    producer = KafkaProducer(bootstrap_servers=kafka, acks="all")
    producer.send(f"{name}.transactions", value=b"{", partition=1).get(30)
    producer.close()
    made = KafkaLink(
        Link(
            kafka=section, codec=Codec(), store=Store(), member="one", batch=32,
            durable_after=SECOND, ladder=Ladder(SECOND), watch=Watch(),
        )
    )  # fmt: skip
    yield made
    made.close()


def take_up(link: KafkaLink) -> None:
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
    take_up(link)
    for _ in range(20):
        link.read()
        link.write([], [])
        link.commit([])
    assert link.assigned == 2 * len(PARTITIONS)
    assert link.counts["recoveries"] == 1


def test_partitions_are_given_up_with_what_is_under_way_acknowledged_and_committed(link: KafkaLink, kafka: str) -> None:
    take_up(link)
    topics = link.topics
    link.give_partitions([(name, number) for name in (topics.transactions, topics.known) for number in PARTITIONS])
    group = topics.transactions.partition(".")[0]
    reader = KafkaConsumer(bootstrap_servers=kafka, group_id=group, enable_auto_commit=False)
    try:
        until(lambda: reader.committed(TopicPartition(topics.transactions, 1)) == 1, "the commit", 10)
        assert sum(reader.end_offsets([TopicPartition(topics.dead, n) for n in PARTITIONS]).values()) == 1
    finally:
        reader.close()
