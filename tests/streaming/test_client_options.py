"""Options of clients by role: each table goes to its own, the common one to all that have the option."""

from collections.abc import Callable
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient
from kafka.errors import UnsupportedCodecError

from fraud.core.errors import DeliveryError, SettingsError
from streaming import service_wiring
from streaming.kafka import topics
from streaming.kafka.client import heartbeat_ms
from streaming.kafka.kafka_python import PythonConsumer, member_options
from streaming.kafka.topics import client_options
from streaming.messages.envelope import Outgoing
from streaming.settings import CLIENT_TABLES, KafkaSection, read_settings
from tests.links import LIBRARIES

LARGE = Outgoing("", b"k", b"x" * 1_040_000, (), 0)
"""More than confluent-kafka sends unless it is told to, and less than a topic takes."""


def test_table_of_a_role_goes_to_it_alone_and_before_the_common_one() -> None:
    kafka = KafkaSection(
        client={"request_timeout_ms": 1_000, "client_id": "all", "linger_ms": 3},
        consumer={"client_id": "reader"},
        producer={"max_request_size": 9, "client_id": "writer"},
        admin={"request_timeout_ms": 2_000},
    )
    options = {kind: client_options(kafka, kind) for kind in (KafkaConsumer, KafkaProducer, KafkaAdminClient)}
    for found in options.values():
        del found["bootstrap_servers"]
    assert options == {
        KafkaConsumer: {"request_timeout_ms": 1_000, "client_id": "reader"},
        KafkaProducer: {"request_timeout_ms": 1_000, "client_id": "writer", "linger_ms": 3, "max_request_size": 9},
        KafkaAdminClient: {"request_timeout_ms": 2_000, "client_id": "all"},
    }


@pytest.mark.parametrize("role", ["consumer", "producer", "admin"])
def test_option_that_a_role_does_not_have_is_refused_by_name(role: str) -> None:
    kafka = KafkaSection(**{role: {"max_request_sise": 9}})  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=rf"\[kafka.{role}\] max_request_sise: no {role} has this option"):
        client_options(kafka, KafkaConsumer)


@pytest.mark.parametrize(("session_ms", "every"), [(400, 100), (6_000, 600), (240_000, 1_000)])
def test_a_member_hears_of_a_rebalance_within_a_second_however_long_its_session(session_ms: int, every: int) -> None:
    assert heartbeat_ms(session_ms) == every
    kafka = KafkaSection(session_timeout=session_ms * 1_000_000)  # type: ignore[arg-type]
    assert member_options(kafka, "m")["heartbeat_interval_ms"] == every


@pytest.mark.parametrize("table", CLIENT_TABLES)
def test_secret_in_any_table_is_not_shown_and_reaches_the_client(table: str) -> None:
    kafka = KafkaSection(**{table: {"sasl_plain_password": "hunter2"}})  # type: ignore[arg-type]
    kinds = {
        "client": KafkaAdminClient,
        "consumer": KafkaConsumer,
        "producer": KafkaProducer,
        "admin": KafkaAdminClient,
    }
    assert "hunter2" not in f"{kafka}"
    assert client_options(kafka, kinds[table])["sasl_plain_password"] == "hunter2"


def test_tables_are_read_from_the_environment() -> None:
    found = read_settings(None, {"FRAUD_KAFKA__PRODUCER": "{ max_request_size = 2000000 }"})
    assert found.kafka.producer == {"max_request_size": 2_000_000}


@pytest.fixture
def made(kafka: str, unique: Callable[[str], str]) -> Callable[..., KafkaSection]:
    """A maker of sites with some options, their topics made."""

    def make(**options: Any) -> KafkaSection:
        name = unique("options")
        section = KafkaSection(bootstrap=kafka, prefix=f"{name}.", group=name, **options)
        topics.create(section, partitions=1)
        return section

    return make


@pytest.mark.parametrize("library", LIBRARIES)
def test_limit_of_a_producer_can_be_raised_and_readers_are_left_alone(
    made: Callable[..., KafkaSection], library: str
) -> None:
    kafka = made(library=library, producer={"max_request_size": 1_048_576})
    producer = service_wiring.producer_of(kafka)
    producer.wait(producer.send(LARGE._replace(topic=f"{kafka.prefix}labels")))
    producer.close()
    consumer = service_wiring.consumer_of(kafka, "g")
    assert consumer.assign([f"{kafka.prefix}labels"]) == [(f"{kafka.prefix}labels", 0)]
    consumer.close()


@pytest.mark.parametrize(("library", "limit"), [("kafka-python", 1_000_000), ("confluent", None)])
def test_message_that_is_too_large_is_told_with_the_repair(
    made: Callable[..., KafkaSection], library: str, limit: int | None
) -> None:
    kafka = made(library=library, producer={} if limit is None else {"max_request_size": limit})
    producer = service_wiring.producer_of(kafka)
    with pytest.raises(DeliveryError, match=r"max.message.bytes.*\[kafka.producer\] max_request_size"):
        producer.wait(producer.send(LARGE._replace(topic=f"{kafka.prefix}labels")))
    producer.close()


def test_codec_that_cannot_be_read_is_told_with_the_repair() -> None:
    class Packed:
        def poll(self, *_: object, **__: object) -> None:
            raise UnsupportedCodecError("Libraries for snappy compression codec not found")

    with pytest.raises(SettingsError, match=r"snappy .*fraud\[kafka\]"):
        PythonConsumer(Packed()).poll(1, 1)
