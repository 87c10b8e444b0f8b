"""Readers of the output see each effect exactly once, also where a worker published twice, and after a crash."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from kafka import KafkaProducer

from fraud.core.records import Action, Alert, Answer, Position, Reject
from streaming.kafka import output_log
from streaming.kafka.output_log import Once, OutputReader, Positions, open_output
from streaming.kafka.topics import Topics, create
from streaming.messages import envelope
from streaming.messages.envelope import Outgoing
from streaming.settings import KafkaSection
from tests.contract.driving import answer
from tests.contract.payments import payment
from tests.site import until

TOPICS = Topics()
INPUT = "transactions@abc"


class Read(NamedTuple):
    """A record as a client gives it."""

    topic: str
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


def at(offset: int, topic: str = INPUT, partition: int = 0) -> Answer:
    return answer(payment(f"{topic}-{partition}-{offset}"), Position(topic, partition, offset))


def alerted(of: Answer) -> Answer:
    decision = of.decision
    alert = Alert(
        id=f"alert-{decision.tx_id}", tx_id=decision.tx_id, version=0, action=Action.REVIEW, score=0.5,
        expected_loss=1, reasons=(), seen_at=1, card="c", merchant="m", base_amount=1,
    )  # fmt: skip
    return msgspec.structs.replace(of, alert=alert)


def read(message: Outgoing) -> Read:
    return Read(message.topic, message.value, message.headers, message.partition or 0)


def decided(*answers: Answer) -> list[Read]:
    return [read(envelope.decision_out(one, TOPICS.decisions)) for one in answers]


def accepted(once: Once, records: list[Read]) -> list[bool]:
    return [once.accepts(record) for record in records]


def test_a_decision_at_or_below_what_was_seen_of_its_partition_is_dropped() -> None:
    twice = decided(at(4), at(5), at(4), at(5), at(6))
    assert accepted(Once(TOPICS), twice) == [True, True, False, False, True]


def test_partitions_and_a_topic_made_again_are_told_apart() -> None:
    records = decided(at(7), at(0, partition=1), at(0, topic="transactions@def"))
    assert accepted(Once(TOPICS), records) == [True, True, True]


def test_applied_labels_have_positions_of_their_own() -> None:
    source = ((envelope.SOURCE, envelope.position_text(Position("labels.known@x", 0, 3))),)
    label = Read(TOPICS.applied, b"{}", source)
    assert accepted(Once(TOPICS), [*decided(at(9)), label, label]) == [True, True, False]


def test_an_alert_is_dropped_by_its_id_and_a_dead_letter_by_its_source() -> None:
    alerts = [read(envelope.alert_out(alerted(at(offset)), TOPICS.alerts)) for offset in (5, 4, 5)]
    assert accepted(Once(TOPICS), alerts) == [True, True, False]
    rejects = [Reject("json", "no", b"{", Position(INPUT, 0, offset)) for offset in (5, 4, 5)]
    letters = [read(envelope.reject_out(reject, TOPICS.dead)) for reject in rejects]
    note = Read(TOPICS.dead, b"", (("redriven", b"x"),))
    assert accepted(Once(TOPICS), [*letters, note, note]) == [True, True, False, True, True]


def test_what_names_no_source_is_dropped_and_counted() -> None:
    once = Once(TOPICS)
    strangers = [Read(TOPICS.decisions, b"{}", ()), Read(TOPICS.alerts, b"{", ()), Read(TOPICS.applied, b"", ())]
    assert accepted(once, strangers) == [False, False, False]
    assert once.foreign == 3


def test_ids_are_bounded_and_the_newest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_log, "MOST_IDS", 2)
    alerts = [read(envelope.alert_out(alerted(at(offset)), TOPICS.alerts)) for offset in (1, 2, 3, 3, 2)]
    once = Once(TOPICS)
    assert accepted(once, alerts) == [True, True, True, False, False]
    assert once.positions({}).ids == (f"alert-{INPUT}-0-2", f"alert-{INPUT}-0-3")


def test_positions_survive_their_text() -> None:
    once = Once(TOPICS)
    once.accepts(decided(at(5))[0])
    once.accepts(read(envelope.alert_out(alerted(at(5)), TOPICS.alerts)))
    kept = once.positions({("decisions", 0): 1})
    again = msgspec.json.decode(msgspec.json.encode(kept), type=Positions)
    assert again == kept
    assert accepted(Once(TOPICS, again), decided(at(5), at(6))) == [False, True]


# --- on a real Kafka -------------------------------------------------------------------------------------------------


@pytest.fixture
def section(kafka: str, unique: Callable[[str], str]) -> KafkaSection:
    name = unique("output")
    made = KafkaSection(bootstrap=kafka, prefix=f"{name}.", group=name)
    create(made, partitions=2)
    return made


@pytest.fixture
def publish(section: KafkaSection) -> Iterator[Callable[..., None]]:
    """A publisher of answers, decision and alert of each."""
    producer = KafkaProducer(bootstrap_servers=section.bootstrap, acks="all")
    topics = Topics.of(section)

    def send(*answers: Answer) -> None:
        for one in answers:
            for message in (envelope.alert_out(one, topics.alerts), envelope.decision_out(one, topics.decisions)):
                where: dict[str, Any] = {"key": message.key, "partition": message.partition}
                producer.send(message.topic, value=message.value, headers=list(message.headers), **where).get(30)

    yield send
    producer.close()


def all_of(reader: OutputReader, count: int) -> list[str]:
    """Return topic and transaction of each record that a reader gives, in order of text, once there are `count`."""
    topics, found = (".decisions", ".alerts"), list[str]()

    def more() -> bool:
        for record in reader.poll(50):
            kind = next(name for name in topics if record.topic.endswith(name))
            found.append(f"{kind} {msgspec.json.decode(record.value)['tx_id'].rsplit('-', 2)[1:]}")
        return len(found) >= count

    until(more, lambda: f"{count} records, found {found}", 20)
    return sorted(found)


def test_a_reader_that_goes_on_from_kept_positions_misses_nothing_and_sees_nothing_twice(
    section: KafkaSection, publish: Callable[..., None]
) -> None:
    topics = Topics.of(section)
    names = [topics.decisions, topics.alerts]
    publish(*(alerted(at(offset, partition=offset % 2)) for offset in range(4)))
    first = open_output(section, names)
    begun = all_of(first, 8)
    kept = msgspec.json.decode(msgspec.json.encode(first.positions), type=Positions)
    first.close()
    # A worker that woke up publishes again what another has published, and both go on.
    publish(*(alerted(at(offset, partition=offset % 2)) for offset in (2, 3, 4, 5, 4, 5)))
    second = open_output(section, names, kept)
    rest = all_of(second, 4)
    assert second.poll(200) == []
    second.close()
    assert len(set(begun)) == 8
    assert rest == [f"{kind} ['{n % 2}', '{n}']" for kind in (".alerts", ".decisions") for n in (4, 5)]


def test_a_reader_at_the_end_sees_only_what_comes_after(section: KafkaSection, publish: Callable[..., None]) -> None:
    publish(alerted(at(0)))
    reader = open_output(section, [Topics.of(section).decisions], at_end=True)
    publish(alerted(at(1)))
    assert all_of(reader, 1) == [".decisions ['0', '1']"]
    assert {(partition, offset) for _, partition, offset in reader.positions.next} == {(0, 2), (1, 0)}
    reader.close()


def test_a_topic_in_the_middle_of_a_partition_is_read_from_its_kept_offset(
    section: KafkaSection, publish: Callable[..., None]
) -> None:
    topic = Topics.of(section).decisions
    publish(*(alerted(at(offset)) for offset in range(3)))
    reader = open_output(section, [topic], Positions(next=((topic, 0, 2),)))
    assert all_of(reader, 1) == [".decisions ['0', '2']"]
    reader.close()
