"""Files and folders that are complete or not there: written under another name beside, synced, renamed.

A reader never meets half a file, and after a crash or a power cut the name still means the old content or already the
new one; a folder that is replaced may for a moment lie beside. What a crash leaves there the next write overwrites.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from fraud.core.errors import SettingsError

SUFFIX, ASIDE = ".new", ".old"
OWNER_ONLY, PRIVATE = 0o077, 0o600
"""The bits by which others than the owner get at a file, and the mode of one that they do not."""


def draft_of(path: Path) -> Path:
    """Return where a file or folder is written until it is complete; the folder that it lies in is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(path.name + SUFFIX)


def publish(draft: Path, path: Path) -> None:
    """Give a complete draft its name, once all of it is on disk.

    A file takes the place of an old one in one step. An old folder steps aside first: there is none for a moment, but
    never half of one, and it goes only once the new one is there.

    Raises:
        OSError: when the disk is full, or a file is to take the place of a folder.
    """
    for part in (draft, *draft.rglob("*")):
        _sync(part)
    aside = path.with_name(path.name + ASIDE)
    if draft.is_dir() and path.is_dir():
        shutil.rmtree(aside, ignore_errors=True)
        path.replace(aside)
    draft.replace(path)
    _sync(path.parent)
    shutil.rmtree(aside, ignore_errors=True)


def write_atomic(path: Path, content: bytes, *, private: bool = True) -> None:
    """Write a whole file; a `private` one is its owner's alone."""
    with atomic_file(path, private=private) as file:
        file.write(content)


@contextmanager
def atomic_file(path: Path, *, private: bool = True) -> Iterator[BinaryIO]:
    """Yield a file that takes its name when the block ends; after an error it is removed and the old one stays.

    A `private` one is its owner's alone.
    """
    draft = draft_of(path)
    if private:
        make_private(draft)
    try:
        with draft.open("wb") as file:
            yield file
        publish(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that takes its name when the block ends; after an error it is removed, an old one stays."""
    draft = draft_of(path)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
        publish(draft, path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def make_private(path: Path) -> None:
    """Make a file that its owner alone gets at, and take one that is there from all others.

    For what holds payments: whoever opens the file next finds it so, and SQLite makes its logs with the same mode. What
    is no plain file, as /dev/null, stays as it is.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode) and mode & OWNER_ONLY:
            with suppress(PermissionError):  # somebody else's, who lets us write to it
                os.fchmod(descriptor, PRIVATE)
    finally:
        os.close(descriptor)


def new_private(path: Path, text: str, what: str) -> None:
    """Write a new file that its owner alone may read; `what` is for the error.

    Raises:
        SettingsError: when there is something at that place, or nothing can be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    except OSError as error:
        msg = f"{what} cannot be written to {path} ({error.strerror}): name a new file"
        raise SettingsError(msg) from error
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def read_private(path: Path, what: str, repair: str) -> str:
    """Return the text of a file that its owner alone may read; `what` and `repair` are for the error.

    Raises:
        SettingsError: when it cannot be read, or others may read it.
    """
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no text in UTF-8"
        msg = f"{what} {path} cannot be read ({why}): {repair}"
        raise SettingsError(msg) from error
    if mode & OWNER_ONLY:
        msg = f"{what} {path} can be read by others (mode {mode & 0o777:o}): chmod 600 {path}"
        raise SettingsError(msg)
    return text


def _sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
