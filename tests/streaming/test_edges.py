"""Records at the edges, on a real Kafka: each is read by both clients, by whoever reads its topic, and ends nothing."""

import pytest

from streaming import service_wiring
from streaming.kafka import output_log
from streaming.kafka.client import Consumer, Record
from streaming.kafka.topics import Topics, create
from streaming.messages import bounds
from streaming.settings import KafkaSection
from tests.edges import Edge, EdgeSender, compressed, of_any_topic
from tests.services import shared_kafka
from tests.site import until

LIBRARIES = ("kafka-python", "confluent")
EDGES = of_any_topic() + compressed(b'{"id":"packed"}')
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
    if record.value is None and edge.name == NOT_UNPACKED:
        assert bounds.taken(record.headers) == (("unpacked", b"more than 33554432 bytes"),)
        return
    assert record.value == edge.value
    assert len(bounds.taken(record.headers)) in (len(edge.headers), 0 if "name" in edge.name else len(edge.headers))
