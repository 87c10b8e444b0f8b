"""First answers at rest, with the changes that their transactions make where a write is not all or nothing."""

from collections.abc import Sequence

import msgspec
import numpy as np

from features.stores.working_set import Change
from fraud.core import evidence
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
