"""What a network may read of an entity: its newest events one by one, older ones in summaries of ever more events.

A history row stands beside the entity row and is independent of it. Layout, 7,616 bytes::

    0     header        8 x i64     -, events absorbed (the sequence number of the next), spare
    64    ring         64 x 48 B    event records (`events.py`) by order of absorption, slot = sequence % 64
    3136  ring codes    4 x 128 B   32 float32 of a closed block, slot = block % 4
    3648  fraud ring   16 x 48 B    records of the newest known frauds by (time of payment, id)
    4416  pyramid   5 x 4 x 160 B   summaries (`pyramid.py`), level by level, oldest first

Blocks are 16 events by sequence. A block is closed when its last event is in: its code may be computed from there on
(`blocks.py`). It is pushed into the pyramid 32 events later. The window (open block and the 2 newest closed ones, 32 to
47 events) is read raw.
"""

import math

import numpy as np

from features.state import events as ev
from features.state import layout as at
from features.state import pyramid
from fraud.common.compiled import Ints, Row, Words, compiled
from fraud.core.tokens import BLOCK, CLOSED_IN_WINDOW, CODE, FRAUDS, RING, SIDES

HISTORY_VERSION = "1"
"""Part of every name under which rows are kept: rows of another layout are never met."""

H_EVENTS = 1
RING_AT = 64
CODES_AT, RING_CODES, CODE_BYTES = 3_136, 4, 4 * CODE
FRAUDS_AT = 3_648
PYRAMID_AT = 4_416
HISTORY_BYTES = PYRAMID_AT + pyramid.PYRAMID_BYTES
PUSH_AFTER = CLOSED_IN_WINDOW * BLOCK
"""Events between the closing of a block and its push: whoever takes more at once computes codes in between."""


@compiled
def events_of(row: Row) -> int:
    """Return how many events a row has absorbed."""
    return int(row[:RING_AT].view(np.int64)[H_EVENTS])


