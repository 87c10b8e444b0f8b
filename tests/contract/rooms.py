"""Every implementation of the WaitingRoom port, each with a way to make a fresh one in a folder of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fraud.core.labels import MemoryRoom, WaitingRoom
from streaming.labels.pending import DiskRoom


class RoomCase(NamedTuple):
    """One implementation; `fresh` returns an empty room that may use an empty folder."""

    name: str
    implementation: type
    fresh: Callable[[Path], WaitingRoom]


ROOMS = [
    RoomCase("memory", MemoryRoom, lambda folder: MemoryRoom()),
    RoomCase("disk", DiskRoom, lambda folder: DiskRoom(folder / "waiting.db")),
]
