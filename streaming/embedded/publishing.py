"""What a worker, the label book and the learner publish, of an engine that is all of them; by their own encoders.

Who reads the log, as the analyst console does, cannot tell it from a site's topics: decisions with the position that
they answer and the times of their stages, labels that are known, the same with the time at which the state took them
in, and what the learner tells. Alerts are left out: the decision says all of them.
"""

from collections.abc import Mapping, Sequence

import msgspec

from fraud.core.records import Answer, Arrival, KnownLabel, Position, Reject
from streaming.feeds.topic_log import PARTITION, TopicLogOutlet
from streaming.kafka import updates
from streaming.kafka.publisher import applied
from streaming.kafka.topics import Topics
from streaming.labels.learning import Closed, HeldChart, Outlet
from streaming.messages import envelope
from streaming.messages.envelope import Outgoing
from streaming.observe.stages import Watch


class Published:
    """The Sink port over a log, and the outbox of an embedded learner: all that a batch brings is written at once.

    Acknowledged is what the operating system has. Decisions seen before `since` (ns of the stream) are history, and
    say so in a header: nobody waits for an answer to them. Rejects have no topic here.
    """

    def __init__(self, outlet: TopicLogOutlet, topics: Topics, since: int, watch: Watch) -> None:
        """Take the log that this process writes to, and what times the stages of a batch."""
        self._outlet, self._topics, self._since, self._watch = outlet, topics, since, watch
        self._numbers: dict[str, int] = {}
        self._waiting: list[Outgoing] = []
        self._known: list[KnownLabel] = []
        self._seen_at = 0

    def heard(self, known: Sequence[KnownLabel]) -> None:
        """Take labels that the engine's state takes in; they are published with the batch."""
        self._known += known

    def send(self, message: Outgoing) -> None:
        """Take what the learner tells; it is published with the batch."""
        self._waiting.append(message)

    def number(self, name: str, default: int) -> int:
        """Return a number that the learner counts by."""
        return self._numbers.get(name, default)

    def set_number(self, name: str, value: int) -> None:
        """Keep a number that the learner counts by."""
        self._numbers[name] = value

    def write(self, answers: Sequence[Answer], rejects: Sequence[Reject]) -> None:
        """Publish a batch: what was learned and known by it, then its decisions.

        Raises:
            DeliveryError: when the log takes no more.
        """
        del rejects
        for answer in answers:
            self._seen_at = max(self._seen_at, answer.decision.seen_at)
        waiting, self._waiting = self._waiting, []
        known, self._known = self._known, []
        stages = self._watch.text().encode()
        self._watch.reset()
        decisions = [self._decision(answer, stages) for answer in answers]
        self._outlet.send([*waiting, *self._labels(known), *decisions])

    def flush(self) -> None:
        """Do nothing: what was written is with the operating system."""

    def close(self) -> None:
        """Let the log go."""
        self._outlet.close()

    def _labels(self, known: Sequence[KnownLabel]) -> list[Outgoing]:
        """Return labels as they became known, each followed by when the state took it in."""
        topics = self._topics
        first = self._outlet.end(topics.known) if known else 0
        found: list[Outgoing] = []
        for offset, label in enumerate(known, first):
            taken_in = msgspec.structs.replace(label, seen_at=max(self._seen_at, label.seen_at))
            message = applied(Arrival(taken_in, Position(topics.known, PARTITION, offset)), topics.applied)
            found += [envelope.known_out(label, topics.known), *([message] if message else [])]
        return found

    def _decision(self, answer: Answer, stages: bytes) -> Outgoing:
        message = envelope.decision_out(answer, self._topics.decisions, stages)
        if answer.decision.seen_at >= self._since:
            return message
        return message._replace(headers=(*message.headers, (envelope.HISTORY, b"1")))


class WithoutLabels:
    """What the end of a period brings about, but for labels that became known."""

    known = ()

    def __init__(self, closed: Closed) -> None:
        """Take the whole."""
        self.snapshot, self.live, self.events = closed.snapshot, closed.live, closed.events


class Told:
    """Publishes what the ends of an embedded learner's periods bring about, as the learner's process does."""

    def __init__(self, outlet: Outlet, base: str) -> None:
        """Take the learner's outlet, and the model that is learned on (`NAME@VERSION`)."""
        self._outlet, self._base = outlet, base

    def closed(self, closed: Closed, held: Mapping[str, HeldChart], at: int) -> None:
        """Publish the end of a period at `at` (ns of the stream); known labels go with the batch that takes them in."""
        self._outlet.publish(WithoutLabels(closed), self._base, held)
        self._outlet.send(updates.PERIOD + self._base, {"at": at})
