"""Locks between processes of one machine. The kernel lets one go with the process that held it, however that ended."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def take(path: Path, waits: Callable[[], None] = lambda: None) -> int:
    """Lock a folder, or a file, which is made where it is missing; return the descriptor that holds the lock.

    `waits` is called when another process holds it. The lock is free again when the descriptor is closed.
    """
    kind = os.O_DIRECTORY if path.is_dir() else os.O_CREAT
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | kind, 0o644)
    try:
        _lock(descriptor, waits)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def locked(path: Path, waits: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keep others who come by this file or folder out for a block; readers need no lock."""
    descriptor = take(path, waits)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, waits: Callable[[], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waits()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
