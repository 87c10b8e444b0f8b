"""The memory that a table of records takes: its rows, and the index that finds them.

    python -m tests.bench.resident {entity,pair} COUNT

Fills a table in a process of its own, writing every byte, and prints by how many bytes the process grew, as the kernel
counts them. Keys are as long as those of the handbook's history (8 characters an entity, 15 a pair).
"""

import subprocess
import sys
from pathlib import Path

from features.state.tables import RecordTable, card_key, entity_table, pair_key, pair_table


def now_resident() -> int:
    """Return the bytes of this process that are in memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1_024
    message = "/proc/self/status has no line VmRSS: resident memory is measured on Linux only"
    raise RuntimeError(message)


def key(kind: str, number: int) -> str:
    """Return the key of a record."""
    return card_key(f"{number:07d}") if kind == "entity" else pair_key(f"{number:07d}", f"{number:07d}")


def filled(kind: str, count: int) -> RecordTable:
    """Return a table of `count` records, none of them blank."""
    table = entity_table() if kind == "entity" else pair_table()
    record = b"\x01" * table.width
    for number in range(count):
        table.put(key(kind, number), record)
    return table


def bytes_a_record(kind: str, count: int) -> float:
    """Return the resident bytes a record takes, index included, measured in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.resident", kind, str(count)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / count


def main() -> None:
    """Print by how many bytes filling a table made this process grow."""
    kind, count = sys.argv[1], int(sys.argv[2])
    before = now_resident()
    table = filled(kind, count)
    print(now_resident() - before)
    del table


if __name__ == "__main__":
    main()
