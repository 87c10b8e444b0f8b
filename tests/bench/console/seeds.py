"""A console's database that has been worked with for a year: filled by the database itself, so in minutes.

Of the alerts 21.6 % are open, one in ten cards has more than one of them. What an alert rests on is taken in turns from
1,000 real decisions with vectors and graphs: a million of their own would be 10 GB and show nothing else.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from sqlalchemy import Connection

from features.spec import spec
from fraud.core.records import DAY, HOUR, MINUTE, SECOND
from fraud.review import counters, partitions
from fraud.review.bulk import Row, put
from fraud.review.database import Database
from fraud.review.ids import entity_id
from fraud.review.intake.marks import HEARD, STREAM
from fraud.review.intake.peers import COLUMNS, PEERS
from fraud.review.neighbourhood import Centre, around
from fraud.review.tables import entity, evidence, mark, peer
from fraud.review.words import AlertKind, AlertStatus, CaseState, EntityKind
from streaming.messages import schema
from streaming.messages.envelope import packed_vector
from tests.review.taken import held

CARDS, MERCHANTS, DEVICES = 200_000, 2_000, 50_000
RESTS, PAYMENTS = 1_000, 1_000_000
OPEN_SHARE = 0.216
NOW = 1_790_000_000 * SECOND
"""The wall clock of the seeds; payments are of the 30 days before."""
SPAN = 30 * DAY
PEOPLE = 20
MCC = 5_732
"""The kind of merchant of all alerts."""
STEP = 200_000
"""Rows that one statement makes."""


def seed(database: Database, alerts: int) -> None:
    """Fill a database that has its tables."""
    cards = _entities(database, EntityKind.CARD, "4000%08d", CARDS)
    merchants = _entities(database, EntityKind.MERCHANT, "M%06d", MERCHANTS)
    devices = _entities(database, EntityKind.DEVICE, "D%06d", DEVICES)
    with database.write() as connection:
        for name, numbers in (("c", cards), ("m", merchants), ("d", devices)):
            _numbered(connection, f"seed_{name}", numbers)
    _payments(database, PAYMENTS)
    _rests(database, cards[:RESTS])
    _peers(database)
    _alerts(database, alerts)
    _people(database, alerts)
    with database.write() as connection:
        _count_on(connection)
        _sums(connection)
        for name in ("c", "m", "d"):
            connection.exec_driver_sql(f"DROP TABLE seed_{name}")
    analyse(database)


def analyse(database: Database) -> None:
    """Let the database count what it has, as it does by itself in time."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def _entities(database: Database, kind: EntityKind, form: str, count: int) -> list[int]:
    names = [form % number for number in range(count)]
    numbers = [entity_id(kind, name) for name in names]
    columns = ("id", "kind", "name", "first_at", "last_at", "payments", "declined", "alerts", "frauds")
    rows: list[Row] = [
        (number, int(kind), name, NOW - SPAN, NOW, 5, 0, 5, 0) for number, name in zip(numbers, names, strict=True)
    ]
    with database.write() as connection:
        put(connection, entity, columns, rows)
    return numbers


def _numbered(connection: Connection, table: str, numbers: Sequence[int]) -> None:
    """Keep numbers of entities by their place, for the statements that follow."""
    connection.exec_driver_sql(f"CREATE TABLE {table} (place INTEGER PRIMARY KEY, number BIGINT)")
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"INSERT INTO {table} VALUES (?, ?)", list(enumerate(numbers)))
    else:
        made = f"INSERT INTO {table} SELECT * FROM unnest(%s::int[], %s::bigint[])"
        connection.exec_driver_sql(made, (list(range(len(numbers))), list(numbers)))


def _steps(database: Database, count: int, statement: str) -> None:
    """Run a statement over numbers `n.i` from 0, some at a time."""
    for begin in range(0, count, STEP):
        last = min(begin + STEP, count) - 1
        numbers = f"WITH RECURSIVE n(i) AS (SELECT {begin} UNION ALL SELECT i + 1 FROM n WHERE i < {last}) "
        insert, _, rest = statement.partition(" SELECT ")
        with database.write() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql(f"{insert} {numbers} SELECT {rest}")
            else:
                # A driver that is given no parameters still reads a percent sign as one.
                made = f"{insert} SELECT {rest}".replace("%", "%%")
                connection.exec_driver_sql(made.replace("FROM n ", _series(begin, last)))


