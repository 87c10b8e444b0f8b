"""What is wrong with the histories of a stream."""

from collections.abc import Sequence

import numpy as np

from features.state import history as hs
from features.state import layout as at
from features.state import tokens
from features.state.tables import card_key, hash64, merchant_key
from fraud.core import tokens as tk
from fraud.core.records import Arrival, KnownLabel, Transaction, Verdict
from tests.contract.driving import Rows
from tests.histories import Encoding


def sequences(row: bytes) -> tuple[int, ...]:
    """Return the transactions in a ring, oldest first."""
    cells = np.frombuffer(row, np.uint8)
    events = hs.events_of(cells)
    held = range(max(events - tk.RING, 0), events)
    return tuple(int(hs.record_of(cells, number)[:8].view(np.int64)[0]) for number in held)


def code_faults(row: bytes) -> list[int]:
    """Return the closed blocks of the window whose kept code is not that of their events."""
    cells, faults = np.frombuffer(row, np.uint8).copy(), []
    events = hs.events_of(cells)
    for block in range(max(events // tk.BLOCK - tk.CLOSED_IN_WINDOW, 0), events // tk.BLOCK):
        content = np.empty((tk.BLOCK, tk.STATIC), np.float32)
        tokens.read_block(cells, block, content)
        begin = hs.CODES_AT + block % hs.RING_CODES * hs.CODE_BYTES
        if cells[begin : begin + hs.CODE_BYTES].tobytes() != Encoding().code(content).tobytes():
            faults.append(block)
    return faults


def verdicts_in(row: bytes) -> dict[int, int]:
    """Return what a ring says of the transactions whose verdict it knows."""
    cells = np.frombuffer(row, np.uint8)
    events, found = hs.events_of(cells), {}
    for number in range(max(events - tk.RING, 0), events):
        record = hs.record_of(cells, number)
        if record[at.E_LABEL]:
            found[int(record[:8].view(np.int64)[0])] = int(record[at.E_LABEL]) & 3
    return found


def faults_in(rows: Rows, stream: Sequence[Arrival]) -> list[str]:
    """Return what is wrong with the histories of a stream's shops and cards."""
    payments = [arrival.event for arrival in stream if isinstance(arrival.event, Transaction)]
    last = {arrival.event.tx_id: arrival.event for arrival in stream if isinstance(arrival.event, KnownLabel)}
    faults = []
    for key, row in rows.items():
        mine = [tx for tx in payments if key in (card_key(tx.card), merchant_key(tx.merchant))]
        held = sequences(row)
        if hs.events_of(np.frombuffer(row, np.uint8)) != len(mine) or len(set(held)) != len(held):
            faults.append(f"{key}: lost or doubled an event")
        if not set(held) <= {hash64(tx.id) for tx in mine}:
            faults.append(f"{key}: holds a stranger")
        if code_faults(row):
            faults.append(f"{key}: wrong codes")
        said = {hash64(tx.id): last[tx.id].verdict is Verdict.FRAUD for tx in mine if tx.id in last}
        expected = {tx: 2 if fraud else 1 for tx, fraud in said.items() if tx in held}
        if verdicts_in(row) != expected:
            faults.append(f"{key}: wrong verdicts")
    return faults
