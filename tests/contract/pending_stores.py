"""Every implementation of the PendingStore port, each with a way to make a fresh one in a folder of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fraud.core.pending import MemoryPending, PendingStore
from streaming.labels.pending import SqlitePending


class PendingCase(NamedTuple):
    """One implementation; `fresh` returns an empty store that may use an empty folder."""

    name: str
    implementation: type
    fresh: Callable[[Path], PendingStore]


PENDING_STORES = [
    PendingCase("memory", MemoryPending, lambda folder: MemoryPending()),
    PendingCase("disk", SqlitePending, lambda folder: SqlitePending(folder / "waiting.db")),
]
