"""The topic `model-updates`: its own configuration, read from its end backwards, followed."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource

from fraud.core.errors import SettingsError
from streaming.kafka import updates
from streaming.kafka.topics import Topics, admin, create, described
from streaming.kafka.updates import Update, everything, in_force, newest, open_updates
from streaming.settings import KafkaSection

Send = Callable[[Sequence[tuple[str, bytes]]], None]


@pytest.fixture
def site(kafka: str, unique: Callable[[str], str]) -> KafkaSection:
    """A site with its topics."""
    settings = KafkaSection(bootstrap=kafka, prefix=f"{unique('updates')}.")
    create(settings, partitions=2)
    return settings


@pytest.fixture
def send(site: KafkaSection) -> Iterator[Send]:
    """What publishes keys and values."""
    producer = KafkaProducer(bootstrap_servers=site.bootstrap, acks="all")

    def sent(records: Sequence[tuple[str, bytes]]) -> None:
        for key, value in records:
            producer.send(Topics.of(site).updates, key=key.encode(), value=value or None)
        producer.flush()

    yield sent
    producer.close()


def test_topic_has_one_partition_and_keeps_the_newest_of_each_key(site: KafkaSection) -> None:
    names = Topics.of(site)
    found = described(site, names)
    assert {name: len(found[name]["partitions"]) for name in names} == {
        name: 1 if name == names.updates else 2 for name in names
    }
    client = admin(site)
    try:
        configs = client.describe_configs([ConfigResource("TOPIC", names.updates)])
    finally:
        client.close()
    told = str(configs)
    assert "compact,delete" in told
    assert str(32 * 86_400_000) in told


def test_newest_reads_from_the_end_only_as_far_as_is_enough(
    site: KafkaSection, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    send([(f"event/{number}", str(number).encode()) for number in range(90)])
    monkeypatch.setattr(updates, "BACK", 4)
    found = newest(site, lambda held: len(held) >= 10)
    assert list(found) == [f"event/{number}" for number in range(74, 90)]
    assert list(newest(site, lambda held: len(held) >= 3)) == [f"event/{number}" for number in range(86, 90)]
    assert len(newest(site, everything)) == 90
    assert len(newest(site, lambda held: "event/never" in held)) == 90


def test_of_a_key_the_newest_holds_and_one_taken_away_is_gone(site: KafkaSection, send: Send) -> None:
    send([("live/a", b"1"), ("live/b", b"2"), ("live/a", b"3"), ("event/1", b"4"), ("event/1", b"")])
    assert newest(site, everything) == {"live/b": b"2", "live/a": b"3"}
    assert list(newest(site, everything)) == ["live/b", "live/a"]


def test_topic_without_a_record_has_nothing(site: KafkaSection) -> None:
    assert newest(site, everything) == {}
    assert in_force(site, "demo@1") == {}


def test_what_is_in_force_is_found_far_back_with_the_snapshot_that_it_names(
    site: KafkaSection, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "BACK", 2)
    live = b'{"base":"demo@1","version":"1-a","seq":1}'
    send([("snapshot/1-a", b"first"), ("snapshot/2-b", b"second"), ("live/demo@1", live), ("live/other@1", b"{}")])
    send([(f"event/{number}", b"{}") for number in range(20)])
    assert list(in_force(site, "demo@1").items()) == [("snapshot/1-a", b"first"), ("live/demo@1", live)]
    send([("live/demo@1", b'{"version":""}')])
    assert in_force(site, "demo@1") == {"live/demo@1": b'{"version":""}'}


def test_reader_follows_from_the_begin_or_from_now_on(site: KafkaSection, send: Send) -> None:
    send([("event/1", b"a")])
    whole, fresh = open_updates(site), open_updates(site, at_end=True)
    try:
        send([("event/2", b"b"), ("event/1", b"")])
        assert read(whole, 3) == [Update("event/1", b"a"), Update("event/2", b"b"), Update("event/1", b"")]
        assert read(fresh, 2) == [Update("event/2", b"b"), Update("event/1", b"")]
    finally:
        whole.close()
        fresh.close()


def read(reader: updates.UpdateReader, count: int) -> list[Update]:
    found: list[Update] = []
    while len(found) < count:
        found += reader.poll()
    return found


def test_missing_topic_is_named_with_the_repair(kafka: str) -> None:
    with pytest.raises(SettingsError, match=r"no topic gone\.model-updates at .*fraud topics create"):
        newest(KafkaSection(bootstrap=kafka, prefix="gone."), everything)


def test_record_of_what_is_live_that_cannot_be_read_names_no_version(site: KafkaSection, send: Send) -> None:
    send([("live/b", b'{"version":"1-a"}'), ("snapshot/1-a", b"{}"), ("snapshot/2-b", b"{}")])
    assert in_force(site, "b") == {"live/b": b'{"version":"1-a"}', "snapshot/1-a": b"{}"}
    for odd in (b"\xff", b"[" * 50_000, b'{"version":7}', b"[]"):
        send([("live/b", odd)])
        assert in_force(site, "b") == {"live/b": odd}
