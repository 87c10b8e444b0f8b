"""Migrations forward and back on both databases, with rows in every table; and that they make what `tables.py` says."""

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, SmallInteger, Table, func, insert, select
from sqlalchemy.types import JSON, Float

from fraud.core.records import DAY
from fraud.review import migrating, partitions
from fraud.review.database import Database, DatabaseError
from fraud.review.tables import metadata
from tests.databases import POSTGRESQL

ROWS = 100


def value_of(kind: Any, number: int) -> Any:
    """Return a value of a column's type, another one for each number."""
    if isinstance(kind, JSON):
        return {"number": number}
    if isinstance(kind, Boolean):
        return number % 2 == 1
    if isinstance(kind, LargeBinary):
        return number.to_bytes(4, "big")
    if isinstance(kind, Float):
        return number / 8
    if isinstance(kind, SmallInteger):
        return number % 100
    return number if isinstance(kind, BigInteger | Integer) else f"text {number}"


def rows_for(table: Table, numbers: range) -> list[dict[str, Any]]:
    """Return rows of a table, every column filled."""
    rows = [{column.name: value_of(column.type, number) for column in table.columns} for number in numbers]
    for row in rows:
        row |= {key: 1 for key in ("account_id", "owner") if key in row and table.name in ("session", "saved_view")}
    return rows


def fill(database: Database, tables: list[Table], numbers: range = range(1, ROWS + 1)) -> None:
    with database.write() as connection:
        for table in tables:
            rows = rows_for(table, numbers)
            if table.name == "payment":
                partitions.make(connection, {row["happened_at"] // DAY for row in rows}, set())
            connection.execute(insert(table), rows)


def counted(database: Database, tables: list[Table]) -> dict[str, int]:
    with database.read() as connection:
        counts = {table.name: select(func.count()).select_from(table) for table in tables}
        return {name: connection.execute(count).scalar_one() for name, count in counts.items()}


def names_in(database: Database) -> set[str]:
    asked = "SELECT name FROM sqlite_master" if database.dialect == "sqlite" else (
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    )  # fmt: skip
    with database.read() as connection:
        return set(connection.exec_driver_sql(asked).scalars())


def test_migrations_make_the_tables_that_the_program_uses(database: Database) -> None:
    def is_ours(_: Any, name: str | None, kind: str, *__: Any) -> bool:
        # Full text of notes and the parts of payments are the database's own.
        return not (name or "").startswith(("note_words", "payment_id", partitions.PREFIX)) and (kind, name) != (
            "column",
            "words",
        )

    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": is_ours})
        assert compare_metadata(context, metadata) == []


def test_migrations_go_forward_and_back_with_rows_in_every_table(empty_address: str) -> None:
    database = Database(empty_address)
    tables = metadata.sorted_tables
    first = [table for table in tables if table.name not in {"account", "verdict", "outbox", "note"}]
    database.migrate()
    fill(database, tables)
    assert set(counted(database, tables).values()) == {ROWS}
    migrating.downgrade(database, "0001")
    kept = [table for table in first if table.name in names_in(database)]
    assert set(counted(database, kept).values()) == {ROWS}
    assert "account" not in names_in(database)
    database.migrate()
    gone = [table for table in tables if table not in kept]
    fill(database, gone)
    assert set(counted(database, tables).values()) == {ROWS}
    migrating.downgrade(database, migrating.BASE)
    assert names_in(database) <= {
        "alembic_version",
        "alembic_version_pkc",
        "sqlite_sequence",
        "sqlite_autoindex_alembic_version_1",
    }
    database.migrate()
    assert database.head_ok()
    database.close()


def test_migrating_twice_changes_nothing(database: Database) -> None:
    fill(database, metadata.sorted_tables)
    database.migrate()
    assert set(counted(database, list(metadata.sorted_tables)).values()) == {ROWS}


def test_database_of_another_release_is_refused_with_the_repair(empty_address: str) -> None:
    database = Database(empty_address)
    with pytest.raises(DatabaseError, match="fraud console migrate"):
        database.need_head()
    database.migrate()
    database.need_head()
    database.close()


def test_failed_migration_leaves_the_database_as_it_was(empty_address: str) -> None:
    database = Database(empty_address)
    migrating.upgrade(database, "0001")
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE verdict (number INTEGER)")
    before = names_in(database)
    with pytest.raises(Exception, match="verdict"):
        database.migrate()
    assert names_in(database) == before
    database.close()


def test_payments_of_postgresql_lie_by_day(database: Database) -> None:
    with database.write() as connection:
        made: set[int] = set()
        partitions.make(connection, [3, 4], made)
        partitions.make(connection, [3, 4], set())
    assert made == {3, 4}
    assert ({"payment_d3", "payment_d4"} <= names_in(database)) == (database.dialect == POSTGRESQL)
