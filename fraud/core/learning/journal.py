"""Where the learning loop keeps what grows by the label or decision, row by row, so that a kill loses nothing."""

from typing import Protocol

import msgspec

from fraud.core.errors import StateError

UNREADABLE = msgspec.MsgspecError, ValueError, OverflowError, RecursionError
"""What reading bytes that somebody has damaged may raise; text that is no UTF-8 is a ValueError."""


class Journal(Protocol):
    """Rows of bytes by kind and number, part of whatever transaction their keeper ends; all of the loop's state."""

    def put(self, kind: str, number: int, body: bytes) -> None:
        """Keep a row, in place of any earlier one of its kind and number."""

    def remove(self, kind: str, number: int) -> None:
        """Let a row go; one that is not there is no error."""

    def get(self, kind: str, number: int) -> bytes | None:
        """Return a row, or None."""

    def rows(self, kind: str) -> list[tuple[int, bytes]]:
        """Return all rows of a kind, in order of their numbers."""

    def snapshot(self) -> bytes:
        """Return the whole content."""

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole content; raise StateError for bytes that are none."""


def forget(journal: Journal, kind: str) -> None:
    """Let all rows of a kind go."""
    for number, _ in journal.rows(kind):
        journal.remove(kind, number)


Rows = dict[str, dict[int, bytes]]


class MemoryJournal:
    """The Journal port in this process."""

    def __init__(self) -> None:
        """Start empty."""
        self._rows: Rows = {}

    def put(self, kind: str, number: int, body: bytes) -> None:
        """Keep a row."""
        self._rows.setdefault(kind, {})[number] = body

    def remove(self, kind: str, number: int) -> None:
        """Let a row go."""
        self._rows.get(kind, {}).pop(number, None)

    def get(self, kind: str, number: int) -> bytes | None:
        """Return a row, or None."""
        return self._rows.get(kind, {}).get(number)

    def rows(self, kind: str) -> list[tuple[int, bytes]]:
        """Return all rows of a kind, in order of their numbers."""
        return sorted(self._rows.get(kind, {}).items())

    def snapshot(self) -> bytes:
        """Return the whole content, equal for equal content."""
        return packed_rows({kind: self.rows(kind) for kind in self._rows})

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole content."""
        self._rows = {kind: dict(rows) for kind, rows in unpacked_rows(snapshot).items()}


def packed_rows(rows: dict[str, list[tuple[int, bytes]]]) -> bytes:
    """Return rows by kind as bytes; kinds without any leave no trace."""
    return msgspec.msgpack.encode({kind: rows[kind] for kind in sorted(rows) if rows[kind]})


def unpacked_rows(snapshot: bytes) -> dict[str, list[tuple[int, bytes]]]:
    """Return what `packed_rows` was given; raise StateError for bytes that are none."""
    try:
        return msgspec.msgpack.decode(snapshot, type=dict[str, list[tuple[int, bytes]]])
    except UNREADABLE as error:
        msg = f"the learning loop's state cannot be read ({error}): restore what `snapshot` returned"
        raise StateError(msg) from error
