"""One batch's rows on Redis: versions and marks as they were read, and the changes that are made again inside Redis."""

import msgspec

from features.state.tables import RecordTable


class Unit(msgspec.Struct):
    """What one position changes in one row: the mark that it moves ('' for none), and the words of its changes."""

    field: str
    offset: int
    words: list[bytes | str] = msgspec.field(default_factory=list)


class RowChanges:
    """What a batch does to rows, by their key in Redis."""

    def __init__(self) -> None:
        """Start empty."""
        self.versions: dict[str, bytes] = {}
        self.units: dict[str, list[Unit]] = {}
        self.reached: dict[str, int] = {}
        self._marks: dict[str, dict[str, int]] = {}
        self._made: dict[str, tuple[RecordTable, str]] = {}

    def take(self, row: str, version: bytes, marks: dict[bytes, bytes]) -> None:
        """Note the version and the marks of a row that was read."""
        self.versions[row] = version
        self._marks[row] = {field.decode(): int(offset) for field, offset in marks.items()}

    def admits(self, row: str, field: str, offset: int) -> bool:
        """Tell whether a row has not applied this position yet."""
        return self._marks.get(row, {}).get(field, -1) < offset

    def note(self, row: str, field: str, offset: int, words: tuple[str, bytes], made: tuple[RecordTable, str]) -> None:
        """Note a change just made in place; `made` is where the row stands as this batch has made it."""
        units = self.units.setdefault(row, [])
        self._made[row] = made
        if not field or not units or (units[-1].field, units[-1].offset) != (field, offset):
            units.append(Unit(field, offset))
        units[-1].words.extend(words)

    def move(self, row: str, field: str, offset: int) -> None:
        """Move a row's mark."""
        self._marks.setdefault(row, {})[field] = offset

    def reach(self, field: str, offset: int) -> None:
        """Note how far the rows of a partition have come."""
        self.reached[field] = max(self.reached.get(field, -1), offset)

    def made(self, row: str) -> bytes:
        """Return a row as this batch has made it."""
        table, key = self._made[row]
        return table.get(key)
