"""What is let go after a while: old payments, their labels and entities, minutes of stages, news of rows."""

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from fraud.core.records import DAY, MINUTE
from fraud.review import partitions
from fraud.review.changes import KEPT
from fraud.review.database import Database
from fraud.review.intake.marks import stream_time
from fraud.review.intake.terms import Terms
from fraud.review.partitions import PIECE

KEEP_PARAMETERS = 3
"""Snapshots of a model whose parameters are kept, beside that which payments get."""
KEEP_STAGES, KEEP_STEPS, KEEP_SENT, KEEP_LEARNED = DAY, DAY, 30 * DAY, 90 * DAY


def tidy(database: Database, terms: Terms, now: int) -> bool:
    """Let some of it go; tell whether more is left. Each kind has its own transaction, so that nobody waits for long.

    Payments, what belongs to them and what was learned of them go by the time of the stream, what people and machines
    did by `now`, UTC ns.
    """
    with database.read() as connection:
        stream = stream_time(connection)
    old = stream - terms.keep_payments
    more = _payments(database, old)
    _parameters(database)
    for statement, before in _statements(old, stream - KEEP_LEARNED, now):
        with database.write() as connection:
            more |= _delete(connection, statement, before) >= PIECE
    return more


def _payments(database: Database, old: int) -> bool:
    """Let old payments go; where somebody reads them all the while, PostgreSQL's parts go the next time."""
    try:
        with database.write() as connection:
            return partitions.drop_before(connection, old) >= PIECE
    except OperationalError:
        return False


def _parameters(database: Database) -> None:
    """Let parameters go that payments get no more, but for the newest ones: they may be about to be put in force."""
    with database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE refresh SET body = NULL WHERE body IS NOT NULL AND version NOT IN ("  # noqa: S608, a number of ours
            "SELECT live.version FROM live_refresh AS live WHERE NOT EXISTS (SELECT 1 FROM live_refresh AS later "
            "WHERE later.base = live.base AND (later.at, later.id) > (live.at, live.id))) AND "
            "(SELECT count(*) FROM refresh AS newer WHERE newer.base = refresh.base AND newer.at > refresh.at) >= "
            f"{KEEP_PARAMETERS}"
        )


def _statements(old: int, learned: int, now: int) -> list[tuple[str, int]]:
    """Return what is deleted, as conditions on a table, each with the time that it begins at."""
    return [
        ("change WHERE at < {before}", now - KEPT),
        ("counter WHERE name >= 'stage/' AND name < 'stage0' AND bucket < {before}", (now - KEEP_STAGES) // MINUTE),
        ("step WHERE until < {before}", now - KEEP_STEPS),
        ("outbox WHERE sent_at < {before}", now - KEEP_SENT),
        ("refresh WHERE at < {before}", learned),
        ("learner_event WHERE at < {before}", learned),
        ("entity WHERE last_at < {before} AND alerts = 0 AND frauds = 0", old),
        (
            "label_trace WHERE happened_at < {before} "
            "AND NOT EXISTS (SELECT 1 FROM alert WHERE alert.tx_id = label_trace.tx_id)",
            old,
        ),
    ]


def _delete(connection: Connection, what: str, before: int) -> int:
    """Delete rows of a table, `PIECE` at most; return how many."""
    table, _, condition = what.partition(" WHERE ")
    row = "ctid" if connection.dialect.name == "postgresql" else "rowid"
    chosen = f"SELECT {row} FROM {table} WHERE {condition.format(before=int(before))} LIMIT {PIECE}"  # noqa: S608
    return connection.exec_driver_sql(f"DELETE FROM {table} WHERE {row} IN ({chosen})").rowcount  # noqa: S608
