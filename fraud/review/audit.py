"""The audit log: who did what to what, in a chain of HMACs whose key is not in the database.

A row's MAC covers all of it and the MAC of the row before (HMAC-SHA256). Who can write to the database, but has no key,
can change nothing, add nothing and take nothing out of the middle unseen. The end could be cut off: therefore a head
(number and MAC of the newest row) is published each day on topic `actions`, and `verify` is told of those.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sqlalchemy import Connection, Row, insert, select, text

from fraud.core.errors import SettingsError
from fraud.review.tables import audit

KEY_BYTES = 32
BEGIN = bytes(32)
"""What the first row is chained to."""
LOCK = 0x617564
"""The lock that whoever appends takes in PostgreSQL, to the end of the transaction; SQLite has one writer anyway."""
AT_ONCE = 1_000


class Head(NamedTuple):
    """The newest row at some time: its number, and its MAC as hexadecimal digits."""

    seq: int
    mac: str


class Fault(NamedTuple):
    """Something that is wrong with the log: at which row, and what."""

    seq: int
    what: str


class Verified(NamedTuple):
    """What a check found: how many rows, the newest one, and what is wrong."""

    rows: int
    head: Head
    faults: tuple[Fault, ...]


class Entry(NamedTuple):
    """A row without its place in the chain."""

    at: int
    actor: str
    action: str
    object: str
    before: str | None
    after: str | None


class Audit:
    """The log of one database."""

    def __init__(self, key: bytes) -> None:
        """Take the key; raise SettingsError unless it is 32 bytes long."""
        if len(key) != KEY_BYTES:
            msg = f"the audit key has {len(key)} bytes, expected {KEY_BYTES}: make one with 'openssl rand -hex 32'"
            raise SettingsError(msg)
        self._key = key

    def append(
        self,
        connection: Connection,
        now: int,
        actor: str,
        action: str,
        object_: str,
        before: str | None = None,
        after: str | None = None,
    ) -> Head:
        """Add a row in the transaction of what it tells of, as late in it as can be; return the new head."""
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        entry = Entry(now, actor, action, object_, before, after)
        newest = connection.execute(select(audit.c.seq, audit.c.mac).order_by(audit.c.seq.desc()).limit(1)).first()
        seq, prev = (newest.seq + 1, bytes(newest.mac)) if newest is not None else (1, BEGIN)
        mac = self.mac(seq, entry, prev)
        connection.execute(insert(audit).values(seq=seq, prev=prev, mac=mac, **entry._asdict()))
        return Head(seq, mac.hex())

    def head(self, connection: Connection) -> Head:
        """Return the newest row, number 0 when there is none."""
        newest = connection.execute(select(audit.c.seq, audit.c.mac).order_by(audit.c.seq.desc()).limit(1)).first()
        return Head(newest.seq, bytes(newest.mac).hex()) if newest is not None else Head(0, BEGIN.hex())

    def verify(self, connection: Connection, heads: Iterable[Head] = ()) -> Verified:
        """Check every row and every published head; faults are in order of rows, one for each row."""
        published = {head.seq: head.mac for head in heads}
        faults: list[Fault] = []
        seq, prev, rows = 0, BEGIN, 0
        for row in _all(connection):
            rows += 1
            if row.seq != seq + 1:
                faults.append(Fault(row.seq, f"rows {seq + 1} to {row.seq - 1} are gone"))
            elif (what := self._fault(row, prev, published.get(row.seq))) is not None:
                faults.append(Fault(row.seq, what))
            seq, prev = row.seq, bytes(row.mac)
        last = max(published, default=0)
        if last > seq:
            faults.append(Fault(seq, f"cut: row {last} was published as the newest one, and {seq} is"))
        return Verified(rows, Head(seq, prev.hex()), tuple(faults))

    def mac(self, seq: int, entry: Entry, prev: bytes) -> bytes:
        """Return the MAC of a row: of each field with its length, so that no two rows read the same."""
        found = hmac.new(self._key, prev, hashlib.sha256)
        for value in (seq, *entry):
            content = b"" if value is None else str(value).encode()
            found.update(f"{-1 if value is None else len(content)}:".encode() + content)
        return found.digest()

    def _fault(self, row: Row[tuple[object, ...]], prev: bytes, published: str | None) -> str | None:
        entry = Entry(row.at, row.actor, row.action, row.object, row.before, row.after)
        if bytes(row.prev) != prev:
            return "it is not chained to the row before: that one, or this one, was exchanged"
        if not hmac.compare_digest(bytes(row.mac), self.mac(row.seq, entry, prev)):
            return "it was changed, or written without the key"
        if published is not None and published != bytes(row.mac).hex():
            return "its MAC is not the one that was published: the log was written anew from an earlier row on"
        return None


def key_of(value: str) -> bytes:
    """Return the key that a text holds as 64 hexadecimal digits; raise SettingsError for anything else."""
    try:
        return bytes.fromhex(value.strip())
    except ValueError as error:
        msg = "the audit key is no hexadecimal number: expected 64 digits, as 'openssl rand -hex 32' makes them"
        raise SettingsError(msg) from error


def _all(connection: Connection) -> Iterator[Row[tuple[object, ...]]]:
    """Yield all rows in order, so many at a time."""
    after = 0
    while rows := connection.execute(
        select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(AT_ONCE)
    ).all():
        yield from rows
        after = rows[-1].seq
