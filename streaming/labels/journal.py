"""The learning loop's journal in the label book's file: rows of the same transaction as the book's own."""

from fraud.core.learning.journal import packed_rows, unpacked_rows
from streaming.labels.pending import SqlitePending


class SqliteJournal:
    """The Journal port on the file of the pending items; what ends their transaction makes it durable."""

    def __init__(self, pending: SqlitePending) -> None:
        """Take the file."""
        self._file = pending

    def put(self, kind: str, number: int, body: bytes) -> None:
        """Keep a row."""
        self._file.write("INSERT OR REPLACE INTO journal VALUES (?, ?, ?)", kind, number, body)

    def remove(self, kind: str, number: int) -> None:
        """Let a row go."""
        self._file.write("DELETE FROM journal WHERE kind = ? AND number = ?", kind, number)

    def get(self, kind: str, number: int) -> bytes | None:
        """Return a row, or None."""
        found = self._file.query("SELECT body FROM journal WHERE kind = ? AND number = ?", kind, number)
        return bytes(found[0][0]) if found else None

    def rows(self, kind: str) -> list[tuple[int, bytes]]:
        """Return all rows of a kind, in order of their numbers."""
        found = self._file.query("SELECT number, body FROM journal WHERE kind = ? ORDER BY number", kind)
        return [(int(number), bytes(body)) for number, body in found]

    def snapshot(self) -> bytes:
        """Return the whole content."""
        kinds = [str(row[0]) for row in self._file.query("SELECT DISTINCT kind FROM journal")]
        return packed_rows({kind: self.rows(kind) for kind in kinds})

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole content."""
        rows = unpacked_rows(snapshot)
        self._file.write("DELETE FROM journal")
        for kind, some in rows.items():
            for number, body in some:
                self.put(kind, number, body)
