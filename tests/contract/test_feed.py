"""The promises of the Feed and Outlet ports, on every implementation."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fraud.core.errors import DeliveryError
from streaming.messages.envelope import Outgoing
from streaming.messages.feed import MOST_RECORDS, Feed, Outlet, Record
from tests.contract.feeds import FEEDS, FeedCase, FeedStage
from tests.site import until

LONG = 30.0


@pytest.fixture(params=FEEDS, ids=lambda case: case.name)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> FeedStage:
    case: FeedCase = request.param
    return case.stage(tmp_path)


@pytest.fixture
def outlet(stage: FeedStage) -> Iterator[Outlet]:
    made = stage.outlet()
    yield made
    made.close()


@pytest.fixture
def feed(stage: FeedStage) -> Iterator[Feed]:
    made = stage.feed()
    yield made
    made.close()


def numbered(topic: str, numbers: Sequence[int]) -> list[Outgoing]:
    """Return records whose values are numbers, under one key."""
    return [Outgoing(topic, b"key", str(number).encode()) for number in numbers]


def numbers(records: Sequence[Record]) -> list[int]:
    return [int(record.value) for record in records]


def read(feed: Feed, count: int) -> list[Record]:
    """Return so many records, and what came with the last of them."""
    found: list[Record] = []

    def enough() -> bool:
        found.extend(feed.poll(0.1))
        return len(found) >= count

    until(enough, lambda: f"{count} records, found {len(found)}")
    return found


def test_records_come_in_order_with_all_that_was_sent(stage: FeedStage, outlet: Outlet, feed: Feed) -> None:
    one, _ = stage.topics
    headers = ("source", b"t@1/0/7"), ("vector", bytes(range(256))), ("source", b"again")
    sent = [Outgoing(one, b"c\xff", b'{"n":1}', headers), *numbered(one, range(2, 40))]
    outlet.send(sent[:10])
    outlet.send(sent[10:])
    feed.start({})
    found = read(feed, len(sent))
    assert [(each.key, each.value, each.headers) for each in found] == [
        (each.key, each.value, each.headers) for each in sent
    ]
    assert {(each.topic, each.partition) for each in found} == {(one, 0)}
    assert [each.offset for each in found] == sorted({each.offset for each in found})


def test_time_of_a_record_is_that_of_its_writing_and_never_goes_back(
    stage: FeedStage, outlet: Outlet, feed: Feed
) -> None:
    one, _ = stage.topics
    outlet.send(numbered(one, [1]))
    outlet.send(numbered(one, [2]))
    feed.start({})
    times = [each.at for each in read(feed, 2)]
    assert times == sorted(times)
    assert times[0] > 1_750_000_000_000_000_000


def test_empty_keys_and_values_are_records(stage: FeedStage, outlet: Outlet, feed: Feed) -> None:
    one, _ = stage.topics
    outlet.send([Outgoing(one, b"", b""), Outgoing(one, b"k", b"", (("empty", b""),))])
    feed.start({})
    assert [(each.key, each.value, each.headers) for each in read(feed, 2)] == [
        (b"", b"", ()), (b"k", b"", (("empty", b""),)),
    ]  # fmt: skip


def test_what_is_sent_is_there_once_send_returns(stage: FeedStage, outlet: Outlet, feed: Feed) -> None:
    one, other = stage.topics
    feed.start({})
    for number in range(5):
        outlet.send([*numbered(one, [number]), *numbered(other, [number])])
        assert feed.ends() == {(one, 0): number + 1, (other, 0): number + 1}


def test_reader_goes_on_behind_what_it_has_done(stage: FeedStage, outlet: Outlet, feed: Feed) -> None:
    one, other = stage.topics
    outlet.send(numbered(one, range(20)) + numbered(other, range(100, 110)))
    feed.start({})
    found = read(feed, 30)
    done = [each for each in found if each.topic == one][11]
    again = stage.feed()
    again.start({(one, 0): done.offset + 1})
    rest = read(again, 8 + 10)
    again.close()
    assert numbers([each for each in rest if each.topic == one]) == list(range(12, 20))
    assert numbers([each for each in rest if each.topic == other]) == list(range(100, 110))


def test_reader_that_stands_at_the_end_hears_what_comes_next_alone(
    stage: FeedStage, outlet: Outlet, feed: Feed
) -> None:
    one, other = stage.topics
    outlet.send(numbered(one, [1, 2]) + numbered(other, [3]))
    feed.start({})
    read(feed, 3)
    again = stage.feed()
    again.start(feed.ends())
    outlet.send(numbered(one, [4]))
    assert numbers(read(again, 1)) == [4]
    again.close()


def test_start_begins_again_where_it_is_told(stage: FeedStage, outlet: Outlet, feed: Feed) -> None:
    one, _ = stage.topics
    outlet.send(numbered(one, range(5)))
    feed.start({})
    third = read(feed, 5)[3]
    feed.start({(one, 0): third.offset})
    assert numbers(read(feed, 2)) == [3, 4]


def test_offset_that_is_not_there_is_taken_as_the_oldest(stage: FeedStage, outlet: Outlet, feed: Feed) -> None:
    one, _ = stage.topics
    outlet.send(numbered(one, range(3)))
    feed.start({(one, 0): 1_000})
    assert numbers(read(feed, 3)) == [0, 1, 2]


def test_poll_returns_a_transaction_s_worth_at_most(stage: FeedStage, outlet: Outlet, feed: Feed) -> None:
    one, other = stage.topics
    outlet.send(numbered(one, range(1_300)) + numbered(other, range(700)))
    feed.start({})
    found: list[Record] = []

    def all_there() -> bool:
        some = feed.poll(0.1)
        assert len(some) <= MOST_RECORDS
        found.extend(some)
        return len(found) >= 2_000

    until(all_there, "2,000 records")
    assert numbers([each for each in found if each.topic == one]) == list(range(1_300))
    assert numbers([each for each in found if each.topic == other]) == list(range(700))


def test_poll_waits_for_the_first_record_and_no_longer(stage: FeedStage, outlet: Outlet, feed: Feed) -> None:
    one, _ = stage.topics
    feed.start({})
    assert feed.poll(0.0) == []
    waiting = threading.Event()

    def write() -> None:
        waiting.wait()
        outlet.send(numbered(one, [7]))

    thread = threading.Thread(target=write)
    thread.start()
    waiting.set()
    found = feed.poll(LONG)
    thread.join()
    assert numbers(found) == [7]


def test_poll_of_nothing_new_returns_nothing(stage: FeedStage, outlet: Outlet, feed: Feed) -> None:
    one, _ = stage.topics
    outlet.send(numbered(one, [1]))
    feed.start({})
    read(feed, 1)
    assert feed.poll(0.05) == []


def test_readers_do_not_disturb_each_other(stage: FeedStage, outlet: Outlet, feed: Feed) -> None:
    one, _ = stage.topics
    outlet.send(numbered(one, range(3)))
    second = stage.feed()
    feed.start({})
    second.start({})
    assert numbers(read(feed, 3)) == numbers(read(second, 3)) == [0, 1, 2]
    second.close()


def test_ends_say_how_far_behind_a_reader_is(stage: FeedStage, outlet: Outlet, feed: Feed) -> None:
    one, other = stage.topics
    outlet.send(numbered(one, range(10)) + numbered(other, [1]))
    feed.start({})
    last = {(each.topic, each.partition): each.offset for each in read(feed, 11)}
    assert feed.ends() == {place: offset + 1 for place, offset in last.items()}
    outlet.send(numbered(other, [2, 3]))
    assert feed.ends()[other, 0] == last[other, 0] + 3


def test_record_whose_writer_was_killed_on_the_way_is_never_seen(stage: FeedStage, feed: Feed) -> None:
    one, _ = stage.topics
    first = stage.outlet()
    first.send(numbered(one, [1]))
    first.close()
    feed.start({})
    assert numbers(read(feed, 1)) == [1]
    stage.break_off(Outgoing(one, b"key", b"99" * 50))
    assert feed.poll(0.0) == []
    second = stage.outlet()
    second.send(numbered(one, [2]))
    second.close()
    assert numbers(read(feed, 1)) == [2]
    anew = stage.feed()
    anew.start({})
    assert numbers(read(anew, 2)) == [1, 2]
    anew.close()


def test_what_cannot_be_delivered_raises_and_is_not_there(stage: FeedStage, outlet: Outlet, feed: Feed) -> None:
    one, _ = stage.topics
    outlet.send(numbered(one, [1]))
    feed.start({})
    read(feed, 1)
    with stage.failing(), pytest.raises(DeliveryError):
        outlet.send(numbered(one, [2]))
    assert feed.poll(0.05) == []


def test_a_second_close_does_nothing(stage: FeedStage) -> None:
    one, _ = stage.topics
    outlet, feed = stage.outlet(), stage.feed()
    outlet.send(numbered(one, [1]))
    feed.start({})
    read(feed, 1)
    for _ in range(2):
        outlet.close()
        feed.close()