@compiled
def window_start(events: int) -> int:
    """Return the sequence number of the oldest event that is read raw."""
    return max(events // BLOCK - CLOSED_IN_WINDOW, 0) * BLOCK


@compiled
def window_size(events: int) -> int:
    """Return how many events are read raw."""
    return events - window_start(events)


@compiled
def record_of(row: Row, sequence: int) -> Row:
    """Return the record of an event that the ring holds."""
    begin = RING_AT + (sequence % RING) * ev.RECORD_BYTES
    return row[begin : begin + ev.RECORD_BYTES]


@compiled
def find(row: Row, tx: int) -> int:
    """Return the sequence number of the newest record of a transaction in the ring, or -1."""
    events, words = events_of(row), row[RING_AT:CODES_AT].view(np.int64)
    for sequence in range(events - 1, max(events - RING, 0) - 1, -1):
        if words[(sequence % RING) * ev.RECORD_WORDS] == tx:
            return sequence
    return -1


@compiled
def summaries(row: Row) -> Words:
    """Return the pyramid as u32 words, `pyramid.SUMMARY_WORDS` a summary."""
    return row[PYRAMID_AT:].view(np.uint32)


# ---- events


@compiled
def absorb_event(row: Row, event: Ints, side: int) -> int:
    """Add an event to one row, or put its correction in its place; return the block that it closes, or -1."""
    if event[ev.R_CORRECTS]:
        sequence = find(row, event[ev.R_TX])
        if sequence >= 0:
            ev.replace(record_of(row, sequence), event, side)
        replace_fraud(row, event, side)
        if sequence >= 0 or not (event[ev.R_APPEND] >> side) & 1:
            return -1
    return append(row, event, side)


@compiled
def append(row: Row, event: Ints, side: int) -> int:
    """Add an event at the end; push the block that leaves the window; return the block that it closes, or -1."""
    head = row[:RING_AT].view(np.int64)
    sequence = head[H_EVENTS]
    ev.write_record(record_of(row, sequence), event, side)
    head[H_EVENTS] = sequence + 1
    if (sequence + 1) % BLOCK:
        return -1
    closed = (sequence + 1) // BLOCK - 1
    if closed >= CLOSED_IN_WINDOW:
        push_block(row, closed - CLOSED_IN_WINDOW)
    return int(closed)


@compiled
def push_block(row: Row, block: int) -> None:
    """Put a block of the ring, with its code, into the pyramid; then count the verdicts that are known in it."""
    words = summaries(row)
    summary = np.zeros(pyramid.SUMMARY_WORDS, np.uint32)
    last = pyramid.newest_second(words)
    logs = 0
    for place in range(BLOCK):
        record = record_of(row, block * BLOCK + place)
        last = max(last, ev.seconds(record))
        if place == 0:
            summary[pyramid.S_FIRST] = last
        logs += ev.fixed_log(record)
    summary[pyramid.S_COUNT], summary[pyramid.S_LAST] = BLOCK, last
    summary[pyramid.S_LOGS] = (logs + BLOCK // 2) // BLOCK
    begin = CODES_AT + (block % RING_CODES) * CODE_BYTES
    summary[pyramid.COUNTERS :] = row[begin : begin + CODE_BYTES].view(np.uint32)
    row[begin : begin + CODE_BYTES] = 0
    pyramid.insert_summary(words, summary)
    for place in range(BLOCK):
        record = record_of(row, block * BLOCK + place)
        if record[at.E_LABEL] & 3:
            pyramid.count_verdict(words, ev.seconds(record), 1, 1 if record[at.E_LABEL] & 3 == at.LABEL_FRAUD else 0)


# ---- verdicts


@compiled
def apply_verdict(row: Row, verdict: Ints, side: int) -> None:
    """Add a verdict, or take one out: ring's record, summary that covers the payment, ring of known frauds."""
    sequence = find(row, verdict[at.L_TX])
    record = np.zeros(ev.RECORD_BYTES, np.uint8)
    if sequence >= 0:
        ev.mark_record(record_of(row, sequence), verdict)
        record[:] = record_of(row, sequence)
    else:
        ev.guess_record(record, verdict, side)
        ev.mark_record(record, verdict)
    if sequence < window_start(events_of(row)):
        words, paid = summaries(row), verdict[at.L_PAID] // ev.MICROSECONDS
        if verdict[at.L_REPLACES]:
            pyramid.count_verdict(words, paid, -1, -verdict[at.L_OLD_FRAUD])
        if verdict[at.L_FRAUD] != at.SAID_NOTHING:
            pyramid.count_verdict(words, paid, 1, verdict[at.L_FRAUD])
    remove_fraud(row, verdict[at.L_TX])
    if verdict[at.L_FRAUD] == at.SAID_FRAUD:
        insert_fraud(row, record)


@compiled
def fraud_of(row: Row, slot: int) -> Row:
    """Return a record of the fraud ring; slot 0 is the oldest, an empty one has no time."""
    return row[FRAUDS_AT + slot * ev.RECORD_BYTES : FRAUDS_AT + (slot + 1) * ev.RECORD_BYTES]


@compiled
def find_fraud(row: Row, tx: int) -> int:
    """Return the slot of the fraud ring that holds a transaction, or -1."""
    for slot in range(FRAUDS):
        words = fraud_of(row, slot)[:16].view(np.int64)
        if words[0] == tx and words[1] != 0:
            return slot
    return -1


@compiled
def remove_fraud(row: Row, tx: int) -> None:
    """Take a transaction out of the fraud ring, if it is there; the older ones move up."""
    slot = find_fraud(row, tx)
    if slot < 0:
        return
    for index in range(slot, 0, -1):
        fraud_of(row, index)[:] = fraud_of(row, index - 1)
    fraud_of(row, 0)[:] = 0


@compiled
def insert_fraud(row: Row, record: Row) -> None:
    """Insert a record into the fraud ring; when it is full the oldest leaves."""
    if not ev.sorts_before(fraud_of(row, 0), record):
        return
    slot = 0
    while slot + 1 < FRAUDS and ev.sorts_before(fraud_of(row, slot + 1), record):
        fraud_of(row, slot)[:] = fraud_of(row, slot + 1)
        slot += 1
    fraud_of(row, slot)[:] = record


@compiled
def replace_fraud(row: Row, event: Ints, side: int) -> None:
    """Put a corrected payment in the place of what the fraud ring holds under its id."""
    slot = find_fraud(row, event[ev.R_TX])
    if slot < 0:
        return
    record = fraud_of(row, slot).copy()
    ev.replace(record, event, side)
    remove_fraud(row, event[ev.R_TX])
    insert_fraud(row, record)


# ---- three rows at once


@compiled
def describe(entities: Row, pairs: Row, rows: Ints, change: Ints, event: Ints) -> None:
    """Fill an event from its change and from what the rows at hand know before it; text and relation are left.

    `rows` as in `vector.look`.
    """
    event[:] = 0
    event[ev.R_AT], event[ev.R_AMOUNT], event[ev.R_TX] = change[at.C_AT], change[at.C_AMOUNT], change[at.C_TX]
    event[ev.R_CARD], event[ev.R_MERCHANT] = change[at.C_CARD], change[at.C_MERCHANT]
    event[ev.R_MCC], event[ev.R_FLAGS], event[ev.R_VERSION] = change[at.C_MCC], change[at.C_FLAGS], change[at.C_VERSION]
    for side, first in ((0, ev.R_CARD_LABELS), (1, ev.R_MERCHANT_LABELS)):
        head = entities[rows[side]][: at.BUCKETS_AT].view(np.int64)
        describe_other(head, change[at.C_AT], event[first : first + 3])
    event[ev.R_PAIR] = min(max(pairs[rows[3]][: at.PAIR_BUCKETS_AT].view(np.int64)[at.P_COUNT], 0), 255)


@compiled
def describe_other(head: Ints, when: int, out: Ints) -> None:
    """Fill `out`, 3 int64 below 256, with what an entity's header knows: labels, frauds, age (1/8 of log2 s)."""
    out[0] = min(max(head[at.H_LABELS], 0), 255)
    out[1] = min(max(head[at.H_FRAUDS], 0), 255)
    first = head[at.H_FIRST]
    age = max(when - first, 0) / 1e6 if first else 0.0
    out[2] = min(math.floor(math.log2(1.0 + age) * 8.0), 255)


@compiled
def absorb_sides(histories: Row, rows: Ints, event: Ints, mask: int, closed: Ints) -> None:
    """Add an event to the rows in `mask` (card 1, merchant 2, device 4); note the block that each closes, or -1."""
    for side in range(SIDES):
        closed[side] = -1
        if rows[side] > 0 and (mask >> side) & 1:
            closed[side] = absorb_event(histories[rows[side]], event, side)


@compiled
def apply_sides(histories: Row, rows: Ints, verdict: Ints, mask: int) -> None:
    """Add a verdict to the rows in `mask`."""
    for side in range(SIDES):
        if rows[side] > 0 and (mask >> side) & 1:
            apply_verdict(histories[rows[side]], verdict, side)
