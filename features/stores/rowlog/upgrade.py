"""Rows of format 1, hashes of a row and its marks: each is taken over when it is first touched, or all at once.

Until all are, a row that is not there is looked for in the old format as well. Both hold the same bytes.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from features.stores.rowlog import frames as fr
from features.stores.rowlog.keys import BASE, LIBRARY, LOG, Keys
from features.stores.rowlog.working import source_of
from features.stores.server import AT_ONCE, Server

ROW, VERSION = b"r", b"n"
MOVED = b"format 2, was "
"""How the old name of a state begins whose rows are being taken over."""


def is_due(server: Server, keys: Keys) -> bool:
    """Tell whether rows of format 1 may be left."""
    return bool(server.ask("EXISTS", keys.old_birth))


def converted(row: Mapping[bytes, bytes], seal: bytes) -> tuple[bytes, bytes]:
    """Return base and log of a row of format 1."""
    marks = {source_of(field.decode()): int(value) for field, value in row.items() if field not in (ROW, VERSION)}
    content = np.frombuffer(row.get(ROW, b""), np.uint8)
    return seal + fr.packed(content, marks), fr.log_on(seal)


def adopt(
    server: Server,
    names: Sequence[tuple[bytes, str]],
    rows: Sequence[Sequence[bytes] | Mapping[bytes, bytes]],
    seal: bytes,
    keep_ms: int,
) -> int:
    """Take over rows, each by its old and new name, unless somebody has; return how many were taken over here."""
    commands = []
    for (old, new), row in zip(names, rows, strict=True):
        base, log = converted(as_mapping(row), seal)
        commands.append(("FCALL", f"{LIBRARY}_adopt", 3, new + BASE, new + LOG, old, base, log, keep_ms))
    return sum(server.run(commands))


def as_mapping(row: Sequence[bytes] | Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    """Return a hash's answer as a mapping: clients give a list or a mapping."""
    return row if isinstance(row, Mapping) else dict(zip(row[::2], row[1::2], strict=True))


def everything(server: Server, keys: Keys, seal: bytes, keep_ms: int, step: Callable[[int, int], None]) -> int:
    """Take over all rows of format 1; return how many. `step` is told how many of how many are done."""
    names = server.scan(keys.old_rows)
    done = 0
    for begin in range(0, len(names), AT_ONCE):
        some = names[begin : begin + AT_ONCE]
        held = server.run([("HGETALL", name) for name in some])
        both = [(name, row) for name, row in zip(some, held, strict=True) if row]
        given = [(name, keys.of_old(name.decode())) for name, _ in both]
        done += adopt(server, given, [row for _, row in both], seal, keep_ms)
        step(min(begin + AT_ONCE, len(names)), len(names))
    server.ask("DEL", keys.old_birth)
    return done
