"""What a feed on Kafka does beside its contract: partitions that are added, topics that are not there."""

from collections.abc import Callable, Iterator

import pytest
from kafka import KafkaProducer

from fraud.core.errors import SettingsError
from streaming.feeds.kafka import KafkaFeed, open_outlet
from streaming.kafka.topics import admin
from streaming.messages.envelope import Outgoing
from streaming.messages.feed import Record
from streaming.settings import KafkaSection
from tests.site import until


@pytest.fixture
def site(kafka: str) -> KafkaSection:
    return KafkaSection(bootstrap=kafka)


@pytest.fixture
def topic(site: KafkaSection, unique: Callable[[str], str]) -> str:
    """A topic of two partitions."""
    name = unique("followed")
    client = admin(site)
    client.create_topics({name: {"num_partitions": 2}}, wait_for_metadata=True)
    client.close()
    return name


@pytest.fixture
def feed(site: KafkaSection, topic: str) -> Iterator[KafkaFeed]:
    made = KafkaFeed(site, [topic], notice_ms=100)
    yield made
    made.close()


def put(site: KafkaSection, topic: str, partition: int, *values: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=site.bootstrap, acks="all")
    for value in values:
        producer.send(topic, value=value, partition=partition)
    producer.flush()
    producer.close()


def read(feed: KafkaFeed, count: int) -> list[Record]:
    found: list[Record] = []

    def enough() -> bool:
        found.extend(feed.poll(0.1))
        return len(found) >= count

    until(enough, lambda: f"{count} records, found {len(found)}")
    return found


def test_each_partition_goes_on_where_its_reader_says(site: KafkaSection, topic: str, feed: KafkaFeed) -> None:
    put(site, topic, 0, b"0", b"1", b"2")
    put(site, topic, 1, b"10", b"11")
    feed.start({(topic, 0): 2})
    assert sorted(record.value for record in read(feed, 3)) == [b"10", b"11", b"2"]
    assert feed.ends() == {(topic, 0): 3, (topic, 1): 2}


def test_partition_that_is_added_is_noticed_and_read_from_its_begin(
    site: KafkaSection, topic: str, feed: KafkaFeed
) -> None:
    put(site, topic, 0, b"old")
    feed.start({})
    read(feed, 1)
    client = admin(site)
    client.create_partitions({topic: 3})
    client.close()
    until(lambda: (topic, 2) in feed.ends() or bool(feed.poll(0.05)), "the third partition")
    put(site, topic, 2, b"new")
    put(site, topic, 0, b"newer")
    assert sorted(record.value for record in read(feed, 2)) == [b"new", b"newer"]


def test_record_without_a_value_has_an_empty_one(site: KafkaSection, topic: str, feed: KafkaFeed) -> None:
    producer = KafkaProducer(bootstrap_servers=site.bootstrap, acks="all")
    producer.send(topic, key=b"gone", value=None, partition=1)
    producer.flush()
    producer.close()
    feed.start({})
    (found,) = read(feed, 1)
    assert (found.key, found.value, found.headers, found.partition) == (b"gone", b"", (), 1)


def test_topic_that_is_not_there_is_named_with_the_repair(site: KafkaSection, topic: str) -> None:
    feed = KafkaFeed(site, [topic, "never.made"])
    with pytest.raises(SettingsError, match=r"no topic never\.made at .*: make them with 'fraud topics create'"):
        feed.start({})
    feed.close()


def test_records_of_one_key_stay_in_order_over_partitions(site: KafkaSection, topic: str, feed: KafkaFeed) -> None:
    outlet = open_outlet(site)
    outlet.send([Outgoing(topic, b"k%d" % (number % 7), b"%d" % number) for number in range(200)])
    outlet.close()
    feed.start({})
    found = read(feed, 200)
    assert {record.partition for record in found} == {0, 1}
    for key in {record.key for record in found}:
        values = [int(record.value) for record in found if record.key == key]
        assert values == sorted(values)
    with pytest.raises(ValueError, match="is closed"):
        outlet.send([])
