"""Our runner of Kafka: messages in and out, what survives a crash, three nodes with one of them dead."""

from collections.abc import Callable

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError

from infra.services import KafkaServer
from infra.services.kafka_wire import brokers


def create(bootstrap: str, topic: str, copies: int = 1) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_topics([NewTopic(topic, 1, copies)])
    finally:
        admin.close()


def send(bootstrap: str, topic: str, value: bytes, at_ms: int | None = None) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    producer.send(topic, value, timestamp_ms=at_ms).get(20)
    producer.close()


def read(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=20_000)
    consumer.assign([TopicPartition(topic, 0)])
    values = [record.value for _, record in zip(range(count), consumer, strict=False)]
    consumer.close()
    return values


def test_kafka_takes_and_gives_messages_however_old(kafka: str, unique: Callable[[str], str]) -> None:
    topic = unique("t")
    create(kafka, topic)
    send(kafka, topic, b"new")
    send(kafka, topic, b"old", at_ms=1)
    assert read(kafka, topic, 2) == [b"new", b"old"]


def test_kafka_makes_no_topic_by_itself(kafka: str, unique: Callable[[str], str]) -> None:
    topic = unique("t")
    admin = KafkaAdminClient(bootstrap_servers=kafka)
    admin.describe_topics([topic])
    assert topic not in admin.list_topics()
    admin.close()


def test_kafka_of_a_run_is_one(kafka: str, kafka_server: KafkaServer) -> None:
    assert kafka == f"127.0.0.1:{kafka_server.ports[0]}"
    assert brokers(kafka_server.ports[0]) == {1}


def test_port_where_nobody_listens_has_no_brokers(kafka_server: KafkaServer) -> None:
    assert brokers(kafka_server.ports[0] - 1) == set()


@pytest.mark.slow
def test_kafka_that_was_killed_starts_again_with_its_data(own_kafka: KafkaServer) -> None:
    address = own_kafka.bootstrap
    create(address, "t")
    send(address, "t", b"hello")
    own_kafka.kill()
    assert own_kafka.processes[0].pid is None
    own_kafka.start(tied=True)
    assert own_kafka.bootstrap == address
    assert read(address, "t", 1) == [b"hello"]


@pytest.mark.slow
def test_three_nodes_lose_nothing_with_one_of_them_dead(fresh_kafka: Callable[..., KafkaServer]) -> None:
    server = fresh_kafka(nodes=3)
    assert [brokers(port) for port in server.ports] == [{1, 2, 3}] * 3
    create(server.bootstrap, "t", copies=3)
    send(server.bootstrap, "t", b"one")
    server.kill_node(0)
    send(server.bootstrap, "t", b"two")
    assert read(server.bootstrap, "t", 2) == [b"one", b"two"]
    server.start_node(0, tied=True)
    server.wait(0, among=3)
    with pytest.raises(TopicAlreadyExistsError):
        create(server.bootstrap, "t", copies=3)
