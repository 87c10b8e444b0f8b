"""Payments that have reached the age of learning: they wait in the journal until what was learned of them is kept."""

from collections.abc import Callable
from itertools import islice

from fraud.core.learning.journal import Journal

RIPE = "ripe"


class Ripe:
    """A queue in the journal, in order of coming. A row goes with `settle`: until then a kill brings it back."""

    def __init__(self, journal: Journal) -> None:
        """Take up what the journal holds; raise UnicodeDecodeError for rows that are none."""
        self._journal = journal
        self._rows = {number: body.decode() for number, body in journal.rows(RIPE)}
        self._next = next(reversed(self._rows), -1) + 1
        self._held: dict[int, str] = {}
        self._taken: list[int] = []

    def __len__(self) -> int:
        """Return how many were not taken yet."""
        return len(self._rows) + len(self._held)

    @property
    def taken(self) -> int:
        """Return how many were taken and not settled."""
        return len(self._taken)

    def add(self, tx_id: str) -> None:
        """Put one at the end."""
        self._rows[self._next] = tx_id
        self._journal.put(RIPE, self._next, tx_id.encode())
        self._next += 1

    def take(self, holds: Callable[[str], bool], most: int | None = None) -> tuple[int, list[str]]:
        """Take what can be learned; return how many were looked at, and the ids, in order.

        What `holds` tells of stays. With `most` only so many are looked at, none of them twice; without, all are.
        """
        if most is None:
            self._rows, self._held = self._held | self._rows, {}
        some, free = list(islice(self._rows.items(), most)), []
        for number, tx_id in some:
            del self._rows[number]
            if holds(tx_id):
                self._held[number] = tx_id
            else:
                self._taken.append(number)
                free.append(tx_id)
        return len(some), free

    def settle(self) -> None:
        """Let those go that were taken: what was learned of them is kept by the same transaction."""
        for number in self._taken:
            self._journal.remove(RIPE, number)
        self._taken = []
        # as a queue would count that is read from the journal now
        self._next = max(self._rows.keys() | self._held.keys(), default=-1) + 1
