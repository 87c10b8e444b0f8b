"""Snapshots on disk: written whole or not at all, the newest readable one wins."""

from pathlib import Path

import msgspec

from fraud.common.files import write_atomic
from fraud.core.errors import StateError

SUFFIX = ".snapshot"
KEPT = 2


class Saved(msgspec.Struct, frozen=True):
    """A snapshot with what is needed to go on from it: how far the source was and what was written by then.

    `spooled` is the length of the decisions' spool in bytes, -1 for a run that keeps none.
    """

    events: int
    digest: bytes
    engine: bytes
    inputs: str
    spooled: int = -1


def save(folder: Path, saved: Saved) -> Path:
    """Write a snapshot atomically; keep the newest `KEPT`."""
    final = folder / f"{saved.events:015d}{SUFFIX}"
    write_atomic(final, msgspec.msgpack.encode(saved))
    for old in sorted(folder.glob("*" + SUFFIX))[:-KEPT]:
        old.unlink()
    return final


def newest(folder: Path) -> Saved | None:
    """Return the newest snapshot that can be read, None when there is none.

    Raises:
        StateError: when there are snapshots but none of them is readable.
    """
    paths = sorted(folder.glob("*" + SUFFIX), reverse=True)
    for path in paths:
        try:
            return msgspec.msgpack.decode(path.read_bytes(), type=Saved)
        except msgspec.MsgspecError:
            continue
    if paths:
        msg = f"none of the {len(paths)} snapshots in {folder} can be read: remove the folder to start afresh"
        raise StateError(msg)
    return None
