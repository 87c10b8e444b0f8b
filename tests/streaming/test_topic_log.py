"""Logs in a folder: torn ends, segments, one writer, readers in other processes while it grows."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from zlib import crc32

import pytest

from fraud.core.errors import DataError, DeliveryError
from streaming.feeds import segments
from streaming.feeds.segments import Cursor, framed, path_of
from streaming.feeds.topic_log import TopicLog, TopicLogFeed
from streaming.messages.envelope import Outgoing
from streaming.messages.feed import Record
from tests.site import until

TOPIC = "payments"

WRITES = """
import sys
from pathlib import Path
from streaming.feeds.topic_log import TopicLog
from streaming.messages.envelope import Outgoing
folder, count, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
outlet = TopicLog(folder, segment_bytes=size).outlet()
print("holds", outlet.end("payments"), flush=True)
for number in range(0, count, 10):
    outlet.send([Outgoing("payments", b"k", b"%d" % each, (("pad", b"x" * (each % 97)),))
                 for each in range(number, number + 10)])
print("done", flush=True)
sys.stdin.read()
"""


def writing(folder: Path, count: int, segment_bytes: int = 1 << 20) -> "subprocess.Popen[bytes]":
    """Start a process that writes so many numbers, then keeps the topic until it is killed."""
    words = [sys.executable, "-c", WRITES, str(folder), str(count), str(segment_bytes)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path.cwd())


def ended(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.communicate()


def send(folder: Path, *numbers: int, **options: int) -> None:
    """Write numbers, each by a send of its own, and let the topic go."""
    outlet = TopicLog(folder, **options).outlet()
    for number in numbers:
        outlet.send([Outgoing(TOPIC, b"k", str(number).encode())])
    outlet.close()


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[TopicLogFeed]:
    made = TopicLog(tmp_path).feed([TOPIC])
    yield made
    made.close()


def all_of(feed: TopicLogFeed) -> list[int]:
    """Return what is there now."""
    found: list[Record] = []
    while some := feed.poll(0.0):
        found += some
    return [int(record.value) for record in found]


def has_grown(feed: TopicLogFeed, found: list[Record], wanted: int) -> bool:
    """Read on; tell whether there are enough records."""
    found += feed.poll(0.05)
    return len(found) >= wanted


def newest(folder: Path) -> Path:
    return path_of(folder / TOPIC, segments.segments(folder / TOPIC)[-1])


# --- ends that are torn ----------------------------------------------------------------------------------------------


def test_no_part_of_a_record_is_ever_seen_and_the_next_writer_cuts_it_off(tmp_path: Path) -> None:
    whole = framed(1, b"k", b"9" * 40, (("h", b"v"),))
    for size in range(1, len(whole)):
        folder = tmp_path / str(size)
        send(folder, 1, 2)
        path, before = newest(folder), newest(folder).stat().st_size
        with path.open("ab") as file:
            file.write(whole[:size])
        feed = TopicLog(folder).feed([TOPIC])
        feed.start({})
        assert all_of(feed) == [1, 2]
        send(folder, 3)
        assert all_of(feed) == [3]
        assert path.stat().st_size == before * 3 // 2
        feed.close()


@pytest.mark.parametrize("rest", [bytes(4_096), b"\xff" * 4_096, framed(1, b"k", b"7", ())[:-1] + b"?"])
def test_end_that_was_never_written_is_no_record(tmp_path: Path, feed: TopicLogFeed, rest: bytes) -> None:
    send(tmp_path, 1)
    with newest(tmp_path).open("ab") as file:
        file.write(rest)
    feed.start({})
    assert all_of(feed) == [1]
    send(tmp_path, 2)
    assert all_of(feed) == [2]


def test_record_under_way_is_read_when_it_is_whole(tmp_path: Path, feed: TopicLogFeed) -> None:
    send(tmp_path, 1)
    feed.start({})
    assert all_of(feed) == [1]
    whole = framed(1, b"k", b"2", ())
    with newest(tmp_path).open("ab", buffering=0) as file:
        for at in range(len(whole)):
            assert all_of(feed) == []
            file.write(whole[at : at + 1])
    assert all_of(feed) == [2]


def test_writer_killed_at_any_moment_leaves_a_log_that_goes_on(tmp_path: Path, feed: TopicLogFeed) -> None:
    """Offsets are those of whole records, whatever was under way."""
    feed.start({})
    found: list[Record] = []
    for _ in range(5):
        process = writing(tmp_path, 1_000_000, 100_000)
        wanted = len(found) + 200
        until(partial(has_grown, feed, found, wanted), "some records")
        ended(process)
    while some := feed.poll(0.0):
        found.extend(some)
    assert [record.offset for record in found] == list(range(len(found)))
    again = TopicLog(tmp_path).feed([TOPIC])
    again.start({})
    whole: list[Record] = []
    while some := again.poll(0.0):
        whole.extend(some)
    again.close()
    assert whole == found


def test_damage_in_an_old_segment_is_an_error_that_names_the_place(tmp_path: Path, feed: TopicLogFeed) -> None:
    send(tmp_path, 1, 2, 3, segment_bytes=1)
    path = path_of(tmp_path / TOPIC, 1)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    feed.start({})
    with pytest.raises(DataError, match=r"00000001\.seg is damaged at byte 0: remove it"):
        all_of(feed)


def test_record_of_another_layout_is_an_error(tmp_path: Path, feed: TopicLogFeed) -> None:
    send(tmp_path, 1)
    body = b"\x93\x01\x02\x03"
    with newest(tmp_path).open("ab") as file:
        file.write(segments.HEAD.pack(len(body), crc32(body)) + body)
    feed.start({})
    with pytest.raises(DataError, match="another release wrote it"):
        all_of(feed)


# --- segments --------------------------------------------------------------------------------------------------------


def test_segments_are_named_by_their_first_offset_and_read_as_one(tmp_path: Path, feed: TopicLogFeed) -> None:
    size = len(framed(1 << 60, b"k", b"1", ()))
    send(tmp_path, *range(10), segment_bytes=3 * size)
    assert segments.segments(tmp_path / TOPIC) == [0, 3, 6, 9]
    for offset in range(11):
        feed.start({(TOPIC, 0): offset})
        assert all_of(feed) == list(range(offset, 10))


def test_reader_at_the_end_of_a_segment_goes_on_in_the_next(tmp_path: Path, feed: TopicLogFeed) -> None:
    feed.start({})
    for number in range(5):
        send(tmp_path, number, segment_bytes=1)
        assert all_of(feed) == [number]
        assert feed.ends() == {(TOPIC, 0): number + 1}


def test_old_segments_are_dropped_while_the_others_hold_enough(tmp_path: Path, feed: TopicLogFeed) -> None:
    size = len(framed(1 << 60, b"k", b"1", ()))
    send(tmp_path, *range(9), segment_bytes=1, keep_bytes=3 * size)
    assert segments.segments(tmp_path / TOPIC) == [5, 6, 7, 8]
    feed.start({})
    assert all_of(feed) == [5, 6, 7, 8]
    feed.start({(TOPIC, 0): 2})
    assert all_of(feed) == [5, 6, 7, 8]
    assert feed.ends() == {(TOPIC, 0): 9}


def test_reader_whose_segments_are_dropped_meanwhile_goes_on_at_the_oldest(tmp_path: Path, feed: TopicLogFeed) -> None:
    send(tmp_path, 0, 1, segment_bytes=1)
    feed.start({})
    cursor = Cursor(tmp_path / TOPIC)
    cursor.seek(0)
    assert [offset for offset, _ in cursor.read(1)] == [0]
    send(tmp_path, *range(2, 9), segment_bytes=1, keep_bytes=1)
    assert [offset for offset, _ in cursor.read(1)] == [7]
    cursor.close()


def test_record_larger_than_a_look_ahead_is_read(tmp_path: Path, feed: TopicLogFeed) -> None:
    value = bytes(range(256)) * 8_192
    outlet = TopicLog(tmp_path).outlet()
    outlet.send([Outgoing(TOPIC, b"", b"1"), Outgoing(TOPIC, b"", value), Outgoing(TOPIC, b"", b"2")])
    outlet.close()
    feed.start({})
    found: list[Record] = []
    while some := feed.poll(0.0):
        found += some
    assert [record.value for record in found] == [b"1", value, b"2"]


def test_record_beyond_all_bounds_is_refused_and_nothing_of_it_written(tmp_path: Path) -> None:
    outlet = TopicLog(tmp_path).outlet()
    with pytest.raises(DeliveryError, match=r"bytes was not written: expected at most 16777216"):
        outlet.send([Outgoing(TOPIC, b"", bytes(segments.MOST_BYTES))])
    assert outlet.end(TOPIC) == 0
    outlet.close()


# --- several processes -----------------------------------------------------------------------------------------------


def test_reader_follows_another_process_over_its_segments(tmp_path: Path, feed: TopicLogFeed) -> None:
    feed.start({})
    process = writing(tmp_path, 20_000, 50_000)
    found: list[int] = []

    def all_there() -> bool:
        found.extend(int(record.value) for record in feed.poll(0.05))
        return len(found) >= 20_000

    try:
        until(all_there, lambda: f"20,000 records, found {len(found)}")
    finally:
        ended(process)
    assert found == list(range(20_000))
    assert len(segments.segments(tmp_path / TOPIC)) > 10


def test_topic_has_one_writer_until_that_ends_however_it_does(tmp_path: Path) -> None:
    process = writing(tmp_path, 10)
    assert process.stdout is not None
    assert process.stdout.readline() == b"holds 0\n"
    outlet = TopicLog(tmp_path).outlet()
    outlet.send([Outgoing("another", b"", b"1")])
    with pytest.raises(DeliveryError, match=r"another process writes to .*payments: a topic of a log has one writer"):
        outlet.send([Outgoing(TOPIC, b"", b"1")])
    with pytest.raises(DeliveryError, match="end it before the log is emptied"):
        TopicLog(tmp_path).empty()
    assert process.stdout.readline() == b"done\n"
    ended(process)
    outlet.send([Outgoing(TOPIC, b"", b"1")])
    assert outlet.end(TOPIC) == 11
    outlet.close()


def test_log_that_is_emptied_begins_anew_and_its_readers_with_it(tmp_path: Path, feed: TopicLogFeed) -> None:
    send(tmp_path, 1, 2, 3)
    (tmp_path / TOPIC / "notes.txt").write_text("not ours")
    feed.start({})
    assert all_of(feed) == [1, 2, 3]
    TopicLog(tmp_path).empty()
    assert all_of(feed) == []
    send(tmp_path, 4)
    assert all_of(feed) == [4]
    assert (tmp_path / TOPIC / "notes.txt").exists()


def test_nothing_is_made_in_the_folder_by_reading(tmp_path: Path) -> None:
    feed = TopicLog(tmp_path / "log").feed([TOPIC])
    feed.start({})
    assert (feed.poll(0.0), dict(feed.ends())) == ([], {})
    TopicLog(tmp_path / "log").empty()
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", ".hidden", "tab\t"])
def test_name_that_is_no_topic_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no topic of a log"):
        TopicLog(tmp_path).feed([name])
