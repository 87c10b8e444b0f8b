"""Records of the feed as what the intake takes: decisions with what travels beside them, labels, news of learning."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from fraud.core.errors import DataError
from fraud.core.records import Position
from fraud.review.intake.seen import AppliedSeen, DecisionSeen, EventSeen, KnownSeen, LiveSeen, Seen, SnapshotSeen
from streaming.kafka.topics import Topics
from streaming.kafka.updates import EVENT, LIVE, SNAPSHOT
from streaming.messages import envelope, schema
from streaming.messages.envelope import EVIDENCE, HISTORY, REPEAT_OF, SOURCE, STAGES, VECTOR, known_in, position_in
from streaming.messages.feed import Record

PARAMETERS = "changes"
"""What of a snapshot is left out of its content: kilobytes of numbers that only a model can read."""

UNREADABLE = (*envelope.UNREADABLE, DataError, KeyError, TypeError)
"""What reading raises for a record that is none of ours."""
MOST_SMALL = 2**31 - 1
"""Versions and merchants' categories are kept in 32 bits."""
NUL, UNKNOWN = rb"\u0000", rb"\ufffd"
_content = msgspec.json.Decoder(dict[str, Any])


def topics_of(topics: Topics) -> tuple[str, ...]:
    """Return the topics that the console reads."""
    return topics.decisions, topics.known, topics.applied, topics.updates


class Reader:
    """Reads records of the console's topics. `unreadable` counts those that are none of what their topic holds."""

    def __init__(self, topics: Topics) -> None:
        """Take the names of the topics."""
        self.topics = topics_of(topics)
        kinds: tuple[Callable[[Record], Seen | None], ...] = decision_of, known_of, applied_of, update_of
        self._read = dict(zip(self.topics, kinds, strict=True))
        self.unreadable = 0

    def read(self, records: Sequence[Record]) -> list[Seen]:
        """Return what records say; one that cannot be read is counted and left out, for it will never be readable."""
        found = []
        for record in records:
            try:
                seen = self._read[record.topic](record._replace(value=storable(record.value)))
            except UNREADABLE:
                self.unreadable += 1
                continue
            if seen is not None:
                found.append(seen)
        return found


def storable(value: bytes) -> bytes:
    """Return a message without the one character that PostgreSQL keeps in no text; its mark stands there instead."""
    return value.replace(NUL, UNKNOWN) if NUL in value else value


def number_in(value: object, most: int = schema.MOST) -> int:
    """Return a number as the database takes it; raise DataError for a larger one."""
    number = int(str(value))
    if abs(number) > most:
        msg = f"{number} is none of ours: expected at most {most}"
        raise DataError(msg)
    return number


def decision_of(record: Record) -> DecisionSeen:
    """Return a decision; raise what is in UNREADABLE for what is none."""
    headers, decision = dict(reversed(record.headers)), schema.decision_in(record.value)
    number_in(max(decision.version, decision.mcc), MOST_SMALL)
    return DecisionSeen(
        decision=decision,
        source=position_in(headers.get(SOURCE, b"")),
        at=place_of(record),
        arrived_at=record.at,
        message=record.value,
        vector=headers.get(VECTOR, b""),
        evidence=headers.get(EVIDENCE, b""),
        stages=headers.get(STAGES, b""),
        repeat=REPEAT_OF in headers,
        past=HISTORY in headers,
    )


def known_of(record: Record) -> KnownSeen:
    """Return a label that is known."""
    return KnownSeen(known_in(record.value), place_of(record), record.at)


def applied_of(record: Record) -> AppliedSeen:
    """Return a label that the state has taken in."""
    return AppliedSeen(known_in(record.value), place_of(record), record.at)


def update_of(record: Record) -> Seen | None:
    """Return what the learner says, None for what the console has no part in or what was taken back."""
    key, at = record.key.decode(errors="replace"), place_of(record)
    if not record.value or not key.startswith((SNAPSHOT, LIVE, EVENT)):
        return None
    said = _content.decode(record.value)
    if key.startswith(SNAPSHOT):
        content = {name: value for name, value in said.items() if name != PARAMETERS}
        version, promoted = str(said["version"]), bool(said["promoted"])
        base, seq, made_at = str(said["base"]), number_in(said["seq"]), number_in(said["at"])
        return SnapshotSeen(version, base, seq, made_at, promoted, content, at, record.value)
    if key.startswith(LIVE):
        why, pinned = str(said["why"]), bool(said["pinned"])
        return LiveSeen(
            str(said["base"]), str(said["version"]), number_in(said["seq"]), number_in(said["at"]), why, pinned, at
        )
    return EventSeen(key, number_in(said["at"]), str(said["kind"]), said, at)


def place_of(record: Record) -> Position:
    """Return where a record stands in the feed."""
    return Position(record.topic, record.partition, record.offset)
