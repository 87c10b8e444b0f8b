"""Answers out: sent in order, acknowledged, or published in one transaction with the offsets."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from fraud.core.errors import DeliveryError
from fraud.core.records import Answer, Arrival, KnownLabel, Reject
from streaming import clock
from streaming.kafka.client import Commit, Place, Producer
from streaming.kafka.offsets import Done
from streaming.kafka.topics import Topics
from streaming.messages import envelope
from streaming.messages.envelope import Outgoing


class Messages(NamedTuple):
    """What one batch publishes: alerts first, then dead letters, applied labels and decisions.

    Labels and decisions come with the partition that they answer.
    """

    alerts: list[Outgoing]
    letters: list[Outgoing]
    labels: list[tuple[Outgoing, Place]]
    decisions: list[tuple[Outgoing, Place]]


class InFlight(msgspec.Struct):
    """What was sent and is not known to be acknowledged, and what is noted once it is.

    `ack_ns` is how long the last decision took to arrive, set by the client (0 while that is under way).
    """

    others: list[Any] = []
    labels: list[tuple[Any, Place]] = []
    decisions: list[tuple[Any, Place]] = []
    sent_at: int = 0
    ack_ns: int = 0
    done: Done = Done()


class Publisher:
    """Sends batches. One of them may be under way while the next is worked on; `note` is told when it has arrived.

    `failed` says that something could not be delivered: no more is to be noted or committed. `ack_ns` is how long the
    newest batch with decisions took.
    """

    def __init__(self, producer: Producer, topics: Topics, note: Callable[[Done], None]) -> None:
        """Take a producer, and what is told of batches that are acknowledged."""
        self._producer, self._topics, self._note = producer, topics, note
        self._in_flight: InFlight | None = None
        self.failed = False
        self.ack_ns = 0

    def messages(
        self, answers: Sequence[Answer], rejects: Sequence[Reject], labels: Sequence[Arrival], stages: bytes
    ) -> Messages:
        """Return what a batch publishes; `labels` are those applied, `stages` the times that decisions carry."""
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
                (
                    envelope.decision_out(answer, topics.decisions, stages),
                    (topics.transactions, answer.position.partition),
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
            in_flight = InFlight(others=self._send(messages.letters), sent_at=clock.monotonic_ns())
            in_flight.labels = self._send_placed(messages.labels)
            self._send_decisions(in_flight, messages.decisions)
            self._producer.push()
            self._in_flight = in_flight

    def publish_at_once(self, messages: Messages, commits: Mapping[Place, Commit] | None, group: Any) -> None:
        """Publish, and commit if there is what, in one Kafka transaction: nothing is read as committed before all is.

        Raises:
            DeliveryError: when something was not acknowledged.
        """
        with self._failing():
            self._producer.begin()
            self._in_flight = in_flight = InFlight(others=self._send([*messages.alerts, *messages.letters]))
            in_flight.labels = self._send_placed(messages.labels)
            in_flight.decisions = self._send_placed(messages.decisions)
            self._producer.end(commits, group)
            self.flush()

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
        if in_flight.decisions and in_flight.sent_at:
            self.ack_ns = in_flight.ack_ns or clock.monotonic_ns() - in_flight.sent_at
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

    def _send_decisions(self, in_flight: InFlight, decisions: Sequence[tuple[Outgoing, Place]]) -> None:
        """Send decisions, and have the client note when the last one is acknowledged."""

        def acked(took: int) -> None:
            in_flight.ack_ns = took

        last = len(decisions) - 1
        in_flight.decisions = [
            (self._producer.send(message, acked if number == last else None), place)
            for number, (message, place) in enumerate(decisions)
        ]

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
