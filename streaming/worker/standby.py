"""A warm standby: of several processes with one name, the one that holds the lock of that name works.

The kernel lets a lock go with the process that held it, however that ended, so the next one goes on at once: its
model is loaded and warm, and as a static member of the group it takes the partitions over without a rebalance.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from fraud.common import locks


def take_turn(folder: Path, member: str, waits: Callable[[], None] = lambda: None) -> int:
    """Wait until no other process of this machine works as `member`; return what must stay open while this one does.

    `waits` is called where there is one to wait for.
    """
    import_module("kafka.admin")  # a third of a second, and everything else of the client with it
    folder.mkdir(parents=True, exist_ok=True)
    return locks.take(folder / f"{member}.lock", waits)
