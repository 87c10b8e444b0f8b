"""What goes over Kafka beside the message itself: keys, headers, and the way back from a published message.

A decision carries in its headers the position of its transaction (`source`), the position of the first answer when it
repeats one (`repeat-of`), the vector that was scored (`vector`), what an alert rests on (`evidence`, laid out in
`fraud/core/evidence.py`) and the times of its stages (`stages`); what a sender put in `traceparent` and `tracestate`
goes through. Readers drop a decision whose source position is at or below the one they have seen of that partition, and
alerts by id: so each sees every effect exactly once.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from fraud.core import evidence
from fraud.core.errors import DataError
from fraud.core.records import Answer, FeatureVector, KnownLabel, Label, Position, Reject, Values
from streaming.messages import schema

Headers = tuple[tuple[str, bytes], ...]

SOURCE, REPEAT_OF, STAGES, REASON, CODE, SEEN_AT = "source", "repeat-of", "stages", "reason", "code", "seen-at"
MASKED = "masked"
"""Set on dead letters in which stars stand for card numbers: they cannot be driven in again."""
VECTOR, VECTOR_LAYOUT = "vector", 1
HISTORY = "history"
"""Set on decisions of what a demo takes in before it is live."""
EVIDENCE = "evidence"
CARRIED = ("traceparent", "tracestate")
CLOUD_ID, CLOUD_SPEC = "ce_id", "ce_specversion"
STRUCTURED = b"application/cloudevents+json"

_known = msgspec.json.Decoder(KnownLabel)
_encode = msgspec.json.Encoder().encode


class Outgoing(NamedTuple):
    """One message to be produced; without a partition the key chooses it."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()
    partition: int | None = None


def position_text(position: Position) -> bytes:
    """Return a position as a header's value: `topic@id/partition/offset`."""
    return f"{position.topic}/{position.partition}/{position.offset}".encode()


def position_in(value: bytes) -> Position:
    """Return the position that a header names; raise DataError when it names none."""
    try:
        topic, partition, offset = value.decode().rsplit("/", 2)
        return Position(topic, int(partition), int(offset))
    except ValueError as error:
        msg = f"header {value[:80]!r} names no position: expected TOPIC/PARTITION/OFFSET"
        raise DataError(msg) from error


def header(headers: Iterable[tuple[str, bytes]], name: str) -> bytes | None:
    """Return the value of the first header of a name, None without one."""
    return next((value for key, value in headers if key == name), None)


def carried(headers: Iterable[tuple[str, bytes]]) -> Headers:
    """Return the headers that go through from transaction to decision."""
    return tuple((name, value) for name, value in headers if name in CARRIED)


def decision_out(answer: Answer, topic: str, stages: bytes = b"") -> Outgoing:
    """Return the message of a decision, for the partition of its transaction."""
    headers = [(SOURCE, position_text(answer.position)), *carried(answer.headers)]
    if answer.repeat_of is not None:
        headers.append((REPEAT_OF, position_text(answer.repeat_of)))
    if answer.vector is not None:
        headers.append((VECTOR, packed_vector(answer.vector.values, answer.vector.spec_version)))
    if answer.evidence is not None:
        headers.append((EVIDENCE, evidence.packed(answer.evidence)))
    if stages:
        headers.append((STAGES, stages))
    decision = answer.decision
    value = schema.of_decision(decision)
    return Outgoing(topic, decision.card.encode(), value, tuple(headers), answer.position.partition)


def alert_out(answer: Answer, topic: str) -> Outgoing:
    """Return the message of an answer's alert; raise ValueError when it has none."""
    if answer.alert is None:
        msg = f"the answer to {answer.decision.tx_id} has no alert"
        raise ValueError(msg)
    headers = ((SOURCE, position_text(answer.position)), *carried(answer.headers))
    return Outgoing(topic, answer.alert.card.encode(), schema.of_alert(answer.alert), headers)


def reject_out(reject: Reject, topic: str) -> Outgoing:
    """Return a dead letter: the original bytes, its own headers first, then code, reason and source position."""
    added = ((CODE, reject.code), (REASON, reject.reason))
    texts = tuple((name, value.encode()) for name, value in added)
    source = (SOURCE, position_text(reject.position))
    masked = ((MASKED, b"1"),) if reject.masked else ()
    headers = (*reject.headers, *texts, source, (SEEN_AT, str(reject.seen_at).encode()), *masked)
    return Outgoing(topic, source[1], reject.original, headers)


