"""Answers out: sent in order, acknowledged, or published in one transaction with the offsets."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from fraud.core.errors import DeliveryError
from fraud.core.records import Answer, Arrival, Decision, KnownLabel, Mark, Reject
from streaming import clock
from streaming.kafka.client import Commit, Place, Producer
from streaming.kafka.offsets import Done
from streaming.kafka.topics import Topics
from streaming.messages import envelope, schema
from streaming.messages.envelope import Outgoing

TIMED_NS = 100_000_000
"""How often publishing is timed: ten waits of some milliseconds a second."""


class Decided(NamedTuple):
    """A decision as its message, the partition that it answers, and when its transaction was sent.

    That is in ns since the epoch; 0 is never late.
    """

    message: Outgoing
    place: Place
    decision: Decision
    sent_at: int = 0


class Messages(NamedTuple):
    """What one batch publishes: alerts first, then dead letters, applied labels and decisions.

    Labels and decisions come with the partition that they answer.
    """

    alerts: list[Outgoing]
    letters: list[Outgoing]
    labels: list[tuple[Outgoing, Place]]
    decisions: list[Decided]


class InFlight(msgspec.Struct):
    """What was sent and is not known to be acknowledged, and what is noted once it is."""

    others: list[Any] = []
    labels: list[tuple[Any, Place]] = []
    decisions: list[tuple[Any, Place]] = []
    done: Done = Done()


class Publisher:
    """Sends batches. One of them may be under way while the next is worked on; `note` is told when it has arrived.

    `failed` says that something could not be delivered: no more is to be noted or committed. `ack_ns` is how long the
    newest batch took to be acknowledged, 0 when it was not waited for. `late` counts the decisions that were found to
    come too late when they were sent.
    """

    def __init__(
        self,
        producer: Producer,
        topics: Topics,
        note: Callable[[Done], None],
        late_before: Callable[[], int] = lambda: 0,
    ) -> None:
        """Take a producer, and what is told of batches that are acknowledged.

        What was sent before the time (ns since the epoch) that `late_before` returns comes too late if published now.
        """
        self._producer, self._topics, self._note = producer, topics, note
        self._late_before = late_before
        self._in_flight: InFlight | None = None
        self.failed = False
        self.ack_ns = self.late = 0
        self._timed_at: int | None = None

    def messages(
        self,
        answers: Sequence[Answer],
        rejects: Sequence[Reject],
        labels: Sequence[Arrival],
        stages: bytes,
        sent: Mapping[tuple[int, int], int],
    ) -> Messages:
        """Return what a batch publishes; `labels` are those applied, `stages` the times that decisions carry.

        `sent` is when transactions were sent, by partition and offset. A repeat says what the first answer said.
        """
        topics = self._topics
        return Messages(
            [envelope.alert_out(answer, topics.alerts) for answer in answers if answer.alert is not None],
            [envelope.reject_out(reject, topics.dead) for reject in rejects],
            [
                (message, (topics.known, arrival.position.partition))
                for arrival in labels
                if (message := applied(arrival, topics.applied)) is not None
            ],
            [
                Decided(
                    envelope.decision_out(answer, topics.decisions, stages),
                    (topics.transactions, answer.position.partition),
                    answer.decision,
                    0 if answer.repeat_of else sent.get((answer.position.partition, answer.position.offset), 0),
                )
                for answer in answers
            ],
        )

    def publish(self, messages: Messages) -> None:
        """Send alerts; when they and what was under way are acknowledged, send the rest, which is then under way.

        Raises:
            DeliveryError: when something was not acknowledged.
        """
        with self._failing():
            # A decision in the log says that its alert is there too, so alerts are waited for.
            alerts = self._send(messages.alerts)
            self._producer.push()
            self.flush()
            self._wait(alerts)
            in_flight = InFlight(others=self._send(messages.letters))
            in_flight.labels = self._send_placed(messages.labels)
            began = clock.monotonic_ns()
            in_flight.decisions = self._send_placed(self._told(messages.decisions))
            self._producer.push()
            self._in_flight = in_flight
            self._time(in_flight, began)

    def publish_at_once(self, messages: Messages, commits: Mapping[Place, Commit] | None, group: Any) -> None:
        """Publish, and commit if there is what, in one Kafka transaction: nothing is read as committed before all is.

        Raises:
            DeliveryError: when something was not acknowledged.
        """
        with self._failing():
            self._producer.begin()
            self._in_flight = in_flight = InFlight(others=self._send([*messages.alerts, *messages.letters]))
            in_flight.labels = self._send_placed(messages.labels)
            began = clock.monotonic_ns()
            in_flight.decisions = self._send_placed(self._told(messages.decisions))
            self._producer.end(commits, group)
            self.flush()
            self.ack_ns = clock.monotonic_ns() - began if messages.decisions else 0

    def flush(self) -> None:
        """Return when all that was sent is acknowledged, and noted as done.

        Raises:
            DeliveryError: when it was not.
        """
        in_flight, self._in_flight = self._in_flight, None
        if in_flight is None:
            return
        with self._failing():
            self._wait(in_flight.others)
            # Of each partition the last one counts: its offset is the highest.
            outputs = {place: self._producer.wait(sent) for sent, place in (*in_flight.labels, *in_flight.decisions)}
        self._timed_at = self._timed_at or 0
        self._note(msgspec.structs.replace(in_flight.done, outputs=outputs))

    def carry(self, read: Mapping[Place, int], answers: Sequence[Answer]) -> None:
        """Let what was read and answered be noted once what is under way is acknowledged: at once when nothing is."""
        if self._in_flight is None:
            self._note(Done(read, answers))
        else:
            self._in_flight.done = Done(read, answers)

    def close(self) -> None:
        """Release the producer."""
        self._producer.close()

    def _send(self, messages: Sequence[Outgoing]) -> list[Any]:
        return [self._producer.send(message) for message in messages]

    def _send_placed(self, messages: Sequence[tuple[Outgoing, Place]]) -> list[tuple[Any, Place]]:
        return [(self._producer.send(message), place) for message, place in messages]

    def _told(self, decisions: Sequence[Decided]) -> list[tuple[Outgoing, Place]]:
        """Return the messages of decisions and what they answer; those that come too late say so."""
        limit = self._late_before()
        return [(self._as_late(each) if 0 < each.sent_at < limit else each.message, each.place) for each in decisions]

    def _as_late(self, decided: Decided) -> Outgoing:
        decision = decided.decision
        if Mark.OVERDUE in decision.marks:
            return decided.message
        self.late += 1
        marked = msgspec.structs.replace(decision, marks=(*decision.marks, Mark.OVERDUE))
        return decided.message._replace(value=schema.of_decision(marked))

    def _time(self, in_flight: InFlight, began: int) -> None:
        """Now and then wait for a batch at once, to learn how long publishing takes.

        A client that tells of acknowledgements when it is asked tells too late of those that nobody waits for.
        """
        self.ack_ns = 0
        # The first batch is not waited for: what cannot be delivered at all is told by `flush`, as ever.
        if self._timed_at is not None and in_flight.decisions and began - self._timed_at >= TIMED_NS:
            self._timed_at = began
            self._producer.wait(in_flight.decisions[-1][0])
            self.ack_ns = clock.monotonic_ns() - began

    def _wait(self, sent: Sequence[Any]) -> None:
        for each in sent:
            self._producer.wait(each)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Note that a delivery has failed."""
        try:
            yield
        except DeliveryError:
            self.failed = True
            raise


def applied(arrival: Arrival, topic: str) -> Outgoing | None:
    """Return the message of a label that was applied, for the partition that it came from; None for other events."""
    if not isinstance(arrival.event, KnownLabel):
        return None
    source = ((envelope.SOURCE, envelope.position_text(arrival.position)),)
    return envelope.known_out(arrival.event, topic, source, arrival.position.partition)
