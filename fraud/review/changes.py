"""What screens that show alerts are to hear: written in the transaction that changes an alert's row, kept an hour."""

from collections.abc import Iterable

from sqlalchemy import Connection, Select, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from fraud.core.records import HOUR
from fraud.review.tables import change, counter
from fraud.review.words import Changed

COUNTER, KEPT = "changes", HOUR


def newest(connection: Connection) -> int:
    """Return the number of the newest change, 0 before the first."""
    return int(connection.execute(newest_change()).scalar() or 0)


def newest_change() -> Select[int]:
    """Return the question for that number: no row before the first change."""
    return select(counter.c.value).where(counter.c.name == COUNTER)


def noted(connection: Connection, ids: Iterable[int], what: Changed, now: int) -> None:
    """Note that alerts have changed at `now`, UTC ns. The last thing that a transaction does.

    Whoever draws numbers keeps others from drawing some until the end of its transaction.
    """
    alerts = list(ids)
    if not alerts:
        return
    last = drawn(connection, len(alerts))
    rows = [
        {"seq": last - len(alerts) + place, "alert_id": alert_id, "what": int(what), "at": now}
        for place, alert_id in enumerate(alerts, 1)
    ]
    connection.execute(insert(change), rows)


def drawn(connection: Connection, count: int) -> int:
    """Return the last of so many numbers that nobody else has."""
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    begin = make(counter).values(name=COUNTER, bucket=0, part=0, value=0).on_conflict_do_nothing()
    row = (counter.c.name == COUNTER) & (counter.c.bucket == 0) & (counter.c.part == 0)
    added = update(counter).where(row).values(value=counter.c.value + count).returning(counter.c.value)
    last = connection.execute(added).scalar()
    if last is None:
        connection.execute(begin)
        last = connection.execute(added).scalar_one()
    return int(last)
