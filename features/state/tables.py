"""Rows by key: a growing table of fixed-size records, and the keys of entities and pairs."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from features.state import layout as at
from features.state.history import HISTORY_BYTES
from fraud.core.records import KnownLabel, Transaction

Rows = NDArray[np.uint8]
SEPARATOR = "\x1f"
FIRST_CAPACITY = 4_096


def card_key(card: str) -> str:
    """Return the key of a card's row."""
    return "c" + card


def merchant_key(merchant: str) -> str:
    """Return the key of a merchant's row."""
    return "m" + merchant


def device_key(device: str) -> str:
    """Return the key of a device's row."""
    return "d" + device


def pair_key(card: str, merchant: str) -> str:
    """Return the key of the pair's row; ids hold no control characters, so it is unambiguous."""
    return card + SEPARATOR + merchant


def entity_keys(event: Transaction | KnownLabel) -> tuple[str, ...]:
    """Return the keys of the entities an event touches: card, merchant and, if it names one, device."""
    keys = (card_key(event.card), merchant_key(event.merchant))
    return (*keys, device_key(event.device)) if event.device is not None else keys


def hash64(text: str) -> int:
    """Return a stable signed 64-bit hash of an id."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def reserve(rows: int, width: int) -> Rows:
    """Return zeroed rows; the system hands out their memory only when it is written."""
    return np.zeros((rows, width), np.uint8)


class RecordTable:
    """Fixed-size records by key. Row 0 is the empty record that stands for everything not yet seen.

    A table doubles by copying what is used into a fresh reservation; nothing else ever moves a row.
    """

    def __init__(self, width: int, capacity: int = FIRST_CAPACITY, *, hashed: bool = True) -> None:
        """Reserve `capacity` rows of `width` bytes; `hashed` keeps the hash of each key beside its row."""
        self.rows = reserve(capacity, width)
        self.index: dict[str, int] = {}
        self.hashes = array("q", [0])
        self._hashed = hashed
        self._used = 1
        self._free: list[int] = []

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.index)

    @property
    def width(self) -> int:
        """Return the bytes a record takes."""
        return int(self.rows.shape[1])

    def find(self, key: str) -> int:
        """Return the key's row, 0 when it has none."""
        return self.index.get(key, 0)

    def ensure(self, key: str) -> int:
        """Return the key's row, a fresh one when it has none."""
        row = self.index.get(key)
        return self._add(key) if row is None else row

    def put(self, key: str, record: bytes) -> int:
        """Set the key's record, filled up with zeros; return its row."""
        row = self.ensure(key)
        self.rows[row] = np.frombuffer(record.ljust(self.width, b"\0"), np.uint8)
        return row

    def get(self, key: str) -> bytes:
        """Return the key's record, the empty one when it has none."""
        return bytes(self.rows[self.find(key)])

    def remove(self, key: str) -> bool:
        """Erase a record; its row is used again. Return whether there was one."""
        row = self.index.pop(key, None)
        if row is None:
            return False
        self.rows[row] = 0
        self._free.append(row)
        return True

    def clear(self) -> None:
        """Erase every record, keeping the memory."""
        self.rows[: self._used] = 0
        self.index.clear()
        self._free.clear()
        self._used = 1
        del self.hashes[1:]

    def items(self) -> Iterator[tuple[str, bytes]]:
        """Yield key and record of every row, in the order of their making."""
        for key, row in self.index.items():
            yield key, self.rows[row].tobytes()

    def load(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Replace the content."""
        self.clear()
        for key, record in items:
            self.put(key, record)

    def _add(self, key: str) -> int:
        if self._free:
            row = self._free.pop()
            if self._hashed:
                self.hashes[row] = hash64(key)
        else:
            row = self._used
            self._used += 1
            if self._hashed:
                self.hashes.append(hash64(key))
        if row >= len(self.rows):
            self._grow()
        self.index[key] = row
        return row

    def _grow(self) -> None:
        larger = reserve(2 * len(self.rows), self.width)
        larger[: len(self.rows)] = self.rows
        self.rows = larger


def entity_table(capacity: int = FIRST_CAPACITY) -> RecordTable:
    """Return an empty table of entity rows."""
    return RecordTable(at.ENTITY_BYTES, capacity)


def pair_table(capacity: int = FIRST_CAPACITY) -> RecordTable:
    """Return an empty table of pair rows."""
    return RecordTable(at.PAIR_BYTES, capacity, hashed=False)


def history_table(capacity: int = FIRST_CAPACITY) -> RecordTable:
    """Return an empty table of history rows."""
    return RecordTable(HISTORY_BYTES, capacity, hashed=False)


def trimmed(record: bytes) -> bytes:
    """Return a record without the zeros at its end: a young history is short."""
    return record.rstrip(b"\0")
