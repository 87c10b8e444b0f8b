"""The last decisions, as the step bound needs them: what a step would move is asked of them, not of labels."""

import struct

import numpy as np

from fraud.core.errors import StateError
from fraud.core.learning.journal import Journal
from models.boosting.trees import F64
from models.online.leaves import Leaves
from models.online.parameters import Parameters, corrections, experts

MOST = 10_000
RECENT = "recent"
HEAD = struct.Struct("<qdq")
SMALL = np.iinfo(np.uint16).max
"""Leaf numbers up to here travel as two bytes."""


class Recent:
    """A ring of decisions in the journal: base log-odds, amount (minor units), leaves."""

    def __init__(self, journal: Journal, trees: int, leaves: int) -> None:
        """Go on where the journal stands; for so many trees, and leaves in all.

        Raises StateError for rows that are none: compiled loops look up leaves without asking whether they exist.
        """
        self._journal = journal
        self._kind = np.dtype("<u2" if leaves <= SMALL + 1 else "<i4")
        self._base, self._amount = np.zeros(MOST), np.zeros(MOST, np.int64)
        self._leaves = np.zeros((MOST, trees), np.int32)
        self._number = 0
        for slot, body in journal.rows(RECENT):
            if not 0 <= slot < MOST or len(body) != HEAD.size + trees * self._kind.itemsize:
                raise _damaged(slot)
            number, self._base[slot], self._amount[slot] = HEAD.unpack_from(body)
            self._leaves[slot] = found = np.frombuffer(body, self._kind, offset=HEAD.size)
            if number % MOST != slot or not np.isfinite(self._base[slot]) or found.min() < 0 or found.max() >= leaves:
                raise _damaged(slot)
            self._number = max(self._number, number + 1)

    def __len__(self) -> int:
        """Return how many decisions there are."""
        return min(self._number, MOST)

    def add(self, base: float, amount: int, leaves: Leaves) -> None:
        """Add a decision; the oldest one goes. `leaves` is int32 (trees,)."""
        slot = self._number % MOST
        self._base[slot], self._amount[slot], self._leaves[slot] = base, amount, leaves
        self._journal.put(RECENT, slot, HEAD.pack(self._number, base, amount) + leaves.astype(self._kind).tobytes())
        self._number += 1

    def amount(self) -> int:
        """Return the amount in the middle, 0 without decisions."""
        return int(np.median(self._amount[: len(self)])) if len(self) else 0

    def probabilities(self) -> F64:
        """Return the base's probability of each decision, float64 (decisions,)."""
        return np.asarray(1 / (1 + np.exp(-np.clip(self._base[: len(self)], -50, 50))))

    def log_odds(self, parameters: Parameters) -> F64:
        """Return the mixture's log-odds of each decision, float64 (decisions,)."""
        count = len(self)
        found = experts(self._base[:count], corrections(parameters, self._leaves[:count]), parameters.clip)
        p = np.clip(found @ np.asarray(parameters.weights), 1e-9, 1 - 1e-9)
        return np.asarray(np.log(p / (1 - p)))


def _damaged(slot: int) -> StateError:
    return StateError(f"decision {slot} of the last ones cannot be read: restore what `snapshot` returned")
