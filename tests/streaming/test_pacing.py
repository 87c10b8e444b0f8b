"""kafka-python's producer: what one batch sends leaves in one request, alerts in one before it, without a spin."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kafka.protocol.producer import ProduceRequest

from fraud.core.records import Answer, Position, Reject
from streaming import service_wiring
from streaming.kafka.client import Producer
from streaming.kafka.library import paced
from streaming.kafka.offsets import Done
from streaming.kafka.publisher import Publisher
from streaming.worker.service import SWITCH_SECONDS
from tests.contract.sinks import decided
from tests.contract.sources import payments
from tests.links import PARTITIONS, LinkSite
from tests.site import until

BATCHES, ROWS = 25, 32


class Counting(paced.PacedClient):
    """The client as it is, which counts produce requests and turns of the sender's loop."""

    requests = turns = 0

    def send(self, node_id: Any, request: Any, **options: Any) -> Any:
        Counting.requests += isinstance(request, ProduceRequest)
        return super().send(node_id, request, **options)

    def poll(self, timeout_ms: float | None = None, future: Any = None) -> Any:
        Counting.turns += 1
        return super().poll(timeout_ms, future)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Counting]]:
    """Counts of a producer made in the test."""
    Counting.requests = Counting.turns = 0
    monkeypatch.setattr(paced, "PacedClient", Counting)
    before = sys.getswitchinterval()
    # As in a worker: the sender gets its turn while messages are put together.
    sys.setswitchinterval(SWITCH_SECONDS)
    yield Counting
    sys.setswitchinterval(before)


@pytest.fixture
def site() -> LinkSite:
    return LinkSite()


@pytest.fixture
def producer(site: LinkSite, counted: type[Counting]) -> Iterator[Producer]:
    made = service_wiring.producer_of(site.section)
    yield made
    made.close()


def answers(count: int = ROWS) -> list[Answer]:
    """Return answers over all partitions, every second with an alert."""
    return [
        decided(tx, Position("transactions", number % PARTITIONS, number), number)
        for number, tx in enumerate(payments(count))
    ]


def publisher(site: LinkSite, producer: Producer, noted: list[Done]) -> Publisher:
    """Return a publisher whose client has met broker and topics."""
    made = Publisher(producer, site.topics, noted.append)
    made.publish(made.messages(answers(8), [reject()], (), b"", {}))
    made.flush()
    return made


def reject() -> Reject:
    return Reject("json", "no", b"{", Position("transactions", 0, 1))


def test_a_batch_leaves_in_one_request_and_its_alerts_in_one_before(
    site: LinkSite, producer: Producer, counted: type[Counting]
) -> None:
    out = publisher(site, producer, [])
    mild = [answer for answer in answers() if answer.alert is None]
    counted.requests = counted.turns = 0
    for _ in range(BATCHES):
        out.publish(out.messages(mild, [reject()], (), b"", {}))
    out.flush()
    assert counted.requests == BATCHES
    for _ in range(BATCHES):
        out.publish(out.messages(answers(), [reject()], (), b"", {}))
        # Else alerts may leave with the decisions of the batch before.
        out.flush()
    assert counted.requests == 3 * BATCHES


def test_the_sender_does_not_spin_while_a_request_is_under_way(
    site: LinkSite, producer: Producer, counted: type[Counting]
) -> None:
    out = publisher(site, producer, [])
    counted.turns = 0
    for _ in range(BATCHES):
        out.publish(out.messages(answers(), [reject()], (), b"", {}))
    out.flush()
    # Two requests a batch: a turn to send each, one or two to hear of it, now and then one for nothing.
    assert counted.turns <= 10 * BATCHES


def test_nothing_leaves_before_the_push_however_long_the_batch_takes(
    site: LinkSite, producer: Producer, counted: type[Counting]
) -> None:
    batch = publisher(site, producer, []).messages(answers(PARTITIONS), (), (), b"", {})
    counted.requests = 0
    sent = []
    for message in (each.message for each in batch.decisions):
        sent.append(producer.send(message))
        time.sleep(0.01)
    assert counted.requests == 0
    producer.push()
    assert [producer.wait(each) > 0 for each in sent] == [True] * PARTITIONS
    assert counted.requests == 1


def test_what_is_waited_for_leaves_without_a_push(site: LinkSite, producer: Producer) -> None:
    message = publisher(site, producer, []).messages(answers(1), (), (), b"", {}).decisions[0].message
    assert producer.wait(producer.send(message)) > 0


def test_the_first_message_of_a_topic_is_sent_while_others_wait(site: LinkSite, producer: Producer) -> None:
    out = Publisher(producer, site.topics, lambda done: None)
    messages = out.messages(answers(4), [reject()], (), b"", {})
    out.publish(messages)
    out.flush()
    until(lambda: len(site.records(site.topics.decisions)) == 4, "the decisions", 10)


def test_messages_that_wait_leave_when_the_producer_is_closed(site: LinkSite, counted: type[Counting]) -> None:
    made = service_wiring.producer_of(site.section)
    message = publisher(site, made, []).messages(answers(1), (), (), b"", {}).decisions[0].message
    before = len(site.records(site.topics.decisions))
    made.send(message)
    made.close()
    assert len(site.records(site.topics.decisions)) == before + 1


def test_clients_keep_no_metrics_that_nobody_reads(site: LinkSite, producer: Producer) -> None:
    consumer = service_wiring.consumer_of(site.section, site.section.group)
    assert (producer._producer._metrics, consumer._consumer._metrics) == (None, None)  # type: ignore[attr-defined]
    consumer.close()
