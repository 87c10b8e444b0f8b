"""One batch's share of the histories on Redis: rows as they were read, what was done to them, and doing it again."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from features.histories import APPEND
from features.state import history as hs
from features.state.blocks import Block, block_of, put_codes
from features.state.tables import RecordTable, history_table, trimmed
from fraud.core.ports import Encoder

ROW, VERSION = b"r", b"n"


class Step(NamedTuple):
    """One change to one row: the mark that it moves ('' for none), what it does, as which side, its int64 fields."""

    field: str
    offset: int
    kind: str
    side: int
    fields: bytes


class Held(msgspec.Struct):
    """A row at hand: its entity, the version that was read, its marks, and what was done to it since."""

    key: str
    version: bytes = b"0"
    marks: dict[str, int] = msgspec.field(default_factory=dict)
    steps: list[Step] = msgspec.field(default_factory=list)

    def moved(self) -> dict[str, int]:
        """Return the marks that the changes move, as they leave them."""
        found: dict[str, int] = {}
        for step in self.steps:
            if step.field:
                found[step.field] = max(found.get(step.field, self.marks.get(step.field, -1)), step.offset)
        return found


class HistorySet:
    """The history rows of one encoder that a batch can touch, by their key in Redis."""

    def __init__(self, encoder: Encoder, capacity: int) -> None:
        """Start empty, with room for so many entities."""
        self.encoder = encoder
        self.table: RecordTable = history_table(capacity + 1)
        self.held: dict[str, Held] = {}
        self._reached: dict[tuple[str, str], int] = {}

    def take(self, row: str, key: str, found: dict[bytes, bytes]) -> None:
        """Put a row that was read in its place; an empty answer is a row that is not there."""
        held = self.held.setdefault(row, Held(key))
        held.marks = {field.decode(): int(value) for field, value in found.items() if field not in (ROW, VERSION)}
        held.version = found.get(VERSION, b"0")
        if ROW in found:
            self.table.put(key, found[ROW])
        else:
            self.table.remove(key)

    def admits(self, row: str, field: str, offset: int) -> bool:
        """Tell whether a row has not applied this position yet, in this batch or before."""
        held = self.held[row]
        return max(held.marks.get(field, -1), self._reached.get((row, field), -1)) < offset

    def note(self, row: str, step: Step) -> None:
        """Note a change just made in place."""
        self.held[row].steps.append(step)
        if step.field:
            self._reached[row, step.field] = max(self._reached.get((row, step.field), -1), step.offset)

    def changed(self) -> list[str]:
        """Return the rows that something was done to."""
        return [row for row, held in self.held.items() if held.steps]

    def words(self, row: str) -> Iterator[bytes | str | int]:
        """Yield what a write is made of: the version that was read, the row, the marks that it moves."""
        held = self.held[row]
        yield held.version
        yield trimmed(self.table.get(held.key))
        for field, offset in held.moved().items():
            yield field
            yield offset

    def again(self, rows: Sequence[str]) -> None:
        """Make the changes of some rows anew, on what was read in their place."""
        blocks: list[Block] = []
        for row in rows:
            since = 0
            held = self.held[row]
            for step in held.steps:
                if step.field and held.marks.get(step.field, -1) >= step.offset:
                    continue
                if since >= hs.PUSH_AFTER:
                    blocks, since = self._encode(blocks), 0
                blocks += self._step(held.key, step)
                since += 1
        self._encode(blocks)

    def _encode(self, blocks: list[Block]) -> list[Block]:
        if blocks:
            put_codes(self.table, blocks, self.encoder)
        return []

    def _step(self, key: str, step: Step) -> list[Block]:
        """Make one change; return the block that it closes, if any."""
        fields = np.frombuffer(step.fields, np.int64)
        if step.kind != APPEND:
            if self.table.find(key) or fields[1]:
                hs.apply_verdict(self.table.rows[self.table.ensure(key)], fields.copy(), step.side)
            return []
        number = self.table.ensure(key)
        closed = hs.absorb_event(self.table.rows[number], fields.copy(), step.side)
        return [(key, closed, block_of(self.table.rows[number], closed))] if closed >= 0 else []
