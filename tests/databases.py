"""The console's databases for tests: SQLite in a file, and PostgreSQL, where one that has its tables is copied."""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fraud.review.database import Database
from tests.services import own_database, shared_postgres

SQLITE, POSTGRESQL = "sqlite", "postgresql"
_names = count()


@cache
def _template() -> str:
    """Make a database with all tables, to be copied; return its name."""
    url = own_database(shared_postgres())
    made = Database(url)
    made.migrate()
    made.close()
    return url.rpartition("/")[2]


def new_address(kind: str, folder: Path) -> str:
    """Return the address of a new, empty database."""
    if kind == SQLITE:
        return f"sqlite:///{folder / f'console{next(_names)}.db'}"
    return own_database(shared_postgres())


def new_database(kind: str, folder: Path) -> Database:
    """Return a new database that has its tables."""
    if kind == POSTGRESQL:
        return Database(own_database(shared_postgres(), _template()))
    made = Database(new_address(kind, folder))
    made.migrate()
    return made


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Each database that the console runs on, by its name."""
    return str(request.param)


@pytest.fixture
def database(database_kind: str, tmp_path: Path) -> Iterator[Database]:
    """An empty database that has its tables; the test runs on each kind."""
    made = new_database(database_kind, tmp_path)
    yield made
    made.close()


@pytest.fixture
def empty_address(database_kind: str, tmp_path: Path) -> str:
    """The address of a database without tables; the test runs on each kind."""
    return new_address(database_kind, tmp_path)


def rows_of(database: Database, statement: str) -> list[tuple[Any, ...]]:
    """Return the rows of a question."""
    with database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]


Reader = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def ask(database: Database) -> Reader:
    """Asks the test's database."""
    return lambda statement: rows_of(database, statement)
