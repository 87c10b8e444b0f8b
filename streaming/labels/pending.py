"""Pending vectors on disk: an SQLite file that survives kill -9, and what belongs to the same transaction.

Beside the items lie the offsets consumed and an outbox of messages to be published, so that one commit covers all
three: after a crash nothing was taken up without its consequences. Items are packed (`packing.py`) and found by a hash
of their id; what leaves gives its room back to the disk, a little with each commit.
"""

import hashlib
import sqlite3
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import msgspec

from fraud.common.files import make_private
from fraud.core.errors import StateError
from fraud.core.pending import Pending, PendingState
from fraud.core.records import Label
from streaming import clock
from streaming.labels.packing import Forms, first_item, item_in, packed_item
from streaming.messages.envelope import Outgoing

LAYOUT, WITHOUT_JOURNAL = 3, 2
"""The second layout knew no learning loop: its items have nothing to learn from, and it had no journal."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS items (key INTEGER NOT NULL, deadline INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS items_by_key ON items (key);
CREATE INDEX IF NOT EXISTS items_by_deadline ON items (deadline);
CREATE TABLE IF NOT EXISTS early (number INTEGER PRIMARY KEY, tx_id TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS releases (number INTEGER PRIMARY KEY, tx_id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS forms (number INTEGER PRIMARY KEY, body BLOB NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS journal (
    kind TEXT NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, number)
) WITHOUT ROWID;
"""

SPARE_SHARE, SPARE_PAGES, GIVEN_BACK = 0.1, 256, 256
"""Pages without content are kept up to that share or number for what comes next; of more, so many go in a commit."""
MOST_LOG = 64 * 1024 * 1024
MOVED = 1_000

_encode = msgspec.msgpack.Encoder().encode
_labels = msgspec.msgpack.Decoder(tuple[Label, ...] | Label)
_outgoing = msgspec.msgpack.Decoder(Outgoing)


