"""The digest of a run: one SHA-256 over one line a decision, the same for any batch size or number of threads.

A line is, separated by tabs: transaction id, version, card, merchant, kind, amount in the base currency, action, score
as hexadecimal float, reason codes and marks, each joined by commas, level, then the versions of model, spec, policy and
rules, that of the learned parameters where a decision was made by some, and the release where one was in force.
`fraud replay` prints it; two runs that decided alike have the same one.

Resuming: a snapshot holds the hash's own inner state (see `sha256`), so a run that goes on from a snapshot ends with
the plain SHA-256 over all lines, also those from before the crash.
"""

import struct
from collections.abc import Iterable

from fraud.core.errors import StateError
from fraud.core.records import Decision
from streaming.replay.sha256 import Sha256

_GATHER = 256
_LEAST = 48


def line_of(decision: Decision) -> bytes:
    """Return the line that stands for one decision, newline included."""
    codes = ",".join([reason.code for reason in decision.reasons]) if decision.reasons else ""
    marks = ",".join(decision.marks)
    made_by = decision.versions
    learned = f"\t{made_by.parameters}" if made_by.parameters or made_by.release else ""
    released = f"\t{made_by.release}" if made_by.release else ""
    return (
        f"{decision.tx_id}\t{decision.version}\t{decision.card}\t{decision.merchant}\t{decision.kind}\t"
        f"{decision.base_amount}\t{decision.action}\t{decision.score.hex()}\t{codes}\t{marks}\t"
        f"{decision.level}\t{made_by.model}\t{made_by.spec}\t{made_by.policy}\t{made_by.rules}{learned}{released}\n"
    ).encode()


class Digest:
    """A running digest over decisions, in order; `count` tells how many."""

    def __init__(self) -> None:
        """Start before the first decision."""
        self.count = 0
        self._hash = Sha256()
        self._lines: list[bytes] = []

    def add(self, decisions: Iterable[Decision]) -> None:
        """Append decisions."""
        before = len(self._lines)
        self._lines += map(line_of, decisions)
        self.count += len(self._lines) - before
        if len(self._lines) >= _GATHER:
            self._flush()

    def hexdigest(self) -> str:
        """Return the digest so far, 64 hexadecimal digits; more may follow."""
        self._flush()
        return self._hash.hexdigest()

    def snapshot(self) -> bytes:
        """Return the whole state, at most 111 bytes."""
        self._flush()
        return struct.pack(">Q", self.count) + self._hash.snapshot()

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole state; raise StateError when the snapshot is cut short."""
        if len(snapshot) < _LEAST:
            msg = f"a digest's snapshot has {len(snapshot)} bytes, expected {_LEAST} or more: start the run afresh"
            raise StateError(msg)
        (self.count,) = struct.unpack_from(">Q", snapshot)
        self._hash.restore(snapshot[8:])
        self._lines = []

    def _flush(self) -> None:
        self._hash.update(b"".join(self._lines))
        self._lines = []
