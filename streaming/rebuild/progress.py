"""How far a rebuilding has come, in one file: it is whole or not there, and a later attempt goes on from it."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import msgspec

from features.state.tables import RecordTable, trimmed
from fraud.common.files import atomic_file

AT_ONCE = 4_096
LENGTH = struct.Struct("<I")


class Head(msgspec.Struct):
    """Of what site and layout the rows are, and what they hold.

    `done` is the offset of the next payment of each partition, `unread` that in the topic of applied labels; `marks`
    are topic, partition and the highest offset taken in.
    """

    site: tuple[str, ...]
    done: dict[int, int] = {}
    unread: dict[int, int] = {}
    marks: list[tuple[str, int, int]] = []
    partitions: dict[str, int] = {}
    """For each entity the partitions, as bits, that have touched it."""


def save(path: Path, head: Head, tables: Iterable[RecordTable]) -> None:
    """Write a head and tables in their order, in place of what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        put(file, msgspec.msgpack.encode(head))
        for table in tables:
            rows = iter(table.items())
            while some := [(key, trimmed(row)) for key, row in islice(rows, AT_ONCE)]:
                put(file, msgspec.msgpack.encode(some))
            put(file, b"")


def put(file: BinaryIO, content: bytes) -> None:
    """Write a piece behind its length."""
    packed = zlib.compress(content, 1) if content else b""
    file.write(LENGTH.pack(len(packed)) + packed)


def load(path: Path, site: tuple[str, ...], tables: Iterable[RecordTable]) -> Head | None:
    """Fill tables with what was saved of a site; return its head, None where there is nothing of it."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        pieces = pieces_of(file)
        head = msgspec.msgpack.decode(next(pieces), type=Head)
        if head.site != site:
            return None
        for table in tables:
            table.load(rows_of(pieces))
    return head


def rows_of(pieces: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the rows of one table."""
    while piece := next(pieces):
        yield from msgspec.msgpack.decode(piece, type=list[tuple[str, bytes]])


def pieces_of(file: BinaryIO) -> Iterator[bytes]:
    """Yield the pieces of a file."""
    while head := file.read(LENGTH.size):
        packed = file.read(LENGTH.unpack(head)[0])
        yield zlib.decompress(packed) if packed else b""
