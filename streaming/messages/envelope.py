"""What goes over Kafka beside the message itself: keys, headers, and the way back from a published message.

A decision carries in its headers the position of its transaction (`source`), the position of the first answer when it
repeats one (`repeat-of`), the vector that was scored (`vector`), what an alert rests on (`evidence`, laid out in
`fraud/core/evidence.py`) and the times of its stages (`stages`); what a sender put in `traceparent` and `tracestate`
goes through, within `bounds`. A dead letter says in headers of ours where it comes from and what is wrong with it; its
sender's stand behind them, under a prefix, so that none of them speaks for us. Readers drop a decision whose source
position is at or below the one they have seen of that partition, and alerts by id: so each sees every effect exactly
once.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from fraud.core import evidence
from fraud.core.errors import DataError
from fraud.core.records import Answer, FeatureVector, KnownLabel, Label, Position, Reject, Values
from streaming.messages import bounds, schema

Headers = bounds.Headers

SOURCE, REPEAT_OF, STAGES, REASON, CODE, SEEN_AT = "source", "repeat-of", "stages", "reason", "code", "seen-at"
MASKED = "masked"
"""Set on dead letters in which stars stand for card numbers: they cannot be driven in again."""
VECTOR, VECTOR_LAYOUT = "vector", 1
HISTORY = "history"
"""Set on decisions of what a demo takes in before it is live."""
EVIDENCE = "evidence"
LENGTH, SHA256, LEFT_OUT = "original-length", "original-sha256", "headers-left-out"
"""Set on dead letters of which something was cut."""
SENDERS = "sender."
"""What stands before the names of a sender's headers in a dead letter."""
MOST_VALUES = 65_535
"""Values of a vector, at most."""
UNREADABLE = msgspec.MsgspecError, ValueError, OverflowError, RecursionError
"""What decoding raises for bytes that are no message of ours."""
CLOUD_ID, CLOUD_SPEC = "ce_id", "ce_specversion"
STRUCTURED = b"application/cloudevents+json"

_encode = msgspec.json.Encoder().encode
_POSITION = re.compile(rb"(.+)/([0-9]{1,9})/([0-9]{1,18})", re.DOTALL)


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
        if (match := _POSITION.fullmatch(value)) is not None:
            return Position(match[1].decode(), int(match[2]), int(match[3]))
    except UnicodeDecodeError:
        pass
    msg = f"header {value[:80]!r} names no position: expected TOPIC/PARTITION/OFFSET"
    raise DataError(msg)


def header(headers: Iterable[tuple[str, bytes | None]], name: str) -> bytes | None:
    """Return the value of the first header of a name, None without one or for a null."""
    return next((value for key, value in headers if key == name), None)


def decision_out(answer: Answer, topic: str, stages: bytes = b"") -> Outgoing:
    """Return the message of a decision, for the partition of its transaction."""
    headers = [(SOURCE, position_text(answer.position)), *bounds.carried(answer.headers)]
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
    headers = ((SOURCE, position_text(answer.position)), *bounds.carried(answer.headers))
    return Outgoing(topic, answer.alert.card.encode(), schema.of_alert(answer.alert), headers)


def reject_out(reject: Reject, topic: str) -> Outgoing:
    """Return a dead letter: our headers first, then its sender's as far as there is room; the original, cut if long."""
    reject, (headers, left_out) = bounds.fitting(reject), bounds.kept(reject.headers)
    source = (SOURCE, position_text(reject.position))
    ours = [
        (CODE, reject.code.encode()),
        (REASON, reject.reason[: bounds.LONGEST_REASON].encode(errors="replace")),
        source,
        (SEEN_AT, str(reject.seen_at).encode()),
        *(((MASKED, b"1"),) if reject.masked else ()),
        *(((LENGTH, str(reject.length).encode()),) if reject.length else ()),
        *(((SHA256, reject.sha256.encode()),) if reject.sha256 else ()),
        *(((LEFT_OUT, str(left_out).encode()),) if left_out else ()),
    ]
    senders = ((SENDERS + plain(name), value) for name, value in headers)
    return Outgoing(topic, source[1], reject.original, (*ours, *senders))


def plain(name: str) -> str:
    """Return a header's name as every client sends it: what does not print is a question mark."""
    return name if name.isprintable() else "".join(each if each.isprintable() else "?" for each in name)


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


def known_in(value: bytes | None) -> KnownLabel:
    """Return the label of a message that this project wrote; raise DataError for any other."""
    try:
        return schema.known_in(value or b"")
    except UNREADABLE as error:
        msg = f"no known label: {error}"
        raise DataError(msg) from error


def answer_in(value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> Answer:
    """Return a published decision as the answer that it was, its alert left out.

    Raises:
        DataError: when the message is no decision that this release reads, or its headers name no source position, or
            hold another vector or other evidence than it reads.
    """
    try:
        decision = schema.decision_in(value or b"")
    except UNREADABLE as error:
        msg = f"no decision: {error}"
        raise DataError(msg) from error
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
        headers=bounds.carried(bounds.taken(headers)),
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
    values = len(packed) - start
    if start == 0 or packed[0] != VECTOR_LAYOUT or values % 4 or not 0 <= values <= 4 * MOST_VALUES:
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
    the transaction's when the message names none. One that is too long to be read stays as it is.
    """
    if len(value) > bounds.LONGEST:
        return value
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
