"""Topics as logs in a folder, for processes of one machine that have no Kafka: the demo and its console.

A topic is a folder of segments with one partition, 0; see `segments.py` for what lies in them, and for what a kill or a
power cut leaves. Each topic has one writer, held by a lock; any number of processes read it while it grows.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from fraud.common import locks
from fraud.core.errors import DeliveryError
from streaming import clock
from streaming.feeds.segments import LOCK, SUFFIX, Cursor, Writer, fields_in, framed
from streaming.messages.envelope import Outgoing
from streaming.messages.feed import MOST_RECORDS, Place, Record

PARTITION = 0
SEGMENT_BYTES = 64 << 20
PAUSE = 0.02
"""How long a reader that found nothing waits before it looks again, in seconds."""
NAME = re.compile(r"[\w-][\w.-]*")


class TopicLog:
    """The logs of some topics in one folder."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, keep_bytes: int = 0) -> None:
        """Take the folder; nothing is made in it before something is written.

        A segment grows to some `segment_bytes`; the oldest of a topic are dropped while those behind them hold
        `keep_bytes`, none for 0.
        """
        self._folder, self._segment_bytes, self._keep_bytes = folder, segment_bytes, keep_bytes

    def feed(self, topics: Sequence[str]) -> "TopicLogFeed":
        """Return a reader of some topics, which need not be there yet."""
        return TopicLogFeed({topic: self._place(topic) for topic in topics})

    def outlet(self) -> "TopicLogOutlet":
        """Return what writes; it holds a topic from the first record that it sends there."""
        return TopicLogOutlet(lambda topic: Writer(self._place(topic), self._segment_bytes, self._keep_bytes))

    def empty(self) -> None:
        """Remove every record of every topic; offsets begin at 0 again. Readers go on with what is written then.

        Raises:
            DeliveryError: when another process writes to one of them.
        """
        for lock in sorted(self._folder.glob(f"*/{LOCK}")):
            with locks.locked(lock, partial(_refuse, lock)):
                for path in sorted(lock.parent.glob(f"*{SUFFIX}")):
                    path.unlink()

    def _place(self, topic: str) -> Path:
        if not NAME.fullmatch(topic):
            msg = f"'{topic}' is no topic of a log: expected letters, digits, '.', '_' and '-'"
            raise ValueError(msg)
        return self._folder / topic


def _refuse(lock: Path) -> None:
    msg = f"another process writes to {lock.parent}: end it before the log is emptied"
    raise DeliveryError(msg)


class TopicLogFeed:
    """The Feed port over logs in a folder."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """Take the folder of each topic."""
        self._topics = list(folders)
        self._cursors = {topic: Cursor(folder) for topic, folder in folders.items()}
        self._ends = {topic: Cursor(folder) for topic, folder in folders.items()}
        self._are_ends_known = False
        self._turn = 0

    def named(self) -> Mapping[str, str]:
        """Return the names as they are: a log in a folder has nothing else."""
        return {topic: topic for topic in self._topics}

    def start(self, offsets: Mapping[Place, int]) -> None:
        """Read each topic from the offset given, from its oldest record without one."""
        for topic, cursor in self._cursors.items():
            cursor.seek(offsets.get((topic, PARTITION)))

    def poll(self, seconds: float) -> Sequence[Record]:
        """Return what is new; wait up to `seconds` for the first of it."""
        until = clock.monotonic_ns() + int(seconds * 1e9)
        while not (found := self._taken()):
            left = (until - clock.monotonic_ns()) / 1e9
            if left <= 0:
                break
            clock.sleep(min(PAUSE, left))
        return found

    def ends(self) -> Mapping[Place, int]:
        """Return the offset after the newest record of each topic that is there."""
        for cursor in self._ends.values():
            if self._are_ends_known:
                cursor.skip()
            else:
                cursor.seek_end()
        self._are_ends_known = True
        return {(topic, PARTITION): cursor.next for topic, cursor in self._ends.items() if cursor.is_open}

    def close(self) -> None:
        """Release the files."""
        for cursor in (*self._cursors.values(), *self._ends.values()):
            cursor.close()

    def _taken(self) -> list[Record]:
        """Return what is there, another topic first each time, so that a busy one holds none of the others up."""
        first = self._turn % len(self._topics) if self._topics else 0
        self._turn += 1
        found: list[Record] = []
        for topic in (*self._topics[first:], *self._topics[:first]):
            left = MOST_RECORDS - len(found)
            if left:
                found += [record_of(topic, *each) for each in self._cursors[topic].read(left)]
        return found


class TopicLogOutlet:
    """The Outlet port over logs in a folder: acknowledged is what the operating system has."""

    def __init__(self, writer: Callable[[str], Writer]) -> None:
        """Take what opens the log of a topic for writing."""
        self._writer = writer
        self._writers: dict[str, Writer] = {}

    def send(self, records: Sequence[Outgoing]) -> None:
        """Append records to their topics, each topic's at once; the partition of a record is not looked at.

        Raises:
            DeliveryError: when a topic takes no more, or another process writes to it.
        """
        at, each = clock.now_ns(), dict[str, list[bytes]]()
        for record in records:
            each.setdefault(record.topic, []).append(framed(at, record.key, record.value, record.headers))
        for topic, frames in each.items():
            self._opened(topic).append(frames)

    def end(self, topic: str) -> int:
        """Return the offset of the next record of a topic, which is held from now on."""
        return self._opened(topic).next

    def close(self) -> None:
        """Let the topics go."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _opened(self, topic: str) -> Writer:
        if topic not in self._writers:
            self._writers[topic] = self._writer(topic)
        return self._writers[topic]


def record_of(topic: str, offset: int, body: bytes) -> Record:
    """Return a record of a topic's log; raise DataError when it cannot be read."""
    at, key, value, headers = fields_in(body)
    return Record(topic, PARTITION, offset, key, value, headers, at)
