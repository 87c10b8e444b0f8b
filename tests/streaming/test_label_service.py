"""The label service on a client that is told what to read: what it keeps when it breaks off within a batch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from fraud.core.errors import DataError
from fraud.core.labels import Deadlines
from streaming.kafka.client import Commit, Place
from streaming.kafka.topics import Topics
from streaming.labels.pending import SqlitePending
from streaming.labels.service import LabelJoiner, LabelLog, LabelService
from streaming.messages.codec import Codec
from streaming.messages.money import Rates
from streaming.observe.logs import Log
from streaming.observe.metrics import Health

TOPICS = Topics()
IDS = {TOPICS.decisions: "d", TOPICS.labels: "l"}


class Read(NamedTuple):
    """One record."""

    topic: str
    partition: int
    offset: int
    value: bytes
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


class Consumer:
    """A consumer that gives one batch, and notes where it is told to begin."""

    def __init__(self, batch: Mapping[Place, Sequence[Read]]) -> None:
        self._batch = dict(batch)
        self.begun: dict[Place, int] = {}

    def assign(self, topics: Sequence[str]) -> list[Place]:
        return [(topic, 0) for topic in topics]

    def seek(self, place: Place, offset: int) -> None:
        self.begun[place] = offset

    def committed(self, place: Place) -> Commit | None:
        del place
        return None

    def poll(self, wait_ms: int, most: int) -> Mapping[Place, Sequence[Read]]:
        del wait_ms, most
        batch, self._batch = self._batch, {}
        return batch

    def group(self) -> None:
        return None

    def close(self) -> None:
        """Nothing is open."""


class Producer:
    """A producer that takes everything."""

    def begin(self) -> None:
        """Nothing to begin."""

    def send(self, message: Any) -> None:
        del message

    def end(self, commits: Any, group: Any) -> None:
        del commits, group

    def close(self) -> None:
        """Nothing is open."""


def service(path: Path, consumer: Consumer) -> LabelService:
    pending = SqlitePending(path)
    labels = LabelLog(consumer, Producer(), pending, TOPICS, IDS)  # type: ignore[arg-type]
    labels.begin()
    joiner = LabelJoiner(pending, Deadlines(), TOPICS)
    return LabelService(labels, Codec(Rates()), joiner, pending, TOPICS, Log("book"), Health(), None, "test")


def test_batch_that_breaks_off_is_read_again_whole(tmp_path: Path) -> None:
    unreadable = Read(TOPICS.decisions, 0, 7, b"no decision")
    label = Read(TOPICS.labels, 0, 3, b'{"tx_id":"t1","verdict":"fraud","happened_at":5}')
    batch = {(TOPICS.labels, 0): [label], (TOPICS.decisions, 0): [unreadable]}
    first = service(tmp_path / "book.db", Consumer(batch))
    with pytest.raises((DataError, msgspec.MsgspecError)):
        first.turn()
    first.close()
    consumer = Consumer({})
    again = service(tmp_path / "book.db", consumer)
    assert consumer.begun == {(TOPICS.decisions, 0): 0, (TOPICS.labels, 0): 0}
    again.close()


def test_batch_that_was_taken_is_not_read_again(tmp_path: Path) -> None:
    label = Read(TOPICS.labels, 0, 3, b'{"tx_id":"t1","verdict":"fraud","happened_at":5}')
    first = service(tmp_path / "book.db", Consumer({(TOPICS.labels, 0): [label]}))
    assert first.turn() == 1
    first.close()
    consumer = Consumer({})
    service(tmp_path / "book.db", consumer).close()
    assert consumer.begun[TOPICS.labels, 0] == 4
