"""The console's database: SQLite in a file, or PostgreSQL. Transactions are blocks; what fails leaves nothing behind.

Who writes takes the write lock of SQLite at once (`BEGIN IMMEDIATE`), so that nobody has to begin again because
somebody else wrote in between; readers never wait (write-ahead log). PostgreSQL runs READ COMMITTED: what must not
happen twice is kept by unique indexes and `FOR UPDATE`, not by repeating transactions. Since there each statement sees
its own moment anyway, who only reads begins and ends no transaction: that is two round trips less a page.
"""

import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError

from fraud.common.files import make_private
from fraud.core.errors import FraudError, SettingsError
from fraud.core.fields import plain, without_password
from fraud.review import migrating

BUSY_SECONDS = 15.0
"""How long a writer waits for another one of SQLite."""
NOTICED = {
    "connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}  # fmt: skip
"""A server of PostgreSQL that is gone without a word, with its machine or the network, is noticed in half a minute and
not when the kernel gives up after a quarter of an hour; an address may say otherwise."""
WRITES = "fraud_writes"
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-65536")
"""`synchronous=FULL`: what a person has confirmed is on disk, also after a power failure."""


class DatabaseError(FraudError):
    """The database does not answer, or has other tables than this program expects."""


class Database:
    """Connections to one database. Safe to share between threads; `close` releases them."""

    def __init__(self, url: str, *, connections: int = 8) -> None:
        """Take `sqlite:///FILE` or `postgresql://...`; nothing is connected yet.

        Raises:
            SettingsError: when the address names neither.
        """
        self.url = address(url)
        self.engine = _engine(self.url, connections)
        self._writing = self.engine.execution_options(**{WRITES: True})
        alone = {"isolation_level": "AUTOCOMMIT"} if self.dialect == "postgresql" else {}
        self._reading = self.engine.execution_options(**alone)

    @property
    def dialect(self) -> str:
        """Return `sqlite` or `postgresql`."""
        return self.url.get_backend_name()

    @property
    def file(self) -> Path | None:
        """Return the file of SQLite, None for PostgreSQL."""
        return Path(str(self.url.database)) if self.dialect == "sqlite" else None

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Run a block as one transaction: committed at its end, rolled back where it raises."""
        with self._writing.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Run a block that only reads; what it sees is one moment in SQLite, one a statement in PostgreSQL."""
        with self._reading.connect() as connection:
            yield connection

    def migrate(self) -> None:
        """Bring the database to the shape that this program expects; its file or first tables are made."""
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            make_private(self.file)
        migrating.upgrade(self)

    def head_ok(self) -> bool:
        """Tell whether the database has the shape that this program expects."""
        with self.read() as connection:
            return migrating.current(connection) == migrating.head()

    def need_head(self) -> None:
        """Raise DatabaseError unless the database answers and has the shape that this program expects."""
        try:
            right = self.head_ok()
        except DBAPIError as fault:
            msg = f"the database {self.name} does not answer ({fault.orig}): start it, or name another with --database"
            raise DatabaseError(msg) from fault
        if not right:
            msg = f"the database {self.name} is of another release: run 'fraud console migrate --database ...' once"
            raise DatabaseError(msg)

    @property
    def name(self) -> str:
        """Return the address without its password."""
        return self.url.render_as_string(hide_password=True)

    def answers(self) -> bool:
        """Tell whether the database can be asked."""
        try:
            with self.read() as connection:
                connection.exec_driver_sql("SELECT 1")
        except DBAPIError:
            return False
        return True

    def close(self) -> None:
        """Release all connections that are not in use."""
        self.engine.dispose()


def address(url: str) -> URL:
    """Return an address with the driver that this program uses; raise SettingsError for one that it cannot use."""
    try:
        made = make_url(plain(url))
    except ArgumentError as fault:
        msg = (
            f"{without_password(url)!r} is no address of a database: expected sqlite:///FILE or "
            "postgresql://USER@HOST:PORT/NAME"
        )
        raise SettingsError(msg) from fault
    if made.get_backend_name() == "postgresql":
        return made.set(drivername="postgresql+psycopg")
    if made.get_backend_name() == "sqlite" and made.database and made.database != ":memory:":
        return made.set(drivername="sqlite+pysqlite")
    msg = (
        f"the database {made.render_as_string(hide_password=True)} cannot be used: expected sqlite:///FILE or "
        "postgresql://USER@HOST:PORT/NAME"
    )
    raise SettingsError(msg)


def _engine(url: URL, connections: int) -> Engine:
    if url.get_backend_name() == "postgresql":
        noticed = {name: value for name, value in NOTICED.items() if name not in url.query}
        # The one that was used last comes first: it has this program's statements prepared.
        engine = create_engine(
            url, pool_size=connections, max_overflow=connections, pool_use_lifo=True, connect_args=noticed
        )
        event.listen(engine, "checkout", _need_alive)
        return engine
    engine = create_engine(url, pool_size=connections, max_overflow=connections, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _: object) -> None:
    """Make a new connection of SQLite ready; with no isolation level the driver begins nothing by itself."""
    connection.isolation_level = None
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _need_alive(connection: Any, _: object, __: object) -> None:
    """Raise DisconnectionError for a connection that the server has ended, so that another one is opened.

    Nobody has asked anything on it: where there is something to read, it is the end. So nothing needs to be sent.
    """
    waits = select.poll()
    waits.register(connection.fileno(), select.POLLIN)
    if waits.poll(0):
        msg = "PostgreSQL has ended the connection"
        raise DisconnectionError(msg)


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
