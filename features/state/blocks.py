"""Closed blocks of history rows: what their codes are computed from, and where codes wait until they are pushed."""

from collections.abc import Sequence

import numpy as np

from features.state import history as hs
from features.state import tokens
from features.state.tables import RecordTable
from fraud.common.compiled import Floats, Row, compiled
from fraud.core import tokens as tk
from fraud.core.ports import Encoder

Block = tuple[str, int, Floats]
"""A block that was closed: the entity's key, its number, and what its code is computed from."""


def block_of(row: Row, block: int) -> Floats:
    """Return what the code of a block that was just closed is computed from, float32 (BLOCK, STATIC)."""
    out: Floats = np.empty((tk.BLOCK, tk.STATIC), np.float32)
    tokens.read_block(row, block, out)
    return out


def put_codes(table: RecordTable, blocks: Sequence[Block], encoder: Encoder) -> None:
    """Encode blocks in one go and keep the codes in their rows."""
    codes = np.ascontiguousarray(encoder.encode(np.stack([content for _, _, content in blocks])), np.float32)
    for (key, block, _), code in zip(blocks, codes, strict=True):
        put_code(table.rows[table.find(key)], block, code)


@compiled
def put_code(row: Row, block: int, code: Floats) -> None:
    """Keep the code, float32 (CODE,), of a closed block until it is pushed; one that comes too late is dropped."""
    if block < hs.events_of(row) // tk.BLOCK - tk.CLOSED_IN_WINDOW:
        return
    begin = hs.CODES_AT + (block % hs.RING_CODES) * hs.CODE_BYTES
    row[begin : begin + hs.CODE_BYTES].view(np.float32)[:] = code
