"""First answers at rest, with the changes that their transactions make where a write is not all or nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from features.stores.working_set import Change
from fraud.core import evidence
from fraud.core.identity import by_own_name, is_same_payment
from fraud.core.records import Alert, Answer, Decision, FeatureVector, Position


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """A first answer at rest: all that is published, and the changes that its transaction makes to the state."""

    decision: Decision
    position: Position
    alert: Alert | None = None
    vector: bytes = b""
    changes: tuple[Change, ...] = ()
    evidence: bytes = b""

    @property
    def answer(self) -> Answer:
        """Return it as the engine takes it."""
        decision, vector = self.decision, None
        if self.vector:
            values = np.frombuffer(self.vector, np.float32).copy()
            vector = FeatureVector(decision.tx_id, values, decision.versions.spec, decision.seen_at)
        proof = evidence.unpacked(self.evidence) if self.evidence else None
        return Answer(decision=decision, position=self.position, alert=self.alert, vector=vector, evidence=proof)


_encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Stored).decode


def stored(answer: Answer, changes: Sequence[Change] = ()) -> bytes:
    """Return an answer as it is kept."""
    vector = answer.vector.values.astype("<f4", copy=False).tobytes() if answer.vector is not None else b""
    proof = evidence.packed(answer.evidence) if answer.evidence is not None else b""
    return _encode(Stored(answer.decision, answer.position, answer.alert, vector, tuple(changes), proof))


def small(answer: Answer) -> bytes:
    """Return what a retry needs of an answer."""
    return _encode(Stored(answer.decision, answer.position))


def lacking(
    answers: Iterable[tuple[str, Answer]], held: Mapping[str, bytes | None]
) -> Iterator[tuple[str, Answer, bytes]]:
    """Yield each answer as it is kept, with its key, and its bytes: none where it is held as it is.

    The key is empty where another payment's answer lies under it: rules alone could not know that they share an id.
    What another attempt at the same position has noted of its changes stays: rows may hold a part of them.
    """
    firsts = {key: decode(value) for key, value in held.items() if value is not None}
    for key, answer in answers:
        first = firsts.get(key)
        if first is not None and not is_same_payment(first.decision, answer.decision):
            own = by_own_name(answer)
            yield "", own, stored(own)
        elif first is not None and first.decision == answer.decision:
            yield key, answer, b""
        else:
            changes = first.changes if first is not None and first.position == answer.position else ()
            firsts[key] = Stored(answer.decision, answer.position)
            yield key, answer, stored(answer, changes)


def lost(firsts: dict[int, Stored], claims: Sequence[Answer], held: Sequence[Any]) -> None:
    """Note, by answer, what somebody else has answered before."""
    firsts.update({id(one): decode(value) for one, value in zip(claims, held, strict=False) if value})


def beaten(answers: Sequence[Answer], firsts: Mapping[int, Stored]) -> set[Position]:
    """Return the positions whose transactions somebody else has taken in under another one."""
    return {one.position for one in answers if id(one) in firsts and firsts[id(one)].position != one.position}