def _series(begin: int, last: int) -> str:
    return f"FROM generate_series({begin}::bigint, {last}::bigint) AS n(i) "


def _payments(database: Database, count: int) -> None:
    """Make payments: of each card some, at merchants of which a few have many; one in 500 a known fraud."""
    first = NOW - SPAN
    with database.write() as connection:
        partitions.make(connection, range(first // DAY, NOW // DAY + 1), set())
    _steps(
        database,
        count,
        "INSERT INTO payment (tx_id, version, card, merchant, device, happened_at, amount, score, bin, action, "
        "verdict, verdict_source) SELECT 'p' || n.i, 0, c.number, m.number, d.number, "
        f"{first} + n.i * {SPAN // count}, 500 + (n.i * 7919) % 50000, ((n.i * 31) % 1000) / 1000.0, 5, "
        "CASE WHEN n.i % 100 = 0 THEN 2 ELSE 0 END, CASE WHEN n.i % 500 = 0 THEN 1 END, "
        "CASE WHEN n.i % 500 = 0 THEN 0 END FROM n "
        f"JOIN seed_c c ON c.place = (n.i * 48271) % {CARDS} "
        f"JOIN seed_m m ON m.place = ((n.i * 16807) % {MERCHANTS}) * ((n.i * 16807) % {MERCHANTS}) / {MERCHANTS} "
        f"JOIN seed_d d ON d.place = (n.i * 48271) % {DEVICES}",
    )


def _rests(database: Database, cards: Sequence[int]) -> None:
    """Make what alerts rest on: decisions as they are published, whole vectors, graphs of these cards."""
    values = np.linspace(0, 30, len(spec().names), dtype=np.float32)
    vector = packed_vector(values, spec().version)
    rows: list[Row] = []
    with database.write() as connection:
        for place, card in enumerate(cards):
            decision = held(place, card=f"4000{place:08}", merchant="M000001", happened_at=NOW - HOUR)
            graph = msgspec.json.encode(around(connection, Centre(card, NOW))).decode()
            rows.append((place + 1, schema.of_decision(decision), vector, b"", graph))
        put(connection, evidence, ("id", "decision", "vector", "effects", "graph"), rows)


def _peers(database: Database) -> None:
    """Make the payments that alerts are compared with: one in twenty of the alerts' own kind of merchant."""
    vector = packed_vector(np.zeros(len(spec().names), np.float32), spec().version)
    rows: list[Row] = [
        (slot, "pos" if slot % 3 == 0 else "ecom", MCC if slot % 20 == 0 else 5_400 + slot % 300,
         500 + slot * 7_919 % 50_000, NOW - DAY, vector)
        for slot in range(PEERS)
    ]  # fmt: skip
    with database.write() as connection:
        put(connection, peer, COLUMNS, rows)


def _alerts(database: Database, count: int) -> None:
    """Make alerts, the open ones last; cases and reasons with them."""
    closed = count - round(count * OPEN_SHARE)
    status = f"CASE WHEN n.i < {closed} THEN {int(AlertStatus.DECIDED)} ELSE {int(AlertStatus.OPEN)} END"
    # A decided alert has a case of its own; open ones of a card share one.
    case_id = f"CASE WHEN n.i < {closed} THEN n.i + 1 ELSE {closed} + 1 + (n.i * 48271) % {CARDS} END"
    _steps(
        database,
        closed,
        'INSERT INTO "case" (id, card_id, state, opened_at, decided_at, due_at, at_stake, alerts) '
        f"SELECT n.i + 1, c.number, {int(CaseState.DECIDED)}, {NOW - SPAN}, {NOW - DAY}, {NOW}, 0, 1 FROM n "
        f"JOIN seed_c c ON c.place = (n.i * 48271) % {CARDS}",
    )
    _steps(
        database,
        CARDS,
        'INSERT INTO "case" (id, card_id, state, opened_at, due_at, at_stake, alerts) '
        f"SELECT {closed} + 1 + n.i, c.number, {int(CaseState.OPEN)}, {NOW - HOUR}, {NOW + HOUR}, 1000, 1 FROM n "
        "JOIN seed_c c ON c.place = n.i",
    )
    arrived = f"{NOW - 365 * DAY} + n.i * {365 * DAY // count}"
    _steps(
        database,
        count,
        "INSERT INTO alert (id, uid, tx_id, case_id, kind, status, card, merchant, device, action, score, model_score, "
        "amount, currency, base_amount, channel, mcc, text, expected_loss, at_stake, arrived_at, due_at, happened_at, "
        "decided_at, verdict, model, rules, policy, seen_before, evidence_id) "
        f"SELECT n.i + 1, 'a' || n.i, 'p' || n.i, {case_id}, n.i % 4, {status}, c.number, m.number, d.number, 2, "
        "((n.i * 31) % 1000) / 1000.0, ((n.i * 31) % 1000) / 1000.0, 500 + (n.i * 7919) % 50000, 'EUR', "
        f"500 + (n.i * 7919) % 50000, CASE WHEN n.i % 3 = 0 THEN 'pos' ELSE 'ecom' END, {MCC}, 'ACME', "
        f"(n.i * 7919) % 100003, (n.i * 104729) % 100003, {arrived}, {arrived} + {30 * MINUTE}, "
        f"{NOW - SPAN} + n.i % {PAYMENTS} * {SPAN // PAYMENTS}, "
        f"CASE WHEN n.i < {closed} THEN {arrived} + {MINUTE} END, CASE WHEN n.i < {closed} THEN n.i % 2 END, "
        f"'blend@1', 'rules', 'policy', n.i % 5, n.i % {RESTS} + 1 FROM n "
        f"JOIN seed_c c ON c.place = (n.i * 48271) % {CARDS} "
        f"JOIN seed_m m ON m.place = (n.i * 16807) % {MERCHANTS} "
        f"JOIN seed_d d ON d.place = (n.i * 48271) % {DEVICES}",
    )
    for place, code in enumerate(("amount", "card-pace")):
        _steps(
            database,
            count,
            "INSERT INTO reason (alert_id, place, code, text, effect) "
            f"SELECT n.i + 1, {place}, '{code}', 'Amount 447.30 is 8.4 times the usual 53.26', 1.5 FROM n ",
        )


def _people(database: Database, alerts: int) -> None:
    """Make people, and the verdict that each decided alert has."""
    closed = alerts - round(alerts * OPEN_SHARE)
    _steps(
        database,
        PEOPLE,
        "INSERT INTO account (id, name, email, password, role, created) "
        f"SELECT n.i + 1, 'Person ' || n.i, 'p' || n.i || '@example.org', '', 2, {NOW - SPAN} FROM n ",
    )
    _steps(
        database,
        closed,
        'INSERT INTO verdict (alert_id, case_id, "by", verdict, action, at, happened_at) '
        f"SELECT n.i + 1, n.i + 1, n.i % {PEOPLE} + 1, n.i % 2, 1, {NOW - 365 * DAY} + n.i * {365 * DAY // alerts}, "
        f"{NOW - DAY} FROM n ",
    )
    _steps(
        database,
        100_000,
        'INSERT INTO note (case_id, card_id, "by", at, text) '
        f"SELECT n.i + 1, c.number, 1, {NOW - DAY}, 'called the holder, ' || n.i FROM n JOIN seed_c c ON c.place = n.i",
    )


def _count_on(connection: Connection) -> None:
    """Let PostgreSQL number new rows behind those of the seeds, as SQLite does by itself."""
    if connection.dialect.name == "postgresql":
        for table in ("account", "alert", '"case"', "evidence", "note", "verdict"):
            found = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
            connection.exec_driver_sql(found)


def _sums(connection: Connection) -> None:
    """Bring badges and marks to what the tables hold."""
    asked = f"SELECT kind, count(*), sum(at_stake) FROM alert WHERE status = {int(AlertStatus.OPEN)} GROUP BY kind"
    sums: counters.Sums = {}
    for kind, count, stake in connection.exec_driver_sql(asked).all():
        sums[counters.waiting(AlertKind(kind)), counters.ALL] = int(count)
        sums[counters.at_stake(AlertKind(kind)), counters.ALL] = int(stake)
    counters.add_all(connection, sums, counters.PROJECTOR)
    put(connection, mark, ("topic", "partition", "next_offset"), [(*STREAM, NOW), (*HEARD, NOW)])
