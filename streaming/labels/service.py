"""The label book's process: decisions and labels in, labels that are known out, each exactly once.

One SQLite transaction holds what waits, the offsets consumed and the messages to be published, numbered. One Kafka
transaction then publishes messages and commits offsets with the number of the last one. After kill -9 the process
seeks to the offsets on disk, and publishes what lies above the number that Kafka knows: nothing is lost, nothing is
published twice.
"""

import signal
from contextlib import ExitStack
from types import FrameType

import msgspec

from fraud.core.errors import DataError
from fraud.core.records import Label, Reject
from streaming import clock
from streaming.kafka.client import Record
from streaming.kafka.topics import Topics
from streaming.labels.joiner import LabelJoiner
from streaming.labels.log import Hearing, LabelLog
from streaming.labels.pending import SqlitePending
from streaming.messages import envelope
from streaming.messages.codec import Codec
from streaming.observe.logs import Log
from streaming.observe.metrics import Health, Pages

MOST_TOLD = 10
"""So many messages that are no decisions are told one by one; all are counted."""


class LabelService:
    """The label book on Kafka: one process, fenced by its transactional id, so that a second one ends the first."""

    def __init__(
        self,
        labels: LabelLog,
        codec: Codec,
        joiner: LabelJoiner,
        pending: SqlitePending,
        topics: Topics,
        log: Log,
        health: Health,
        pages: Pages | None,
        group: str,
    ) -> None:
        """Take the parts, which `streaming.service_wiring` puts together; `group` is told when it starts."""
        self._labels, self._codec, self._joiner = labels, codec, joiner
        self._pending, self._topics = pending, topics
        self._log, self._health, self._pages = log, health, pages
        self._group = group
        self._hearing = Hearing(labels)
        self._stopping = False

    def counts(self) -> dict[str, int]:
        """Return what came in, what became of it, and what went out, since the start."""
        return self._joiner.counts()

    def turn(self) -> int:
        """Take up what is there, make it durable, publish; return how many records there were."""
        found = self._labels.poll()
        for records in found.values():
            for record in records:
                self._take(record)
        self._labels.taken(found)
        if self._joiner.is_due() and (until := self._hearing.heard(self._joiner.watermark)):
            self._joiner.expire(until)
        self._pending.commit()
        self._labels.publish()
        return sum(map(len, found.values()))

    def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        self._log.say("started", http_port=self._pages.port if self._pages else None, group=self._group)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        try:
            while not self._stopping:
                self.turn()
                self._health.turn(())
        finally:
            self._log.say("stopped", **self.counts())
            self.close()

    def close(self) -> None:
        """Release clients, file and pages."""
        with ExitStack() as last:
            last.callback(self._labels.close)
            last.callback(self._pending.close)
            if self._pages:
                last.callback(self._pages.close)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Let `run` end after its turn."""
        del number, frame
        self._stopping = True

    def _take(self, record: Record) -> None:
        headers, value = tuple(record.headers), record.value or b""
        if record.topic == self._topics.decisions:
            self._decision(record, value, headers)
            return
        message = envelope.unwrapped(value, headers)
        taken = self._codec.label(message, self._labels.position(record), clock.now_ns(), headers)
        if isinstance(taken, Reject):
            self._joiner.reject(taken)
        elif isinstance(taken.event, Label):
            self._joiner.label(taken.event)

    def _decision(self, record: Record, value: bytes, headers: tuple[tuple[str, bytes], ...]) -> None:
        """Take in a decision; what is none, or of a release that wrote other ones, is counted and told."""
        try:
            answer = envelope.answer_in(value, headers)
        except (DataError, msgspec.MsgspecError, ValueError) as error:
            if self._joiner.foreign() <= MOST_TOLD:
                where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
                self._log.say("no decision", **where, error=str(error))
            return
        self._joiner.decision(answer)
