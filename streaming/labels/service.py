"""The label book's process: decisions, labels and actions in, known labels and what was learned out, exactly once.

One SQLite transaction holds what waits, the offsets consumed and the messages to be published, numbered. One Kafka
transaction then publishes messages and commits offsets with the number of the last one. After kill -9 the process
seeks to the offsets on disk, and publishes what lies above the number that Kafka knows: nothing is lost, nothing is
published twice.
"""

from contextlib import ExitStack

from fraud.core.errors import DataError
from fraud.core.records import Label, Position, Reject
from streaming import clock
from streaming.ending import when_asked
from streaming.kafka.client import Record
from streaming.kafka.topics import Topics
from streaming.labels.joiner import LabelJoiner
from streaming.labels.learning import Learning
from streaming.labels.log import Hearing, LabelLog
from streaming.labels.pending import SqlitePending
from streaming.messages import envelope
from streaming.messages.actions import FromConsole, Release, action_in
from streaming.messages.bounds import Headers, taken
from streaming.messages.codec import Codec
from streaming.observe.logs import Log
from streaming.observe.metrics import Health, Pages

MOST_TOLD = 10
"""So many messages that are no decisions, and reused ids, are told one by one; all are counted."""
NOBODY = "nobody learns here: refresh.enabled and gate.enabled are false; set one, then send the order again"


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
        learning: Learning | None = None,
    ) -> None:
        """Take the parts, which `streaming.service_wiring` puts together; `group` is told when it starts."""
        self._labels, self._codec, self._joiner = labels, codec, joiner
        self._pending, self._topics = pending, topics
        self._log, self._health, self._pages = log, health, pages
        self._group, self._learning = group, learning
        self._hearing = Hearing(labels)
        self._stopping = False

    def counts(self) -> dict[str, int]:
        """Return what came in, what became of it, and what went out, since the start."""
        return self._joiner.counts()

    def turn(self) -> int:
        """Take up what is there, make it durable, publish; return how many records there were."""
        found = self._labels.poll()
        if self._learning is not None:
            self._learning.clock_reached(clock.now_ns())
        for records in found.values():
            for record in records:
                self._take(record)
        self._labels.taken(found)
        if self._joiner.is_due() and (until := self._hearing.heard(self._joiner.watermark)):
            self._joiner.expire(until)
        if self._learning is not None:
            self._learning.work()
        self._pending.commit()
        self._labels.publish()
        return sum(map(len, found.values()))

    def run(self) -> None:
        """Run until SIGTERM or SIGINT: then the turn in hand is ended, within ten seconds."""
        self._log.say("started", http_port=self._pages.port if self._pages else None, group=self._group)
        when_asked(self._stop, self._log)
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

    def _stop(self) -> None:
        """Let `run` end after its turn."""
        self._stopping = True

    def _take(self, record: Record) -> None:
        headers, value = taken(record.headers), record.value or b""
        if record.topic == self._topics.decisions:
            self._decision(record, value, headers)
            return
        message, position = envelope.unwrapped(value, headers), self._labels.position(record)
        if record.topic == self._topics.actions:
            self._action(message, position, headers)
            return
        said = self._codec.label(message, position, clock.now_ns(), headers)
        if isinstance(said, Reject):
            self._joiner.reject(said)
        elif isinstance(said.event, Label):
            self._joiner.label(said.event)

    def _action(self, message: bytes, position: Position, headers: Headers) -> None:
        """Take in what was done: a payment that went through, or an operator's order to the learner."""
        now = clock.now_ns()
        action = action_in(message, position, now, headers, cards=self._codec.cards)
        if isinstance(action, Release):
            self._joiner.release(action.tx_id, action.happened_at)
        elif isinstance(action, FromConsole):
            return
        elif isinstance(action, Reject):
            self._joiner.reject(action)
        elif self._learning is None:
            self._joiner.reject(Reject("disabled", NOBODY, message, position, headers, now))
        else:
            self._learning.order(action, envelope.position_text(position).decode(), now)

    def _decision(self, record: Record, value: bytes, headers: Headers) -> None:
        """Take in a decision; what is none, or of a release that wrote other ones, is counted and told."""
        try:
            answer = envelope.answer_in(value, headers)
        except DataError as error:
            if self._joiner.foreign() <= MOST_TOLD:
                where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
                self._log.say("no decision", **where, error=str(error))
            return
        before = self._joiner.reused
        self._joiner.decision(answer)
        if before < self._joiner.reused <= MOST_TOLD:
            paid = answer.position
            self._log.say("id reused", topic=paid.topic, partition=paid.partition, offset=paid.offset)
