"""One projector and one publisher a database: others wait until it is gone, however it ended.

The lock spares the others their work. That nothing is taken in twice rests on the marks, not on it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import msgspec
from sqlalchemy import text

from fraud.common import locks
from fraud.review.database import Database

PROJECTOR, PUBLISHER = "projector", "publisher"
KEYS = {PROJECTOR: 0x66726175_70726F6A, PUBLISHER: 0x66726175_7075626C}
AGAIN_SECONDS = 1.0
"""How often whoever waits looks whether the other one is gone."""


class Trouble(msgspec.Struct):
    """What stands in the way of one that tries again; `fault` says why it does not work now, empty while it does."""

    failures: int = 0
    fault: str = ""

    def met(self, fault: Exception) -> bool:
        """Count a failure; tell whether it is another one than the last.

        A database's error may hold values behind its first line, so no more of it is kept.
        """
        self.failures += 1
        had, text = self.fault, str(fault)
        self.fault = f"{type(fault).__name__}: {text.splitlines()[0][:200] if text else ''}"
        return self.fault != had


@contextmanager
def sole(database: Database, what: str, stop: Event) -> Iterator[bool]:
    """Wait until nobody else is what one wants to be for a database; False when `stop` was set before."""
    file = database.file
    lock = _of_server(database, what, stop) if file is None else _of_file(file.with_name(f"{file.name}.{what}"), stop)
    with lock as ours:
        yield ours


@contextmanager
def _of_file(file: Path, stop: Event) -> Iterator[bool]:
    descriptor = None
    while descriptor is None and not stop.is_set():
        try:
            descriptor = locks.take(file, _refuse)
        except BlockingIOError:
            stop.wait(AGAIN_SECONDS)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _refuse() -> None:
    raise BlockingIOError


@contextmanager
def _of_server(database: Database, what: str, stop: Event) -> Iterator[bool]:
    """Hold the lock in a session of its own: PostgreSQL lets it go with the session."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
        ours = False
        while not ours and not stop.is_set():
            ours = bool(session.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": KEYS[what]}).scalar())
            if not ours:
                stop.wait(AGAIN_SECONDS)
        try:
            yield ours
        finally:
            # A connection that goes back to its pool would keep the lock.
            session.invalidate()
