"""The tokens of a history's payments: what was done to history rows, recorded once, done again as training asks.

A recording holds, in their order, the changes that the live extractor made to history rows
(`features/state/history.py`) and, for each payment, where in that order it was looked at and what it asked. Running it
again through the same compiled loops gives the rows as they stood, and the same functions read tokens from them: there
is no second feature code. A test holds the tensors of 1,000 payments to the live ones, byte for byte.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from features.descriptors import grams
from features.state import events as ev
from features.state import history as hs
from features.state import tokens
from features.state.blocks import put_code
from features.state.tables import reserve
from fraud.common.compiled import Floats, Ints, Row, compiled
from fraud.common.files import draft_of, publish
from fraud.core import tokens as tk
from fraud.core.errors import DataError
from fraud.training.sampling import Batch, Codes
from fraud.training.splits import Rows

FIELDS = ev.EVENT_FIELDS
QUERY = 6
"""Time, log amount, category, text, and the counterparty's hash: the merchant's for the card, the card's for others."""
REMEMBER, VERDICT = 0, 1
KINDS = {"remember": REMEMBER, "verdict": VERDICT}
AT_ONCE = 8_192
Places = NDArray[np.int32]

OPERATION = np.dtype(
    [("kind", np.int8), ("mask", np.int8), ("rows", np.int32, (tk.SIDES,)), ("fields", np.int64, (FIELDS,))]
)
LOOK = np.dtype([("at", np.int64), ("rows", np.int32, (tk.SIDES,)), ("text", np.int32), ("query", np.int64, (QUERY,))])
OPERATIONS, LOOKS, TEXTS = "operations.bin", "looks.bin", "texts.txt"


class Recording:
    """Write a recording while a history runs through the live extractor; it appears by one rename when complete."""

    def __init__(self, folder: Path) -> None:
        """Prepare to write to `folder`."""
        self._final = folder
        self._keys: dict[str, int] = {}
        self._texts: dict[str, int] = {"": 0}
        self.operations = 0

    def __enter__(self) -> Self:
        """Open a fresh draft."""
        self._draft = draft_of(self._final)
        shutil.rmtree(self._draft, ignore_errors=True)
        self._draft.mkdir()
        self._changes: BinaryIO = (self._draft / OPERATIONS).open("wb")
        self._looks: BinaryIO = (self._draft / LOOKS).open("wb")
        self._one = np.zeros(1, OPERATION)
        self._look = np.zeros(1, LOOK)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """Publish what is complete, or remove the draft after an error."""
        self._changes.close()
        self._looks.close()
        if kind is not None:
            shutil.rmtree(self._draft, ignore_errors=True)
            return
        (self._draft / TEXTS).write_text("\n".join(self._texts), encoding="utf-8")
        publish(self._draft, self._final)

    def change(self, kind: str, keys: tuple[str, ...], fields: bytes, mask: int) -> None:
        """Note a change of history rows, by the keys of card, merchant and device."""
        one = self._one[0]
        one["kind"], one["mask"], one["rows"] = KINDS[kind], mask, self._rows(keys)
        given = np.frombuffer(fields, np.int64)
        one["fields"][: len(given)] = given
        self._changes.write(self._one.tobytes())
        self.operations += 1

    def look(self, keys: tuple[str, ...], query: Ints, text: str) -> None:
        """Note that a payment was looked at now; `query` is int64 (3, 5), a row a side."""
        one = self._look[0]
        one["at"], one["rows"] = self.operations, self._rows(keys)
        one["text"] = self._texts.setdefault(text.replace("\n", " "), len(self._texts))
        shared = (query[0, field] for field in (tokens.Q_AT, tokens.Q_LOG, tokens.Q_MCC, tokens.Q_TEXT))
        one["query"][:] = (*shared, query[0, tokens.Q_OTHER], query[1, tokens.Q_OTHER])
        self._looks.write(self._look.tobytes())

    def _rows(self, keys: tuple[str, ...]) -> tuple[int, ...]:
        """Return row numbers; 0 stands for no entity."""
        held = self._keys
        return tuple(held.setdefault(key, len(held) + 1) if key else 0 for key in keys[: tk.SIDES])


class Bank(NamedTuple):
    """Where the codes of a recording's closed blocks stand: `first[row] + block`, with `total` in all."""

    first: Ints
    total: int