def label_out(label: Label, topic: str) -> Outgoing:
    """Return the message of a verdict, keyed by its payment."""
    return Outgoing(topic, label.tx_id.encode(), schema.of_label(label))


def known_out(label: KnownLabel, topic: str, headers: Headers = (), partition: int | None = None) -> Outgoing:
    """Return the message of a label that is known, keyed by card, for `partition`, otherwise that of its payment.

    The key alone would not lead there: a sender keys payments by what it calls the card, which may be its number.
    """
    if partition is None and label.partition >= 0:
        partition = label.partition
    return Outgoing(topic, label.card.encode(), _encode(label), headers, partition)


def known_in(value: bytes) -> KnownLabel:
    """Return the label of a message that this project wrote; raise msgspec.MsgspecError for any other."""
    return _known.decode(value)


def answer_in(value: bytes, headers: Sequence[tuple[str, bytes]]) -> Answer:
    """Return a published decision as the answer that it was, its alert left out.

    Raises:
        DataError: when the headers name no source position, or hold no vector or evidence that this release reads.
        msgspec.MsgspecError: when the message is no decision.
    """
    decision = schema.decision_in(value)
    repeat_of, packed = header(headers, REPEAT_OF), header(headers, VECTOR)
    vector, proof = None, header(headers, EVIDENCE)
    if packed is not None:
        values, spec_version = vector_in(packed)
        vector = FeatureVector(decision.tx_id, values, spec_version, decision.seen_at)
    return Answer(
        decision=decision,
        position=position_in(header(headers, SOURCE) or b""),
        vector=vector,
        repeat_of=position_in(repeat_of) if repeat_of else None,
        headers=carried(headers),
        evidence=None if proof is None else evidence.unpacked(proof),
    )


def packed_vector(values: Values, spec_version: str) -> bytes:
    """Return the header of a scored vector, float32 (n,): layout, length and text of the spec version, the values.

    Raises:
        ValueError: for a spec version over 255 bytes.
    """
    spec = spec_version.encode()
    return bytes((VECTOR_LAYOUT, len(spec))) + spec + values.astype("<f4", copy=False).tobytes()


def vector_in(packed: bytes) -> tuple[Values, str]:
    """Return values, float32 (n,), and spec version; raise DataError when the bytes are no packed vector."""
    start = 2 + packed[1] if len(packed) > 1 else 0
    if start == 0 or packed[0] != VECTOR_LAYOUT or len(packed) < start or (len(packed) - start) % 4:
        msg = f"{len(packed)} bytes are no packed vector: expected layout {VECTOR_LAYOUT}, spec version, float32 values"
        raise DataError(msg)
    try:
        spec = packed[2:start].decode()
    except UnicodeDecodeError as error:
        msg = "the spec version of a packed vector is not UTF-8: expected what `packed_vector` wrote"
        raise DataError(msg) from error
    return np.frombuffer(packed, dtype="<f4", offset=start).astype(np.float32), spec


def unwrapped(value: bytes, headers: Sequence[tuple[str, bytes]]) -> bytes:
    """Return the message inside a CloudEvent; other messages as they are.

    In structured mode it is the envelope's `data`, in binary mode the value itself; either way the event's id becomes
    the transaction's when the message names none.
    """
    kind = header(headers, "content-type") or b""
    event_id = header(headers, CLOUD_ID)
    if kind.startswith(STRUCTURED):
        return _unwrapped(value)
    if event_id is None or header(headers, CLOUD_SPEC) is None:
        return value
    return _with_id(value, event_id.decode(errors="replace"))


def _unwrapped(value: bytes) -> bytes:
    try:
        envelope = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
        data = bytes(envelope["data"])
        event_id = msgspec.json.decode(envelope["id"], type=str)
    except (msgspec.MsgspecError, KeyError, ValueError, RecursionError):
        return value
    return _with_id(data, event_id)


def _with_id(value: bytes, event_id: str) -> bytes:
    try:
        content = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return value
    if "id" in content or "tx_id" in content:
        return value
    return _encode({"id": event_id, **content})
