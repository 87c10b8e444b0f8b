"""Pending vectors on disk: an SQLite file that survives kill -9, and what belongs to the same transaction.

Beside the items lie the offsets consumed and an outbox of messages to be published, so that one commit covers all
three: after a crash nothing was taken up without its consequences.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fraud.core.errors import StateError
from fraud.core.labels import Pending, PendingState
from fraud.core.records import Label
from streaming.messages.envelope import Outgoing

LAYOUT = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS items (tx_id TEXT PRIMARY KEY, deadline INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS items_due ON items (deadline, tx_id);
CREATE TABLE IF NOT EXISTS early (number INTEGER PRIMARY KEY, tx_id TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
"""

_encode = msgspec.msgpack.Encoder().encode
_item = msgspec.msgpack.Decoder(Pending)
_label = msgspec.msgpack.Decoder(Label)
_outgoing = msgspec.msgpack.Decoder(Outgoing)


class SqlitePending:
    """The PendingStore port on one SQLite file; `commit` ends what one batch changed.

    A write survives kill -9 and, since every commit is synced, a power cut. The oldest early labels beyond `most_early`
    go, as in memory.
    """

    def __init__(self, path: Path, most_early: int = 100_000) -> None:
        """Open or make the file; raise StateError when it is of another layout or no such file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._most_early = most_early
        self.early_dropped = 0
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            msg = f"{path} cannot be used as a file of waiting vectors ({error}): name another, or remove it"
            raise StateError(msg) from error
        layout = self.number("layout", LAYOUT)
        if layout != LAYOUT:
            msg = f"{path} has layout {layout}, this release reads {LAYOUT}: name another file"
            raise StateError(msg)
        self.set_number("layout", LAYOUT)
        self._early = self._count("early")
        self.commit()

    # ---- PendingStore

    def put(self, item: Pending) -> None:
        """Keep an item, in place of any earlier one under its id."""
        self._write("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", item.tx_id, item.deadline, _encode(item))

    def get(self, tx_id: str) -> Pending | None:
        """Return the item, or None."""
        row = self._db.execute("SELECT body FROM items WHERE tx_id = ?", (tx_id,)).fetchone()
        return _item.decode(row[0]) if row else None

    def due(self, now: int) -> Iterator[Pending]:
        """Remove and yield, in order of deadline, every item whose deadline is at or before `now`."""
        rows = self._db.execute(
            "SELECT tx_id, body FROM items WHERE deadline <= ? ORDER BY deadline, tx_id", (now,)
        ).fetchall()
        for tx_id, body in rows:
            self._write("DELETE FROM items WHERE tx_id = ?", tx_id)
            yield _item.decode(body)

    def next_due(self) -> int | None:
        """Return the earliest deadline, or None when nothing waits."""
        found: int | None = self._db.execute("SELECT min(deadline) FROM items").fetchone()[0]
        return found

    def put_early(self, label: Label) -> None:
        """Keep a label whose transaction is not here yet."""
        known = self._db.execute("SELECT 1 FROM early WHERE tx_id = ?", (label.tx_id,)).fetchone()
        self._write(
            "INSERT INTO early (tx_id, body) VALUES (?, ?) ON CONFLICT (tx_id) DO UPDATE SET body = excluded.body",
            label.tx_id,
            _encode(label),
        )
        self._early += known is None
        if self._early > self._most_early:
            self._write("DELETE FROM early WHERE number = (SELECT min(number) FROM early)")
            self._early -= 1
            self.early_dropped += 1

    def early(self, tx_id: str) -> Label | None:
        """Return the label that came before its transaction, if any; it stays."""
        if not self._early:
            return None
        row = self._db.execute("SELECT body FROM early WHERE tx_id = ?", (tx_id,)).fetchone()
        return _label.decode(row[0]) if row else None

    def take_early(self, tx_id: str) -> Label | None:
        """Remove and return the label that came before its transaction, if any."""
        if (label := self.early(tx_id)) is not None:
            self._write("DELETE FROM early WHERE tx_id = ?", tx_id)
            self._early -= 1
        return label

    def __len__(self) -> int:
        """Return how many items are kept."""
        return self._count("items")

    def snapshot(self) -> bytes:
        """Return the whole content."""
        items = [_item.decode(row[0]) for row in self._db.execute("SELECT body FROM items ORDER BY deadline, tx_id")]
        early = [_label.decode(row[0]) for row in self._db.execute("SELECT body FROM early ORDER BY number")]
        return _encode(PendingState(items, early))

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole content."""
        state = msgspec.msgpack.decode(snapshot, type=PendingState)
        self._write("DELETE FROM items")
        self._write("DELETE FROM early")
        self._early = 0
        for item in state.items:
            self.put(item)
        for label in state.early:
            self.put_early(label)
        self.commit()

    # ---- what belongs to the same transaction

    def number(self, name: str, default: int = -1) -> int:
        """Return a named number, such as an offset."""
        row = self._db.execute("SELECT value FROM numbers WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else default

    def set_number(self, name: str, value: int) -> None:
        """Set a named number."""
        self._write("INSERT OR REPLACE INTO numbers VALUES (?, ?)", name, value)

    def send(self, message: Outgoing) -> None:
        """Put a message into the outbox."""
        self._write("INSERT INTO outbox (body) VALUES (?)", _encode(message))

    def outbox(self, after: int, most: int = 1_000) -> list[tuple[int, Outgoing]]:
        """Return the messages above a sequence number, in order."""
        rows = self._db.execute("SELECT seq, body FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (after, most))
        return [(int(seq), _outgoing.decode(body)) for seq, body in rows]

    def sent(self, seq: int) -> None:
        """Forget the messages up to a sequence number: they are published."""
        self._write("DELETE FROM outbox WHERE seq <= ?", seq)

    def commit(self) -> None:
        """Make everything since the last commit durable, all or nothing."""
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def close(self) -> None:
        """Close the file. What was not committed is gone, as after a kill: it is read again."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._db.close()

    def _write(self, statement: str, *values: object) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(statement, values)

    def _count(self, table: str) -> int:
        counts = {"items": "SELECT count(*) FROM items", "early": "SELECT count(*) FROM early"}
        return int(self._db.execute(counts[table]).fetchone()[0])