class HistoryLog:
    """A recording, read: the `Tokens` of `fraud/training/sampling.py`."""

    def __init__(self, folder: Path) -> None:
        """Map a recording; raise DataError when it is not whole."""
        try:
            self._changes = np.memmap(folder / OPERATIONS, OPERATION, "r")
            self._looks = np.memmap(folder / LOOKS, LOOK, "r")
            texts = (folder / TEXTS).read_text(encoding="utf-8").split("\n")
        except (OSError, ValueError) as error:
            message = f"The recorded histories in {folder} cannot be read ({error}); remove the folder, extract again."
            raise DataError(message) from error
        self._grams = np.array([grams(text) for text in texts], np.int64).reshape(-1, tk.GRAMS)
        self._entities = int(self._changes["rows"].max(initial=0, axis=None)) if len(self._changes) else 0
        self._entities = max(self._entities, int(self._looks["rows"].max()) if len(self._looks) else 0)
        self.sides = 3 if bool((self._looks["rows"][:, 2] > 0).any()) else 2
        self.has_text = len(texts) > 1
        self._bank = self._counted()
        self._blocks: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Return the number of payments."""
        return len(self._looks)

    def blocks(self) -> NDArray[np.float32]:
        """Return the inputs of every closed block, float32 (N, BLOCK, STATIC)."""
        if self._blocks is None:
            self._blocks = np.zeros((self._bank.total, tk.BLOCK, tk.STATIC), np.float32)
            rows = self._fresh()
            for begin in range(0, len(self._changes), 1 << 18):
                kind, mask, places, fields = self._part(begin, begin + (1 << 18))
                run_blocks(kind, mask, places, fields, rows, self._bank.first, self._blocks)
        return self._blocks

    def batches(self, rows: Rows, codes: Codes, at_once: int = AT_ONCE) -> Iterator[tuple[Rows, Batch]]:
        """Yield the tokens of `rows`, ascending, `at_once` at a time; `codes` (N, CODE) are those of `blocks`."""
        table, done = self._fresh(), 0
        for begin in range(0, len(rows), at_once):
            some = rows[begin : begin + at_once]
            looks = self._looks[some]
            shape = len(some), self.sides
            raw: Floats = np.empty((*shape, tk.RAW, tk.RAW_COLUMNS), np.float32)
            sums: Floats = np.empty((*shape, tk.SUMS, tk.SUM_COLUMNS), np.float32)
            read: Floats = np.empty((*shape, tk.SUMS, tk.CODE), np.float32)
            pushed = np.empty((*shape, 2), np.int64)
            until = int(looks["at"][-1])
            kind, mask, places, fields = self._part(done, until)
            at, asks, queries = (np.ascontiguousarray(looks[name]) for name in ("at", "rows", "query"))
            run_reading(
                done, kind, mask, places, fields, table, self._bank.first, codes, at, asks, queries,
                raw, sums, read, pushed,
            )  # fmt: skip
            done = until
            yield some, Batch(raw, sums, read, self._grams[looks["text"]], pushed)

    def _part(self, begin: int, end: int) -> tuple[Any, ...]:
        """Return some operations as plain arrays: kind, mask, rows, fields."""
        part = self._changes[begin:end]
        return tuple(np.ascontiguousarray(part[name]) for name in ("kind", "mask", "rows", "fields"))

    def _fresh(self) -> Row:
        return reserve(self._entities + 1, hs.HISTORY_BYTES)

    def _counted(self) -> Bank:
        """Return room for every block that can close: 16 additions each."""
        added = self._changes["rows"][self._changes["kind"] == REMEMBER]
        events = np.bincount(added.ravel(), minlength=self._entities + 1)
        blocks = events // tk.BLOCK
        blocks[0] = 0
        return Bank(np.concatenate([[0], np.cumsum(blocks)])[:-1].astype(np.int64), int(blocks.sum()))


@compiled
def run_one(kind: int, mask: int, rows: Ints, fields: Ints, table: Row, closed: Ints) -> None:
    """Do one recorded change; `closed` receives the block that it closes on each side, or -1."""
    closed[:] = -1
    if kind == REMEMBER:
        hs.absorb_sides(table, rows, fields, mask, closed)
    else:
        hs.apply_sides(table, rows, fields, mask)


@compiled
def run_blocks(kind: Row, mask: Row, rows: Ints, fields: Ints, table: Row, first: Ints, blocks: Floats) -> None:
    """Do recorded changes, noting the content of every block that closes."""
    closed, places = np.zeros(tk.SIDES, np.int64), np.zeros(tk.SIDES, np.int64)
    for number in range(len(kind)):
        places[:] = rows[number]
        run_one(kind[number], mask[number], places, fields[number], table, closed)
        for side in range(tk.SIDES):
            if closed[side] >= 0:
                tokens.read_block(table[places[side]], closed[side], blocks[first[places[side]] + closed[side]])


@compiled
def run_changes(
    begin: int, end: int, kind: Row, mask: Row, rows: Ints, fields: Ints, table: Row, first: Ints, codes: Floats
) -> None:
    """Do recorded changes from `begin` until before `end`, giving every block that closes its code."""
    closed, places = np.zeros(tk.SIDES, np.int64), np.zeros(tk.SIDES, np.int64)
    for number in range(begin, end):
        places[:] = rows[number]
        run_one(kind[number], mask[number], places, fields[number], table, closed)
        for side in range(tk.SIDES):
            if closed[side] >= 0:
                put_code(table[places[side]], closed[side], codes[first[places[side]] + closed[side]])


@compiled
def ask(recorded: Ints, side: int, query: Ints) -> None:
    """Fill what a payment asks of one of its sides, of what was recorded of it, int64 (6,)."""
    query[tokens.Q_AT], query[tokens.Q_LOG], query[tokens.Q_MCC], query[tokens.Q_TEXT] = recorded[:4]
    query[tokens.Q_OTHER] = recorded[4 if side == 0 else 5]


@compiled
def run_reading(
    done: int,
    kind: Row,
    mask: Row,
    rows: Ints,
    fields: Ints,
    table: Row,
    first: Ints,
    codes: Floats,
    at: Ints,
    asks: Ints,
    queries: Ints,
    raw: Floats,
    sums: Floats,
    read: Floats,
    pushed: Ints,
) -> None:
    """Do recorded changes up to each look in turn, and read its tokens; `done` changes were done before.

    `pushed` receives the first block of each side that was asked for, and how many its summaries hold.
    """
    query = np.zeros(tokens.QUERY_FIELDS, np.int64)
    number = 0
    for look in range(len(at)):
        run_changes(number, at[look] - done, kind, mask, rows, fields, table, first, codes)
        number = at[look] - done
        for side in range(raw.shape[1]):
            ask(queries[look], side, query)
            entity = asks[look, side]
            tokens.read_tokens(table[entity], query, raw[look, side], sums[look, side], read[look, side])
            pushed[look, side, 0] = first[entity]
            pushed[look, side, 1] = hs.window_start(hs.events_of(table[entity])) // tk.BLOCK
