"""The port of whoever follows topics from positions of its own, and of whoever writes to them: Kafka, or a folder.

A reader of a feed belongs to no group: it keeps the offsets together with what it did with the records, so that
neither is ever ahead of the other. The implementations are `streaming/kafka/feed.py` and
`streaming/files/topic_log.py`; `tests/contract/test_feed.py` runs on both.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from streaming.messages.envelope import Headers, Outgoing

Place = tuple[str, int]
"""A partition: topic and number."""
MOST_RECORDS = 500
"""Records of one poll: what one transaction of a reader takes in."""


class Record(NamedTuple):
    """One record as it was read; `at` is when it was written (ns since the epoch), to the feed's own precision.

    Offsets of a partition grow and may have gaps. A record without a key or a value has an empty one.
    """

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: Headers
    at: int


class Feed(Protocol):
    """Records of some topics, each partition in its own order, each record once."""

    def named(self) -> Mapping[str, str]:
        """Return each topic's name with what tells it from a namesake that was deleted, where there is such a thing.

        Offsets that a reader keeps are of that: those of another topic of the same name mean nothing.
        """

    def start(self, offsets: Mapping[Place, int]) -> None:
        """Begin, or begin again: read each partition from the offset given, and from its oldest record without one.

        A partition that appears later begins at its oldest record. An offset whose record has been let go is taken as
        the oldest that is there. Called before the first `poll`.
        """

    def poll(self, seconds: float) -> Sequence[Record]:
        """Return what is new, `MOST_RECORDS` at most; wait up to `seconds` for the first of it, then return nothing.

        Raises:
            TopicReplacedError: when a topic is another than at the start, or its log was cut: start again.
        """

    def ends(self) -> Mapping[Place, int]:
        """Return the offset after the newest record of each partition, to tell how far behind a reader is."""

    def close(self) -> None:
        """Release; a second call does nothing."""


class Outlet(Protocol):
    """Where records go. What is sent twice is there twice: readers tell by what the record says."""

    def send(self, records: Sequence[Outgoing]) -> None:
        """Return when all of them are acknowledged, to the outlet's stated degree; order holds within a key.

        Raises:
            DeliveryError: when one was not; the others may be there.
        """

    def close(self) -> None:
        """Release; a second call does nothing."""
