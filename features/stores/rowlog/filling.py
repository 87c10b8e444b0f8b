"""Set whole rows that nobody else writes yet: what a rebuilding and the making of histories end with."""

from collections.abc import Iterable, Mapping
from itertools import islice

import numpy as np

from features.stores.rowlog import frames as fr
from features.stores.rowlog.keys import BASE, LIBRARY, LOG
from features.stores.rowlog.working import source_of
from features.stores.server import AT_ONCE, Command, Server

Given = Iterable[tuple[str, bytes, Mapping[str, int]]]
"""Names of rows, or their keys, the rows, and the offsets that they hold by the names of fields."""


def fill(server: Server, seal: bytes, life_ms: int, rows: Given) -> int:
    """Set rows by their names, each as a base and a log that rests on it; return how many. `life_ms` 0 is for ever."""
    count, rows, log = 0, iter(rows), fr.log_on(seal)
    # Many rows hold the same offsets, and are given the same mapping.
    held: dict[int, tuple[Mapping[str, int], dict[int, int]]] = {}
    while some := list(islice(rows, AT_ONCE)):
        keys, texts = list[str](), list[bytes]()
        for name, row, marks in some:
            if id(marks) not in held:
                held[id(marks)] = marks, {source_of(field): offset for field, offset in marks.items()}
            keys += name + BASE, name + LOG
            texts += seal + fr.packed(np.frombuffer(row, np.uint8), held[id(marks)][1]), log
        server.run(commands(keys, texts, life_ms, at_once=not server.cluster))
        count += len(some)
    return count


def commands(keys: list[str], texts: list[bytes], life_ms: int, *, at_once: bool) -> list[Command]:
    """Return what sets keys to texts: one command, or, on a cluster, one a key."""
    if at_once:
        return [("FCALL", f"{LIBRARY}_put", len(keys), *keys, life_ms, *texts)]
    life = ("PX", life_ms) if life_ms else ()
    return [("SET", key, text, *life) for key, text in zip(keys, texts, strict=True)]
