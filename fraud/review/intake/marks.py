"""How far partitions were read, in the same transaction as what was read: so nothing is taken twice or left out."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, select, text

from fraud.core.records import Position
from fraud.review.bulk import greatest, put
from fraud.review.intake.seen import DecisionSeen, Marks, Seen
from fraud.review.tables import mark

STREAM, HEARD = ("stream", 0), ("heard", 0)
"""Rows of their own: the highest time of a payment, and when the newest decision was written. Both in `next_offset`."""
ONE_AT_A_TIME = 0x66726175_64696E74
"""The key of PostgreSQL's lock; SQLite has one writer anyway."""
COLUMNS = "topic", "partition", "source_offset", "next_offset"


class Held:
    """The marks as the database has them, and what a batch makes of them."""

    def __init__(self, connection: Connection) -> None:
        """Read them; there are as many as partitions. Nobody else moves them before this transaction ends."""
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_AT_A_TIME})
        self._next: dict[tuple[str, int], int] = {}
        self._source: dict[tuple[str, int], int] = {}
        self._moved: set[tuple[str, int]] = set()
        rows = connection.execute(select(mark.c.topic, mark.c.partition, mark.c.source_offset, mark.c.next_offset))
        for topic, partition, source, following in rows:
            self._next[topic, partition], self._source[topic, partition] = following, source

    @property
    def stream(self) -> int:
        """Return the highest time of a payment, 0 before the first."""
        return self._next.get(STREAM, 0)

    def new(self, batch: Sequence[Seen]) -> list[Seen]:
        """Return what was not taken in before, and move the marks over it."""
        return [seen for seen in batch if self._is_new(seen)]

    def move(self, marks: Mapping[tuple[str, int], int]) -> None:
        """Move the feed's marks, never back."""
        for place, following in marks.items():
            self._next[place] = max(following, self._next.get(place, 0))
            self._moved.add(place)

    def hear(self, decisions: Iterable[DecisionSeen]) -> None:
        """Move the times of the stream and of the newest decision."""
        for seen in decisions:
            self.move({STREAM: seen.decision.happened_at, HEARD: seen.arrived_at})

    def write(self, connection: Connection) -> None:
        """Write those that have moved."""
        rows = [(*place, self._source.get(place, -1), self._next.get(place, 0)) for place in sorted(self._moved)]
        most = greatest(connection)
        conflict = (
            f"(topic, partition) DO UPDATE SET source_offset = {most}(mark.source_offset, excluded.source_offset), "
            f"next_offset = {most}(mark.next_offset, excluded.next_offset)"
        )
        put(connection, mark, COLUMNS, rows, conflict)

    def _is_new(self, seen: Seen) -> bool:
        if seen.at.offset < self._next.get((seen.at.topic, seen.at.partition), 0):
            return False
        if not isinstance(seen, DecisionSeen):
            return True
        source: Position = seen.source
        place = source.topic, source.partition
        if source.offset <= self._source.get(place, -1):
            return False
        self._source[place] = source.offset
        self._moved.add(place)
        return True


def offsets(connection: Connection, topics: Sequence[str]) -> Marks:
    """Return where to go on reading topics of the feed, by partition; none of those of which nothing was read."""
    asked = select(mark.c.topic, mark.c.partition, mark.c.next_offset)
    rows = connection.execute(asked.where(mark.c.topic.in_(topics), mark.c.next_offset > 0))
    return {(topic, partition): following for topic, partition, following in rows}


def stream_time(connection: Connection) -> int:
    """Return the highest time of a payment that was taken in, 0 before the first."""
    found = connection.execute(select(mark.c.next_offset).where(mark.c.topic == STREAM[0])).scalar()
    return int(found or 0)
