"""The working set over record tables: what both stores hand to the extractor."""

from collections.abc import Sequence
from typing import Protocol

from features.state.tables import RecordTable
from fraud.core.ports import Encoder, StateStore, WorkingSet
from fraud.core.records import Arrival, Position

Change = tuple[str, tuple[str, str, str, str], bytes]
"""Kind, keys and int64 fields of a change."""

EVERY_SIDE = 7
"""The bits of card, merchant and device, of their histories."""


class TableSet(WorkingSet, Protocol):
    """A working set whose state is rows: tables to compute on, marks to ask, changes to report."""

    @property
    def entities(self) -> RecordTable:
        """Return the rows of cards, merchants and devices."""

    @property
    def pairs(self) -> RecordTable:
        """Return the rows of pairs of card and merchant."""

    @property
    def histories(self) -> RecordTable | None:
        """Return the history rows; None without an encoder."""

    @property
    def encoder(self) -> Encoder | None:
        """Return what computes the codes of histories."""

    def admits(self, keys: tuple[str, ...], position: Position | None) -> int:
        """Return which rows have not applied this position yet: a bit each for card, merchant, device and pair.

        `keys` are the entity keys and, last, the pair key. Without a position everything is admitted.
        """

    def recorded(self, position: Position | None) -> Sequence[Change] | None:
        """Return the changes (kind, keys, fields) that a first attempt at this position makes, None without one."""

    def applied(self, kind: str, keys: tuple[str, ...], change: bytes, position: Position | None) -> None:
        """Note a change just made in place: `absorb`, `retract` or `apply`, its keys, its int64 fields."""

    def admits_history(self, keys: tuple[str, ...], position: Position | None) -> int:
        """Return which history rows have not applied this position yet: a bit each for card, merchant and device."""

    def applied_history(
        self, kind: str, keys: tuple[str, str, str, str], change: bytes, mask: int, position: Position | None
    ) -> None:
        """Note a change just made in the history rows of `mask`: `remember` or `verdict`, its int64 fields."""


class TableStore(StateStore, Protocol):
    """A state store whose working sets are table sets."""

    def read(self, batch: Sequence[Arrival], encoder: Encoder | None = None) -> TableSet:
        """Read every row, mark and first answer the batch can touch, in one round trip; histories of an encoder."""