class SqlitePending:
    """The PendingStore port on one SQLite file; `commit` ends what one batch changed.

    A write survives kill -9 and, since every commit is synced, a power cut. The oldest early labels beyond `most_early`
    go, as in memory. `born` is when the file was made (UTC ns); it names the file.
    """

    def __init__(self, path: Path, most_early: int = 100_000) -> None:
        """Open or make the file; one of the first layout is upgraded, and goes on where it was if that is cut off.

        Raises:
            StateError: when it is of a layout that this release does not know, or no such file.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        make_private(path)
        self.path = path
        self._most_early = most_early
        self.early_dropped = 0
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            # For a new file; one of the first layout is made to shrink at the end of its upgrade.
            self._db.execute("PRAGMA page_size = 8192")
            self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(f"PRAGMA journal_size_limit = {MOST_LOG}")
            upgrade(self._db)
            self._db.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            msg = f"{path} cannot be used as a file of waiting vectors ({error}): name another, or remove it"
            raise StateError(msg) from error
        layout = self.number("layout", LAYOUT)
        if layout not in (WITHOUT_JOURNAL, LAYOUT):
            msg = f"{path} has layout {layout}, this release reads {LAYOUT}: name another file"
            raise StateError(msg)
        self.set_number("layout", LAYOUT)
        if (born := self.number("born")) < 0:
            self.set_number("born", born := clock.now_ns())
        self.born = born
        self._early = self._count("early")
        self._forms = Forms(dict(self._db.execute("SELECT number, body FROM forms")), self._add_form)
        self.commit()

    # ---- PendingStore

    def put(self, item: Pending) -> None:
        """Keep an item, in place of any earlier one under its id."""
        body = packed_item(item, self._forms)
        if (held := self._held(item.tx_id)) is None:
            self.write("INSERT INTO items VALUES (?, ?, ?)", key_of(item.tx_id), item.due, body)
        else:
            self.write("UPDATE items SET deadline = ?, body = ? WHERE rowid = ?", item.due, body, held[0])

    def get(self, tx_id: str) -> Pending | None:
        """Return the item, or None."""
        held = self._held(tx_id)
        return held[1] if held is not None else None

    def due(self, now: int) -> Iterator[Pending]:
        """Remove and yield, in order of `due` and id, every item that is due at or before `now`."""
        rows = self._db.execute("SELECT rowid, body FROM items WHERE deadline <= ?", (now,)).fetchall()
        found = [(row, item_in(body, self._forms)) for row, body in rows]
        for row, item in sorted(found, key=lambda each: (each[1].due, each[1].tx_id)):
            self.write("DELETE FROM items WHERE rowid = ?", row)
            yield item

    def next_due(self) -> int | None:
        """Return when the first item is due, or None when nothing is kept."""
        found: int | None = self._db.execute("SELECT min(deadline) FROM items").fetchone()[0]
        return found

    def put_early(self, tx_id: str, labels: tuple[Label, ...]) -> None:
        """Keep labels whose transaction is not here yet."""
        known = self._db.execute("SELECT 1 FROM early WHERE tx_id = ?", (tx_id,)).fetchone()
        self.write(
            "INSERT INTO early (tx_id, body) VALUES (?, ?) ON CONFLICT (tx_id) DO UPDATE SET body = excluded.body",
            tx_id,
            _encode(labels),
        )
        self._early += known is None
        if self._early > self._most_early:
            self.write("DELETE FROM early WHERE number = (SELECT min(number) FROM early)")
            self._early -= 1
            self.early_dropped += 1

    def early(self, tx_id: str) -> tuple[Label, ...]:
        """Return the labels that came before their transaction; they stay."""
        if not self._early:
            return ()
        row = self._db.execute("SELECT body FROM early WHERE tx_id = ?", (tx_id,)).fetchone()
        return early_in(row[0]) if row else ()

    def take_early(self, tx_id: str) -> tuple[Label, ...]:
        """Remove and return the labels that came before their transaction."""
        if labels := self.early(tx_id):
            self.write("DELETE FROM early WHERE tx_id = ?", tx_id)
            self._early -= 1
        return labels

    def early_held(self) -> int:
        """Return of how many transactions there are early labels."""
        return self._early

    def put_release(self, tx_id: str, at: int) -> None:
        """Keep that a payment went through whose transaction is not here yet; the oldest beyond the bound go."""
        self.write("INSERT OR IGNORE INTO releases (tx_id, at) VALUES (?, ?)", tx_id, at)
        self.write("DELETE FROM releases WHERE number <= (SELECT max(number) FROM releases) - ?", self._most_early)

    def take_release(self, tx_id: str) -> int | None:
        """Remove and return when a payment went through of which that was told before its transaction came."""
        row = self._db.execute("SELECT at FROM releases WHERE tx_id = ?", (tx_id,)).fetchone()
        if row is None:
            return None
        self.write("DELETE FROM releases WHERE tx_id = ?", tx_id)
        return int(row[0])

    def __len__(self) -> int:
        """Return how many items are kept."""
        return self._count("items")

    def snapshot(self) -> bytes:
        """Return the whole content."""
        items = [item_in(row[0], self._forms) for row in self._db.execute("SELECT body FROM items")]
        items.sort(key=lambda item: (item.due, item.tx_id))
        early = [early_in(row[0]) for row in self._db.execute("SELECT body FROM early ORDER BY number")]
        return _encode(PendingState(items, early, self.early_dropped))

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole content."""
        state = msgspec.msgpack.decode(snapshot, type=PendingState)
        self.write("DELETE FROM items")
        self.write("DELETE FROM early")
        self._early = 0
        for item in state.items:
            self.put(item)
        for labels in state.early:
            self.put_early(labels[0].tx_id, labels)
        self.early_dropped = state.dropped
        self.commit()

    # ---- what belongs to the same transaction

    def number(self, name: str, default: int = -1) -> int:
        """Return a named number, such as an offset."""
        row = self._db.execute("SELECT value FROM numbers WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else default

    def set_number(self, name: str, value: int) -> None:
        """Set a named number."""
        self.write("INSERT OR REPLACE INTO numbers VALUES (?, ?)", name, value)

    def send(self, message: Outgoing) -> None:
        """Put a message into the outbox."""
        self.write("INSERT INTO outbox (body) VALUES (?)", _encode(message))

    def outbox(self, after: int, most: int = 1_000) -> list[tuple[int, Outgoing]]:
        """Return the messages above a sequence number, in order."""
        rows = self._db.execute("SELECT seq, body FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (after, most))
        return [(int(seq), _outgoing.decode(body)) for seq, body in rows]

    def last_sent(self) -> int:
        """Return the highest sequence number that was given, 0 for none."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        return int(row[0]) if row else 0

    def sent(self, seq: int) -> None:
        """Forget the messages up to a sequence number: they are published."""
        self.write("DELETE FROM outbox WHERE seq <= ?", seq)

    def write(self, statement: str, *values: object) -> None:
        """Run a statement in the open transaction, or begin one."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(statement, values)

    def query(self, statement: str, *values: object) -> list[Any]:
        """Return what a query finds, what the open transaction has changed included."""
        return self._db.execute(statement, values).fetchall()

    def commit(self) -> None:
        """Make everything since the last commit durable, all or nothing; give some room back if there is much."""
        if self._db.in_transaction:
            self._db.execute("COMMIT")
            self._give_back()

    def close(self) -> None:
        """Close the file. What was not committed is gone, as after a kill: it is read again."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._db.close()

    def _held(self, tx_id: str) -> tuple[int, Pending] | None:
        """Return the row of an item, and the item; ids whose hashes are equal are told apart."""
        rows = self._db.execute("SELECT rowid, body FROM items WHERE key = ?", (key_of(tx_id),)).fetchall()
        return next(((row, item) for row, body in rows if (item := item_in(body, self._forms)).tx_id == tx_id), None)

    def _add_form(self, body: bytes) -> int:
        """Keep a form; return its number."""
        self.write("INSERT INTO forms (body) VALUES (?)", body)
        return int(self._db.execute("SELECT number FROM forms WHERE body = ?", (body,)).fetchone()[0])

    def _give_back(self) -> None:
        spare, pages = (self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count"))
        if spare > max(SPARE_PAGES, SPARE_SHARE * pages):
            # As a single statement it would give back one page: each is a step without a row.
            self._db.executescript(f"PRAGMA incremental_vacuum({GIVEN_BACK})")

    def _count(self, table: str) -> int:
        counts = {"items": "SELECT count(*) FROM items", "early": "SELECT count(*) FROM early"}
        return int(self._db.execute(counts[table]).fetchone()[0])


def early_in(body: bytes) -> tuple[Label, ...]:
    """Return kept early labels; the release before kept one a transaction."""
    found = _labels.decode(body)
    return (found,) if isinstance(found, Label) else found


def key_of(tx_id: str) -> int:
    """Return the number under which an item is found: a hash of its id, in 64 bits."""
    return int.from_bytes(hashlib.blake2b(tx_id.encode(), digest_size=8).digest(), signed=True)


def upgrade(db: sqlite3.Connection) -> None:
    """Bring a file of the first layout to the second, in place: a thousand items at a time, so it may be cut off."""
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "first_items" not in tables and not is_first(db, tables):
        return
    if "first_items" not in tables:
        db.executescript("BEGIN; ALTER TABLE items RENAME TO first_items; DROP INDEX items_due; " + SCHEMA + "COMMIT;")
    forms = Forms({}, int)  # none is needed: what the first layout kept knows of none
    while rows := db.execute("SELECT rowid, body FROM first_items LIMIT ?", (MOVED,)).fetchall():
        moved = [(row, first_item(body)) for row, body in rows]
        db.execute("BEGIN IMMEDIATE")
        with db:  # all of them or none
            for row, item in moved:
                db.execute(
                    "INSERT INTO items VALUES (?, ?, ?)", (key_of(item.tx_id), item.deadline, packed_item(item, forms))
                )
                db.execute("DELETE FROM first_items WHERE rowid = ?", (row,))
    # Only a file that is written anew can shrink later.
    db.execute("VACUUM")
    db.executescript("BEGIN; DROP TABLE first_items; UPDATE numbers SET value = 2 WHERE name = 'layout'; COMMIT;")


def is_first(db: sqlite3.Connection, tables: Container[str]) -> bool:
    """Tell whether a file is of the first layout."""
    if "numbers" not in tables:
        return False
    return db.execute("SELECT 1 FROM numbers WHERE name = 'layout' AND value = 1").fetchone() is not None
