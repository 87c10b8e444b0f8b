"""Records at the edges, on a real Kafka: each is read by both clients, by whoever reads its topic, and ends nothing."""

import pytest
from confluent_kafka import Producer

from fraud.core.records import Position
from streaming import service_wiring
from streaming.kafka import output_log
from streaming.kafka.client import Consumer, Record
from streaming.kafka.topics import Topics, create
from streaming.messages import bounds, envelope
from streaming.messages.codec import Codec
from streaming.rebuild.inputs import InputLog
from streaming.settings import KafkaSection
from tests.edges import MIB, Edge, EdgeSender, compressed, is_raw, of_any_topic
from tests.links import LIBRARIES, known
from tests.services import shared_kafka
from tests.site import until

EDGES = of_any_topic() + compressed(b'{"id":"packed"}')
RAW_HEADERS: dict[str, bounds.Headers] = {"kafka-python": (("n??", b"v"), ("fine", b"v")), "confluent": ()}
"""What either client makes of a header whose name is no text, and of those beside it."""
NOT_UNPACKED = "too large when unpacked"


@pytest.fixture(scope="module")
def site() -> KafkaSection:
    """A site on the run's Kafka; every edge stands in its `transactions`, each with a record of its name behind it."""
    made = KafkaSection(bootstrap=shared_kafka().bootstrap, prefix="edges.", group="edges")
    create(made, partitions=1)
    sender = EdgeSender(made.bootstrap)
    for edge in EDGES:
        assert sender.send(Topics.of(made).transactions, [edge, Edge("behind", edge.name.encode())]) == []
    sender.close()
    return made


def section(site: KafkaSection, library: str) -> KafkaSection:
    return KafkaSection(bootstrap=site.bootstrap, library=library)  # type: ignore[arg-type]


def read_by(consumer: Consumer, topic: str) -> list[Record]:
    """Return what a consumer finds in a topic, all edges and what stands behind them."""
    consumer.assign([topic])
    found: list[Record] = []

    def whole() -> bool:
        found.extend(record for several in consumer.poll(100, 50).values() for record in several)
        return len(found) == 2 * len(EDGES)

    until(whole, lambda: f"{2 * len(EDGES)} records, found {len(found)}", 60)
    return found


@pytest.fixture(scope="module", params=(*LIBRARIES, "readers without a group"))
def records(request: pytest.FixtureRequest, site: KafkaSection) -> dict[str, Record]:
    """The edges by name, as each client gives them."""
    topic = Topics.of(site).transactions
    if request.param in LIBRARIES:
        chosen = KafkaSection(bootstrap=site.bootstrap, library=request.param)
        consumer = service_wiring.consumer_of(chosen, f"read-by-{request.param}")
        try:
            found = read_by(consumer, topic)
        finally:
            consumer.close()
    else:
        found = list(output_log.records(site, {(topic, 0): 0}))
    assert [record.value for record in found[1::2]] == [edge.name.encode() for edge in EDGES]
    return dict(zip((edge.name for edge in EDGES), found[::2], strict=True))


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.name)
def test_edge_is_read_as_it_was_sent(records: dict[str, Record], edge: Edge) -> None:
    record = records[edge.name]
    headers = bounds.taken(record.headers)
    if edge.name == NOT_UNPACKED:
        assert (record.value, [name for name, _ in headers]) == (None, ["unpacked"])
        return
    assert record.value == edge.value
    if is_raw(edge):  # question marks in its name, or no headers at all
        assert headers in RAW_HEADERS.values()
        return
    assert headers == bounds.taken(edge.headers)


def test_names_that_are_no_text_end_no_client_however_many_there_are(site: KafkaSection) -> None:
    """Python calls a method in another way once it has been called some times."""
    topic, sender = f"{site.prefix}labels", EdgeSender(site.bootstrap)
    raw = next(edge for edge in EDGES if is_raw(edge))
    sender.send(topic, [raw] * 100)
    for library in LIBRARIES:
        consumer = service_wiring.consumer_of(section(site, library), f"names-{library}")
        consumer.assign([topic])
        found: list[Record] = []

        def whole(into: list[Record] = found, reader: Consumer = consumer) -> bool:
            into.extend(record for several in reader.poll(100, 50).values() for record in several)
            return len(into) == 100

        until(whole, lambda into=found: f"100 records, found {len(into)}")  # type: ignore[misc]
        assert {bounds.taken(record.headers) for record in found} == {RAW_HEADERS[library]}
        consumer.close()


def test_records_of_a_batch_that_is_not_unpacked_come_one_by_one(site: KafkaSection) -> None:
    """Each has its own offset, so that each has its letter, and what stands behind them is read."""
    topic = f"{site.prefix}alerts"
    values = [bytes(36 * MIB)] * 3
    producer = Producer(
        {"bootstrap.servers": site.bootstrap, "compression.type": "zstd", "linger.ms": 5_000, "acks": "all",
         "message.max.bytes": 500_000_000, "batch.size": 500_000_000}
    )  # fmt: skip
    for value in values:
        producer.produce(topic, value, partition=0)
    producer.flush(60)
    sender = EdgeSender(site.bootstrap)
    sender.send(topic, [Edge("behind", b"behind")])
    for library in LIBRARIES:
        consumer = service_wiring.consumer_of(section(site, library), f"all-{library}")
        (place,) = consumer.assign([topic])
        for begin in (0, 1):
            consumer.seek(place, begin)
            found: list[Record] = []

            def whole(wanted: int = 4 - begin, into: list[Record] = found, reader: Consumer = consumer) -> bool:
                into.extend(record for several in reader.poll(100, 50).values() for record in several)
                return len(into) >= wanted

            until(whole, lambda into=found: f"what stands behind, found {[each.offset for each in into]}")  # type: ignore[misc]
            assert [record.offset for record in found] == list(range(begin, 4))
            assert [record.value for record in found] == [None] * (3 - begin) + [b"behind"]
        consumer.close()


def test_what_stands_among_applied_labels_and_is_none_is_left_out_of_a_rebuild(site: KafkaSection) -> None:
    topics, sender = Topics.of(site), EdgeSender(site.bootstrap)
    source = envelope.position_text(Position(f"{topics.known}@abc", 0, 3))
    label = envelope.known_out(known("t1"), topics.applied).value
    sender.send(topics.applied, [*EDGES, Edge("label", label, headers=((envelope.SOURCE, source),)), *EDGES])
    ids = {topics.transactions: "abc", topics.known: "abc"}
    found = list(InputLog(site, ids, Codec()).applied(0))
    assert [arrival.event for _, arrival in found] == [known("t1")]
