"""Many rows in one statement: what the projector writes 5,000 a second with.

SQLite is given the rows one by one within its own process. PostgreSQL copies rows that can conflict with none; others
it is given as one array a column, so that a batch is one round trip and one plan, whatever its length. Arrays of texts
cost most there: each element is searched for what must be escaped.
"""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Connection, Table, any_, func, literal, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import JSON, LargeBinary

Row = tuple[Any, ...]
_POSTGRESQL = postgresql.dialect()  # type: ignore[no-untyped-call]


def put(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Row], conflict: str = ""
) -> None:
    """Insert rows; `conflict` is what stands behind ON CONFLICT, nothing where a conflict is an error.

    With `DO UPDATE` no two rows may be of one key.
    """
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_one_by_one(table, columns, conflict), list(rows))
    elif conflict:
        connection.exec_driver_sql(_by_arrays(table, columns, conflict), tuple(map(list, zip(*rows, strict=True))))
    else:
        _copy(connection, table, columns, rows)


def put_new(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Row], back: str, conflict: str = ""
) -> list[Row]:
    """Insert rows; return the columns `back` of each as the database has them, in no order that may be relied on."""
    if not rows:
        return []
    ending = f" RETURNING {back}"
    if connection.dialect.name == "postgresql":
        statement = _by_arrays(table, columns, conflict) + ending
        return [tuple(row) for row in connection.exec_driver_sql(statement, tuple(map(list, zip(*rows, strict=True))))]
    statement = _one_by_one(table, columns, conflict) + ending
    return [tuple(connection.exec_driver_sql(statement, row).one()) for row in rows]


def put_numbered(connection: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> list[int]:
    """Insert rows of a table that numbers them (`id`); return the numbers in the order of the rows."""
    if not rows:
        return []
    if connection.dialect.name == "sqlite":
        return [int(number) for row in rows for (number,) in put_new(connection, table, columns, [row], "id")]
    taken = f"SELECT nextval(pg_get_serial_sequence('{table.name}', 'id')) FROM generate_series(1, %s)"  # noqa: S608
    numbers = list(connection.exec_driver_sql(taken, (len(rows),)).scalars())
    _copy(connection, table, ("id", *columns), [(number, *row) for number, row in zip(numbers, rows, strict=True)])
    return numbers


def one_of(column: str, connection: Connection, values: Iterable[Any], kind: str) -> tuple[str, Any]:
    """Return the condition that a column is one of values, as SQL with one parameter, and that parameter.

    `kind` is the column's type in PostgreSQL; the SQL is for `exec_driver_sql`.
    """
    if connection.dialect.name == "postgresql":
        return f"{column} = ANY(%s::{kind}[])", list(values)
    return f"{column} IN (SELECT value FROM json_each(?))", json.dumps(list(values))  # noqa: S608, our own columns


def among(connection: Connection, column: ColumnElement[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """Return the condition that a column is one of values, in the same words however many they are.

    So both databases have the statement ready: a list of parameters is another statement for each length.
    """
    given = list(values)
    if connection.dialect.name == "postgresql":
        return column == any_(literal(given, ARRAY(column.type)))
    return column.in_(select(func.json_each(json.dumps(given)).table_valued("value").c.value))


def greatest(connection: Connection) -> str:
    """Return the name of the function that returns the largest of its arguments."""
    return "max" if connection.dialect.name == "sqlite" else "greatest"


def least(connection: Connection) -> str:
    """Return the name of the function that returns the smallest of its arguments."""
    return "min" if connection.dialect.name == "sqlite" else "least"


def change(
    connection: Connection, table: Table, keys: tuple[str, ...], columns: tuple[str, ...], rows: Sequence[Row]
) -> None:
    """Set `columns` of the rows that have `keys`; a row given holds first the keys, then the new values."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        turned = [(*row[len(keys) :], *row[: len(keys)]) for row in rows]
        connection.exec_driver_sql(_change_one(table, keys, columns), turned)
    else:
        arrays = tuple(map(list, zip(*rows, strict=True)))
        connection.exec_driver_sql(_change_by_arrays(table, keys, columns), arrays)


def _copy(connection: Connection, table: Table, columns: tuple[str, ...], rows: Iterable[Row]) -> None:
    """Copy rows into a table of PostgreSQL, in the connection's transaction; raise what SQLAlchemy raises elsewhere."""
    names = ", ".join(f'"{name}"' for name in columns)
    statement = f'COPY "{table.name}" ({names}) FROM STDIN'
    cursor: Any = connection.connection.cursor()
    dialect, errors = connection.dialect, connection.dialect.loaded_dbapi.Error
    try:
        with cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except errors as fault:
        if gone := dialect.is_disconnect(fault, connection.connection, cursor):
            connection.invalidate(fault)
        raise DBAPIError.instance(
            statement, None, fault, errors, connection_invalidated=gone, dialect=dialect
        ) from fault


@lru_cache(maxsize=64)
def _change_one(table: Table, keys: tuple[str, ...], columns: tuple[str, ...]) -> str:
    sets, where = ", ".join(f'"{name}" = ?' for name in columns), " AND ".join(f'"{name}" = ?' for name in keys)
    return f'UPDATE "{table.name}" SET {sets} WHERE {where}'  # noqa: S608, names of our own tables alone


@lru_cache(maxsize=64)
def _change_by_arrays(table: Table, keys: tuple[str, ...], columns: tuple[str, ...]) -> str:
    names = (*keys, *columns)
    kinds = [_kind(table, name) for name in names]
    given = ", ".join(f"%s::{kind}[]" for kind in kinds)
    sets = ", ".join(f'"{name}" = given."{name}"' for name in columns)
    where = " AND ".join(f'here."{name}" = given."{name}"' for name in keys)
    quoted = ", ".join(f'"{name}"' for name in names)
    return f'UPDATE "{table.name}" AS here SET {sets} FROM unnest({given}) AS given({quoted}) WHERE {where}'  # noqa: S608


@lru_cache(maxsize=64)
def _one_by_one(table: Table, columns: tuple[str, ...], conflict: str) -> str:
    return _insert(table, columns, f"VALUES ({', '.join('?' * len(columns))})", conflict)


@lru_cache(maxsize=64)
def _by_arrays(table: Table, columns: tuple[str, ...], conflict: str) -> str:
    kinds = [_kind(table, name) for name in columns]
    arrays = ", ".join(_array(table, name) for name in columns)
    names = ", ".join(f"c{place}" for place in range(len(columns)))
    casts = ", ".join(f"c{place}::{kind}" for place, kind in enumerate(kinds))
    rows = f"SELECT {casts} FROM unnest({arrays}) AS given({names})"  # noqa: S608, names of our own tables alone
    return _insert(table, columns, rows, conflict)


def _array(table: Table, column: str) -> str:
    """Return the parameter of a column's values; bytes go as they are, everything else as text."""
    if isinstance(table.c[column].type, LargeBinary):
        return "%b::bytea[]"
    return f"%s::{'text' if isinstance(table.c[column].type, JSON) else _kind(table, column)}[]"


def _kind(table: Table, column: str) -> str:
    """Return a column's type as a cast names it."""
    return str(table.c[column].type.compile(_POSTGRESQL)).partition(" COLLATE")[0]


def _insert(table: Table, columns: tuple[str, ...], rows: str, conflict: str) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    return f'INSERT INTO "{table.name}" ({names}) {rows}' + (f" ON CONFLICT {conflict}" if conflict else "")
