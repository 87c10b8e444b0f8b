"""Payments by day in PostgreSQL: a part is made when its first payment comes and dropped whole when it is too old.

SQLite has one table; there old payments are deleted, some at a time.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from fraud.core.records import DAY

PREFIX = "payment_d"
PATIENCE = "SET LOCAL lock_timeout = '2s'"
"""A part can be dropped only when nobody reads payments; rather than let everybody wait, it is tried again later."""
PIECE = 20_000


def make(connection: Connection, days: Iterable[int], made: set[int]) -> None:
    """Make the parts of days (since the epoch) that are not in `made`, and add them there; nothing in SQLite."""
    wanted = sorted(set(days) - made)
    if connection.dialect.name == "postgresql":
        there = _parts(connection) if wanted else set()
        for day in wanted:
            if day not in there:
                _make(connection, day)
    made.update(wanted)


def drop_before(connection: Connection, at: int) -> int:
    """Let payments of days that ended by `at` (UTC ns) go; return how many days (SQLite: payments) have gone.

    In SQLite some go at a time: call again while any do.
    """
    if connection.dialect.name == "sqlite":
        gone = "DELETE FROM payment WHERE id IN (SELECT id FROM payment WHERE happened_at < ? LIMIT ?)"
        return connection.exec_driver_sql(gone, (at // DAY * DAY, PIECE)).rowcount
    old = sorted(day for day in _parts(connection) if (day + 1) * DAY <= at)
    if old:
        connection.exec_driver_sql(PATIENCE)
    for day in old:
        connection.exec_driver_sql(f"DROP TABLE {PREFIX}{day}")
    return len(old)


def _parts(connection: Connection) -> set[int]:
    names = connection.exec_driver_sql(
        "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
        "WHERE inhparent = 'payment'::regclass"
    ).scalars()
    return {int(name.removeprefix(PREFIX)) for name in names if name.startswith(PREFIX)}


def _make(connection: Connection, day: int) -> None:
    """Make the part of a day: first beside the table, for readers would wait for one that is made within it."""
    name = f"{PREFIX}{day}"
    connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE payment INCLUDING DEFAULTS)")
    span = f"FROM ({day * DAY}) TO ({(day + 1) * DAY})"
    connection.exec_driver_sql(f"ALTER TABLE payment ATTACH PARTITION {name} FOR VALUES {span}")
