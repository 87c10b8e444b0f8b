"""Many rows in one statement: what the projector writes 5,000 a second with.

SQLite is given the rows one by one within its own process; PostgreSQL is given one array a column, so that a batch is
one round trip and one plan, whatever its length.
"""

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import JSON

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
    else:
        connection.exec_driver_sql(_by_arrays(table, columns, conflict), tuple(map(list, zip(*rows, strict=True))))


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


def one_of(column: str, connection: Connection, values: Iterable[Any], kind: str) -> tuple[str, Any]:
    """Return the condition that a column is one of values, as SQL with one parameter, and that parameter.

    `kind` is the column's type in PostgreSQL; the SQL is for `exec_driver_sql`.
    """
    if connection.dialect.name == "postgresql":
        return f"{column} = ANY(%s::{kind}[])", list(values)
    return f"{column} IN (SELECT value FROM json_each(?))", json.dumps(list(values))  # noqa: S608, our own columns


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
    arrays = ", ".join(f"%s::{'text' if isinstance(table.c[name].type, JSON) else kind}[]"
                       for name, kind in zip(columns, kinds, strict=True))  # fmt: skip
    names = ", ".join(f"c{place}" for place in range(len(columns)))
    casts = ", ".join(f"c{place}::{kind}" for place, kind in enumerate(kinds))
    rows = f"SELECT {casts} FROM unnest({arrays}) AS given({names})"  # noqa: S608, names of our own tables alone
    return _insert(table, columns, rows, conflict)


def _kind(table: Table, column: str) -> str:
    """Return a column's type as a cast names it."""
    return str(table.c[column].type.compile(_POSTGRESQL)).partition(" COLLATE")[0]


def _insert(table: Table, columns: tuple[str, ...], rows: str, conflict: str) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    return f'INSERT INTO "{table.name}" ({names}) {rows}' + (f" ON CONFLICT {conflict}" if conflict else "")
