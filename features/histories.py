"""The histories of one batch: copied when an event is looked at, added to when it is absorbed, encoded at the end."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.descriptors import grams, text_hash
from features.state import history as hs
from features.state import layout as at
from features.state import tokens
from features.state.blocks import Block, block_of, put_codes
from features.state.tables import RecordTable, hash64
from features.stores.working_set import TableSet
from fraud.common.compiled import Floats, Ints, Row
from fraud.core import tokens as tk
from fraud.core.ports import Tokens
from fraud.core.records import Position, Transaction

FIRST_CAPACITY = 64
Quad = tuple[str, str, str, str]
APPEND, VERDICT = "remember", "verdict"
"""Changes of histories, as stored answers and recordings name them."""


class Looked:
    """The Histories port over copies of rows, in the order of the events asked for; good until the next batch."""

    def __init__(self, rows: Row, queries: Ints, texts: Sequence[str], places: Sequence[int]) -> None:
        """Take copies (n, 3, bytes), queries (n, 3, fields), texts (n), and which of them are meant."""
        self._rows, self._queries, self._texts = rows, queries, texts
        self._places = np.asarray(places, np.intp)

    def asked(self, row: int) -> Ints:
        """Return what one event asks of its entities, int64 (3, QUERY_FIELDS); for whoever records it."""
        asked: Ints = self._queries[self._places[row]]
        return asked

    def tokens(self, rows: Sequence[int] | NDArray[np.intp], sides: int) -> Tokens:
        """Return the tokens of some rows, in the order given, for the first `sides` sides."""
        chosen = self._places[np.asarray(rows, np.intp)]
        shape = len(chosen), sides
        raw: Floats = np.empty((*shape, tk.RAW, tk.RAW_COLUMNS), np.float32)
        sums: Floats = np.empty((*shape, tk.SUMS, tk.SUM_COLUMNS), np.float32)
        codes: Floats = np.empty((*shape, tk.SUMS, tk.CODE), np.float32)
        tokens.read_chosen(self._rows, self._queries, chosen, raw, sums, codes)
        text = np.empty((len(chosen), tk.GRAMS), np.int64)
        for row, place in enumerate(chosen):
            text[row] = grams(self._texts[place])
        return Tokens(raw, sums, codes, text)

    def events(self, row: int, sides: int) -> Ints:
        """Return which events one row's tokens are of, int64 (sides, RAW, 2): hash of the transaction, time in us."""
        read = self._rows[self._places[row]]
        return np.stack([tokens.events_of_tokens(read[side]) for side in range(sides)])


class HistoryBatch:
    """What the extractor does with histories. Without an encoder none of it is called."""

    def __init__(self) -> None:
        """Hold nothing."""
        self._copies: Row = np.empty((FIRST_CAPACITY, tk.SIDES, hs.HISTORY_BYTES), np.uint8)
        self._queries: Ints = np.zeros((FIRST_CAPACITY, tk.SIDES, tokens.QUERY_FIELDS), np.int64)
        self._texts: list[str] = []
        self._places: dict[str, int] = {}
        self._rows: Ints = np.zeros(tk.SIDES, np.int64)
        self._closed: Ints = np.zeros(tk.SIDES, np.int64)
        self._blocks: list[Block] = []
        self._since = 0
        self._reads = False
        self._work: TableSet | None = None

    def open(self, work: TableSet, *, reads: bool = True) -> bool:
        """Begin a batch; return whether its histories are kept. Without `reads` they are only added to."""
        if work.histories is None:
            self._work, self._reads = None, False
            return False
        self._work, self._reads, self._since = work, reads, 0
        self._texts, self._places, self._blocks = [], {}, []
        return True

    # ---- look

    def look(self, tx: Transaction, keys: Quad, change: Ints) -> None:
        """Copy the rows of a transaction as they are, with what it asks of them, if somebody will read them."""
        if not self._reads:
            return
        table, place = self._table, len(self._texts)
        if place == len(self._copies):
            self._grow()
        copy, query = self._copies[place], self._queries[place]
        for side in range(tk.SIDES):
            copy[side] = table.rows[table.find(keys[side]) if keys[side] else 0]
        query[:, tokens.Q_AT], query[:, tokens.Q_LOG] = change[at.C_AT], change[at.C_LOG]
        query[:, tokens.Q_MCC], query[:, tokens.Q_TEXT] = tx.mcc, text_hash(tx.text)
        query[:, tokens.Q_OTHER] = self._hash(keys[0])
        query[0, tokens.Q_OTHER] = self._hash(keys[1])
        self._texts.append(tx.text)
        self._places[tx.id] = place

    def histories(self, ids: Sequence[str]) -> Looked | None:
        """Return what `look` has copied for these transactions, in their order; None without histories."""
        if not self._reads:
            return None
        return Looked(self._copies, self._queries, self._texts, [self._places[tx_id] for tx_id in ids])

    def _hash(self, key: str) -> int:
        entities = self._working.entities
        place = entities.find(key)
        return entities.hashes[place] if place else hash64(key)

    def _grow(self) -> None:
        self._copies = np.concatenate([self._copies, np.empty_like(self._copies)])
        self._queries = np.concatenate([self._queries, np.zeros_like(self._queries)])

    # ---- absorb, apply

    def absorb(self, keys: Quad, event: Ints, mask: int, position: Position | None) -> None:
        """Add an event to the rows in `mask`."""
        if self._since >= hs.PUSH_AFTER:
            self.encode()
        self._since += 1
        table = self._place(keys, mask, make=True)
        hs.absorb_sides(table.rows, self._rows, event, mask, self._closed)
        for side in range(tk.SIDES):
            if self._closed[side] >= 0:
                self._close_block(keys[side], int(self._rows[side]), int(self._closed[side]))
        self._working.applied_history(APPEND, keys, event.tobytes(), mask, position)

    def apply(self, keys: Quad, verdict: Ints, mask: int, position: Position | None) -> None:
        """Add a verdict to the rows in `mask`; only a fraud makes a row."""
        fraud = bool(verdict[at.L_FRAUD] == at.SAID_FRAUD)
        table = self._place(keys, mask, make=fraud)
        held = sum(1 << side for side in range(tk.SIDES) if self._rows[side] > 0) & mask
        if held:
            hs.apply_sides(table.rows, self._rows, verdict, held)
            self._working.applied_history(VERDICT, keys, verdict.tobytes(), held, position)

    def _place(self, keys: Quad, mask: int, *, make: bool) -> RecordTable:
        table = self._table
        reach = table.ensure if make else table.find
        for side in range(tk.SIDES):
            self._rows[side] = reach(keys[side]) if keys[side] and (mask >> side) & 1 else 0
        return table

    # ---- encode

    def encode(self) -> None:
        """Compute the codes of the blocks that were closed since the last time, and keep them in their rows."""
        blocks, self._blocks, self._since = self._blocks, [], 0
        encoder = self._working.encoder
        if not blocks or encoder is None:
            return
        put_codes(self._table, blocks, encoder)

    def _close_block(self, key: str, row: int, block: int) -> None:
        self._blocks.append((key, block, block_of(self._table.rows[row], block)))

    @property
    def _working(self) -> TableSet:
        assert self._work is not None, "no batch with histories is open"  # noqa: S101
        return self._work

    @property
    def _table(self) -> RecordTable:
        table = self._working.histories
        assert table is not None, "the batch was opened without an encoder"  # noqa: S101
        return table
