"""One projector and one publisher a database: others wait until it is gone, however it ended.

The lock spares the others their work. That nothing is taken in twice rests on the marks, not on it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import NamedTuple

from sqlalchemy import Connection, text

from fraud.common import locks
from fraud.review.database import Database

PROJECTOR, PUBLISHER = "projector", "publisher"
KEYS = {PROJECTOR: 0x66726175_70726F6A, PUBLISHER: 0x66726175_7075626C}
NOTICED = "tcp_keepalives_idle = 10", "tcp_keepalives_interval = 5", "tcp_keepalives_count = 3"
"""The server's side of the session that holds a lock: of a machine that lost power it would hear nothing for hours."""
AGAIN_SECONDS = 1.0
"""How often whoever waits looks whether the other one is gone."""


class Held(NamedTuple):
    """A lock that is held: in a session of PostgreSQL, or on a file, which the kernel keeps as long as we live."""

    session: Connection | None = None

    def check(self) -> None:
        """Raise the database's error where the session that holds the lock is gone, and the lock with it."""
        if self.session is not None:
            self.session.execute(text("SELECT 1"))


@contextmanager
def sole(database: Database, what: str, stop: Event, waits: Callable[[], object]) -> Iterator[Held | None]:
    """Wait until nobody else is what one wants to be for a database; None when `stop` was set before.

    `waits` is called each time that somebody else was found to be it.
    """
    file = database.file
    if file is None:
        lock = _of_server(database, what, stop, waits)
    else:
        lock = _of_file(file.with_name(f"{file.name}.{what}"), stop, waits)
    with lock as held:
        yield held


@contextmanager
def _of_file(file: Path, stop: Event, waits: Callable[[], object]) -> Iterator[Held | None]:
    descriptor = None
    while descriptor is None and not stop.is_set():
        try:
            descriptor = locks.take(file, _refuse)
        except BlockingIOError:
            waits()
            stop.wait(AGAIN_SECONDS)
    try:
        yield None if descriptor is None else Held()
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _refuse() -> None:
    raise BlockingIOError


@contextmanager
def _of_server(database: Database, what: str, stop: Event, waits: Callable[[], object]) -> Iterator[Held | None]:
    """Hold the lock in a session of its own: PostgreSQL lets it go with the session."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
        for setting in NOTICED:
            session.execute(text(f"SET {setting}"))
        ours = False
        while not ours and not stop.is_set():
            ours = bool(session.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": KEYS[what]}).scalar())
            if not ours:
                waits()
                stop.wait(AGAIN_SECONDS)
        try:
            yield Held(session) if ours else None
        finally:
            # A connection that goes back to its pool would keep the lock.
            session.invalidate()
