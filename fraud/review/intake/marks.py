"""How far partitions were read, in the same transaction as what was read: so nothing is taken twice or left out."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, delete, select, text

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

    def __init__(self, connection: Connection, named: Mapping[str, str] | None = None) -> None:
        """Read them; there are as many as partitions. Nobody else moves them before this transaction ends.

        `named` gives a topic of the feed the name that its marks go by: with the topic's id.
        """
        self._named = named or {}
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
            by_id = self._by_id(place)
            self._next[by_id] = max(following, self._reached(place))
            self._moved.add(by_id)

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
        self._drop_nameless(connection)

    def _by_id(self, place: tuple[str, int]) -> tuple[str, int]:
        return self._named.get(place[0], place[0]), place[1]

    def _reached(self, place: tuple[str, int]) -> int:
        """Return how far a partition was read, by the mark of an earlier release where its topic has no other yet."""
        return self._next.get(self._by_id(place), self._next.get(place, 0))

    def _drop_nameless(self, connection: Connection) -> None:
        """Let marks of an earlier release go whose places have marks with their topic's id now."""
        old = {place for place in self._next if self._by_id(place) != place and self._by_id(place) in self._moved}
        for topic, partition in sorted(old):
            connection.execute(delete(mark).where(mark.c.topic == topic, mark.c.partition == partition))

    def _is_new(self, seen: Seen) -> bool:
        if seen.at.offset < self._reached((seen.at.topic, seen.at.partition)):
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


def offsets(connection: Connection, topics: Sequence[str], named: Mapping[str, str] | None = None) -> Marks:
    """Return where to go on reading topics of the feed, by partition; none of those of which nothing was read.

    `named` is what their marks go by; those of an earlier release, without an id, hold where there are no others.
    """
    by_id = {(named or {}).get(topic, topic): topic for topic in topics}
    asked = select(mark.c.topic, mark.c.partition, mark.c.next_offset)
    rows = connection.execute(asked.where(mark.c.topic.in_({*topics, *by_id}), mark.c.next_offset > 0)).all()
    found = {(topic, partition): following for topic, partition, following in rows if topic not in by_id}
    return found | {(by_id[topic], partition): following for topic, partition, following in rows if topic in by_id}


def stream_time(connection: Connection) -> int:
    """Return the highest time of a payment that was taken in, 0 before the first."""
    found = connection.execute(select(mark.c.next_offset).where(mark.c.topic == STREAM[0])).scalar()
    return int(found or 0)
