"""What workers, label book and learner publish, for tests of the projector: records as they stand in a topic."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from fraud.core.records import Action, Answer, Decision, FeatureVector, KnownLabel, Position
from streaming.kafka.topics import Topics
from streaming.messages.envelope import Outgoing, decision_out, known_out
from streaming.messages.feed import Place, Record
from tests.review.taken import NOW, decision, label

TOPICS = Topics()
SOURCE = "transactions@abc"


def decided(number: int, *, card: str | None = None, action: Action = Action.APPROVE, **more: Any) -> Outgoing:
    """Return the message of a decision, the n-th of its partition; `more` are fields of it, or of its answer."""
    partition, values = more.pop("partition", 0), msgspec_values(number)
    changes = {name: more.pop(name) for name in Decision.__struct_fields__ if name in more}
    answer = Answer(
        decision=decision(number, action, card=card or f"40{number % 7:02}", merchant=f"M{number % 5}", **changes),
        position=Position(SOURCE, partition, number),
        vector=FeatureVector(f"tx{number}", values, "spec", 0),
        **more,
    )
    return decision_out(answer, TOPICS.decisions, b"read=100 model=300")


def msgspec_values(number: int) -> Any:
    """Return a small vector."""
    import numpy as np

    return np.arange(3, dtype=np.float32) + number


def told(number: int, **changes: Any) -> Outgoing:
    """Return the message of a label that is known."""
    return known_out(label(number, **changes), TOPICS.known)


def applied(what: KnownLabel) -> Outgoing:
    """Return the message of a label that the state has taken in."""
    return known_out(what, TOPICS.applied)


def update(key: str, **fields: Any) -> Outgoing:
    """Return a message of the learner."""
    return Outgoing(TOPICS.updates, key.encode(), msgspec.json.encode(fields), ())


def records_of(messages: Sequence[Outgoing], begin: int = 0) -> list[Record]:
    """Return messages as records of partition 0, offsets by topic."""
    ends: dict[str, int] = {}
    found = []
    for message in messages:
        offset = ends.get(message.topic, begin)
        ends[message.topic] = offset + 1
        found.append(Record(message.topic, 0, offset, message.key, message.value, message.headers, NOW + offset))
    return found


class ListFeed:
    """A feed of records in a list; `fails` is raised by the next poll. `topic_id` is that of all its topics."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records, self.started = list(records), 0
        self.fails: list[Exception] = []
        self._next: dict[Place, int] = {}
        self.topic_id = ""

    def named(self) -> Mapping[str, str]:
        topics = {each.topic for each in self.records}
        return {topic: f"{topic}@{self.topic_id}" if self.topic_id else topic for topic in topics}

    def start(self, offsets: Mapping[Place, int]) -> None:
        self._next, self.started = dict(offsets), self.started + 1

    def poll(self, seconds: float) -> Sequence[Record]:
        if self.fails:
            raise self.fails.pop()
        new = [each for each in self.records if each.offset >= self._next.get((each.topic, each.partition), 0)][:3]
        for each in new:
            self._next[each.topic, each.partition] = each.offset + 1
        return new

    def ends(self) -> Mapping[Place, int]:
        ends: dict[Place, int] = {}
        for each in self.records:
            ends[each.topic, each.partition] = each.offset + 1
        return ends

    def close(self) -> None:
        self._next = {}


class ListOutlet:
    """An outlet into a list; `fails` is raised by the next send, after half of the records."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.fails: list[Exception] = []

    def send(self, records: Sequence[Outgoing]) -> None:
        if self.fails:
            self.sent += records[: len(records) // 2]
            raise self.fails.pop()
        self.sent += records

    def close(self) -> None:
        """Nothing to release."""
