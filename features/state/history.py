"""What a network may read of an entity: its newest events one by one, older ones in summaries of ever more events.

A history row stands beside the entity row and is independent of it. Layout, 7,616 bytes::

    0     header        8 x i64     -, events absorbed (the sequence number of the next), spare
    64    ring         64 x 48 B    event records by order of absorption, slot = sequence % 64
    3136  ring codes    4 x 128 B   32 float32 of a closed block, slot = block % 4
    3648  fraud ring   16 x 48 B    newest known frauds by (time of payment, id)
    4416  pyramid   5 x 4 x 160 B   summaries, level by level, oldest first (S_* below), then a code of 32 float32

Blocks are 16 events by sequence. A block is closed when its last event is in: its code may be computed from there on.
It is pushed into the pyramid 32 events later. A level that is full gives its 4 summaries, merged to one, to the next;
the last level merges in place. The window (open block and the 2 newest closed ones, 32 to 47 events) is read raw.

Codes are opaque: components 0-15 merge by their count-weighted mean, 16-31 by their maximum. They speak of events only;
what is known of labels is counted beside them. A summary's counters hold the verdicts known on payments of its time:
after the last second of the summary before it, up to its own (the oldest takes all that is older, the newest all that
is younger). So a verdict, its correction and a merge meet in the same place, whatever was pushed between.
"""

import math

import numpy as np

from features.state import layout as at
from fraud.common.compiled import Floats, Ints, Row, Words, compiled, signed
from fraud.core.tokens import (
    BLOCK,
    CARD,
    CLOSED_IN_WINDOW,
    CODE,
    FRAUDS,
    LEVELS,
    LOG_SCALE,
    MEANS,
    RADIX,
    RING,
    SIDES,
)

HISTORY_VERSION = "1"
"""Part of every name under which rows are kept: rows of another layout are never met."""

H_EVENTS = 1
RING_AT, RECORD_BYTES = 64, 48
CODES_AT, RING_CODES, CODE_BYTES = 3_136, 4, 4 * CODE
FRAUDS_AT = 3_648
PYRAMID_AT, SUMMARY_BYTES = 4_416, 160
HISTORY_BYTES = PYRAMID_AT + LEVELS * RADIX * SUMMARY_BYTES
PUSH_AFTER = CLOSED_IN_WINDOW * BLOCK
"""Events between the closing of a block and its push: whoever takes more at once computes codes in between."""

# A record: tx, at, other, amount, labelled, mcc, flags, label, ratio and version as in `layout.E_*`, then these.
E_LABELS, E_FRAUDS, E_AGE, E_PAIR, E_TEXT = 40, 41, 42, 43, 44
RECORD_WORDS = RECORD_BYTES // 8

# A summary, u32 each. Times in seconds; logs are sums of log amounts in steps of 1/64; 0 is no fraud.
S_COUNT, S_KNOWN, S_FRAUDS, S_FIRST, S_LAST, S_FIRST_FRAUD, S_LAST_FRAUD, S_LOGS = range(8)
SUMMARY_WORDS = SUMMARY_BYTES // 4
U32_MAX = 4_294_967_295
MICROSECONDS = 1_000_000

# An event as the three rows take it in, int64. R_APPEND has a bit a side: add it where the ring does not hold it;
# R_CORRECTS is 1 when it replaces what the rings hold under its id.
(
    R_AT,
    R_AMOUNT,
    R_TX,
    R_CARD,
    R_MERCHANT,
    R_MCC,
    R_FLAGS,
    R_VERSION,
    R_RATIO,
    R_TEXT,
    R_CARD_LABELS,
    R_CARD_FRAUDS,
    R_CARD_AGE,
    R_MERCHANT_LABELS,
    R_MERCHANT_FRAUDS,
    R_MERCHANT_AGE,
    R_PAIR,
    R_APPEND,
    R_CORRECTS,
) = range(19)
EVENT_FIELDS = 19

# A verdict: the fields of `layout.L_*`, then what it knows of the payment.
V_AMOUNT, V_CARD, V_MERCHANT = range(at.LABEL_FIELDS, at.LABEL_FIELDS + 3)
VERDICT_FIELDS = at.LABEL_FIELDS + 3
UNUSUAL = 208
"""The ratio, in 1/256 of a log, that stands for 'unusual' where the payment itself is gone: 2.25 times the median."""


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
    begin = RING_AT + (sequence % RING) * RECORD_BYTES
    return row[begin : begin + RECORD_BYTES]


@compiled
def seconds(record: Row) -> int:
    """Return the time of a record in seconds."""
    return int(record[at.E_AT : at.E_AT + 8].view(np.int64)[0] // MICROSECONDS)


@compiled
def find(row: Row, tx: int) -> int:
    """Return the sequence number of the newest record of a transaction in the ring, or -1."""
    events, words = events_of(row), row[RING_AT:CODES_AT].view(np.int64)
    for sequence in range(events - 1, max(events - RING, 0) - 1, -1):
        if words[(sequence % RING) * RECORD_WORDS] == tx:
            return sequence
    return -1


# ---- records


@compiled
def write_record(record: Row, event: Ints, side: int) -> None:
    """Write an event into a record of 48 bytes, as the card, merchant or device (0, 1, 2) sees it; no verdict."""
    record[:] = 0
    words, small, half = record[:24].view(np.int64), record[24:28].view(np.uint32), record[32:40].view(np.uint16)
    words[0], words[1] = event[R_TX], event[R_AT]
    words[2] = event[R_MERCHANT] if side == CARD else event[R_CARD]
    small[0] = min(event[R_AMOUNT], U32_MAX)
    half[0] = event[R_MCC]
    record[at.E_FLAGS] = event[R_FLAGS]
    half[2] = np.uint16(event[R_RATIO] & 0xFFFF)
    half[3] = event[R_VERSION]
    first = R_MERCHANT_LABELS if side == CARD else R_CARD_LABELS
    for place in range(3):
        record[E_LABELS + place] = event[first + place]
    record[E_PAIR] = event[R_PAIR]
    record[E_TEXT : E_TEXT + 4].view(np.uint32)[0] = np.uint32(event[R_TEXT])


@compiled
def describe_other(head: Ints, when: int, out: Ints) -> None:
    """Fill `out`, 3 int64 below 256, with what an entity's header knows: labels, frauds, age (1/8 of log2 s)."""
    out[0] = min(max(head[at.H_LABELS], 0), 255)
    out[1] = min(max(head[at.H_FRAUDS], 0), 255)
    first = head[at.H_FIRST]
    age = max(when - first, 0) / 1e6 if first else 0.0
    out[2] = min(math.floor(math.log2(1.0 + age) * 8.0), 255)


@compiled
def absorb_event(row: Row, event: Ints, side: int) -> int:
    """Add an event to one row, or put its correction in its place; return the block that it closes, or -1."""
    if event[R_CORRECTS]:
        sequence = find(row, event[R_TX])
        if sequence >= 0:
            replace(record_of(row, sequence), event, side)
        replace_fraud(row, event, side)
        if sequence >= 0 or not (event[R_APPEND] >> side) & 1:
            return -1
    return append(row, event, side)


@compiled
def append(row: Row, event: Ints, side: int) -> int:
    """Add an event at the end; push the block that leaves the window; return the block that it closes, or -1."""
    head = row[:RING_AT].view(np.int64)
    sequence = head[H_EVENTS]
    write_record(record_of(row, sequence), event, side)
    head[H_EVENTS] = sequence + 1
    if (sequence + 1) % BLOCK:
        return -1
    closed = (sequence + 1) // BLOCK - 1
    if closed >= CLOSED_IN_WINDOW:
        push_block(row, closed - CLOSED_IN_WINDOW)
    return int(closed)


@compiled
def replace(record: Row, event: Ints, side: int) -> None:
    """Write a corrected event over a record; what is known of it stays."""
    label, given = record[at.E_LABEL], record[at.E_LABELLED : at.E_LABELLED + 4].view(np.uint32)[0]
    write_record(record, event, side)
    record[at.E_LABEL] = label
    record[at.E_LABELLED : at.E_LABELLED + 4].view(np.uint32)[0] = given


# ---- codes


@compiled
def put_code(row: Row, block: int, code: Floats) -> None:
    """Keep the code, float32 (32,), of a closed block until it is pushed; one that comes too late is dropped."""
    if block < events_of(row) // BLOCK - CLOSED_IN_WINDOW:
        return
    begin = CODES_AT + (block % RING_CODES) * CODE_BYTES
    row[begin : begin + CODE_BYTES].view(np.float32)[:] = code


# ---- pyramid


@compiled
def summaries(row: Row) -> Words:
    """Return the pyramid as u32 words, `SUMMARY_WORDS` a summary."""
    return row[PYRAMID_AT:].view(np.uint32)


@compiled
def held(words: Words, level: int) -> int:
    """Return how many summaries a level holds."""
    count = 0
    for slot in range(RADIX):
        count += words[(level * RADIX + slot) * SUMMARY_WORDS + S_COUNT] > 0
    return count


@compiled
def place_of(words: Words, paid: int) -> int:
    """Return the first word of the summary that covers a payment's second, -1 while there is none.

    It is the oldest whose last second is not before it, otherwise the newest.
    """
    newest = -1
    for level in range(LEVELS - 1, -1, -1):
        for slot in range(RADIX):
            begin = (level * RADIX + slot) * SUMMARY_WORDS
            if words[begin + S_COUNT] == 0:
                continue
            newest = begin
            if signed(words[begin + S_LAST]) >= paid:
                return begin
    return newest


@compiled
def count_verdict(words: Words, paid: int, known: int, frauds: int) -> None:
    """Add a verdict to the summary that covers its payment; negative numbers take a replaced one out."""
    begin = place_of(words, paid)
    if begin < 0:
        return
    words[begin + S_KNOWN] = max(signed(words[begin + S_KNOWN]) + known, 0)
    words[begin + S_FRAUDS] = max(signed(words[begin + S_FRAUDS]) + frauds, 0)
    if frauds > 0:
        first = signed(words[begin + S_FIRST_FRAUD])
        words[begin + S_FIRST_FRAUD] = min(first, paid) if first else paid
        words[begin + S_LAST_FRAUD] = max(signed(words[begin + S_LAST_FRAUD]), paid)
    elif words[begin + S_FRAUDS] == 0:
        words[begin + S_FIRST_FRAUD], words[begin + S_LAST_FRAUD] = 0, 0


@compiled
def newest_second(words: Words) -> int:
    """Return the last second that the pyramid covers, 0 while it is empty."""
    for level in range(LEVELS):
        for slot in range(RADIX - 1, -1, -1):
            begin = (level * RADIX + slot) * SUMMARY_WORDS
            if words[begin + S_COUNT]:
                return signed(words[begin + S_LAST])
    return 0


@compiled
def push_block(row: Row, block: int) -> None:
    """Put a block of the ring, with its code, into the pyramid; then count the verdicts that are known in it."""
    words = summaries(row)
    summary = np.zeros(SUMMARY_WORDS, np.uint32)
    last = newest_second(words)
    logs = 0
    for place in range(BLOCK):
        record = record_of(row, block * BLOCK + place)
        last = max(last, seconds(record))
        if place == 0:
            summary[S_FIRST] = last
        logs += fixed_log(record)
    summary[S_COUNT], summary[S_LAST], summary[S_LOGS] = BLOCK, last, (logs + BLOCK // 2) // BLOCK
    begin = CODES_AT + (block % RING_CODES) * CODE_BYTES
    summary[8:] = row[begin : begin + CODE_BYTES].view(np.uint32)
    row[begin : begin + CODE_BYTES] = 0
    insert_summary(words, summary)
    for place in range(BLOCK):
        record = record_of(row, block * BLOCK + place)
        if record[at.E_LABEL] & 3:
            count_verdict(words, seconds(record), 1, 1 if record[at.E_LABEL] & 3 == at.LABEL_FRAUD else 0)


@compiled
def fixed_log(record: Row) -> int:
    """Return a record's log amount in steps of 1/1024."""
    amount = signed(record[at.E_AMOUNT : at.E_AMOUNT + 4].view(np.uint32)[0])
    return math.floor(math.log(1.0 + amount) * LOG_SCALE + 0.5)


@compiled
def insert_summary(words: Words, summary: Words) -> None:
    """Append a summary to the lowest level, making room level by level."""
    top = 0
    while top < LEVELS - 1 and held(words, top) == RADIX:
        top += 1
    if held(words, top) == RADIX:
        merged = merge(words, top)
        clear_level(words, top)
        append_summary(words, top, merged)
    for level in range(top - 1, -1, -1):
        merged = merge(words, level)
        clear_level(words, level)
        append_summary(words, level + 1, merged)
    append_summary(words, 0, summary)


@compiled
def append_summary(words: Words, level: int, summary: Words) -> None:
    """Put a summary behind those of a level that has room."""
    begin = (level * RADIX + held(words, level)) * SUMMARY_WORDS
    words[begin : begin + SUMMARY_WORDS] = summary


@compiled
def clear_level(words: Words, level: int) -> None:
    """Empty a level."""
    words[level * RADIX * SUMMARY_WORDS : (level + 1) * RADIX * SUMMARY_WORDS] = 0


@compiled
def merge(words: Words, level: int) -> Words:
    """Return the 4 summaries of a full level as one."""
    merged = np.zeros(SUMMARY_WORDS, np.uint32)
    parts = words[level * RADIX * SUMMARY_WORDS : (level + 1) * RADIX * SUMMARY_WORDS].reshape(RADIX, SUMMARY_WORDS)
    count, known, frauds, logs, first_fraud, last_fraud = 0, 0, 0, 0, 0, 0
    for slot in range(RADIX):
        part = parts[slot]
        count += signed(part[S_COUNT])
        known += signed(part[S_KNOWN])
        frauds += signed(part[S_FRAUDS])
        logs += signed(part[S_LOGS])
        early = signed(part[S_FIRST_FRAUD])
        if early:
            first_fraud = min(first_fraud, early) if first_fraud else early
        last_fraud = max(last_fraud, signed(part[S_LAST_FRAUD]))
    merged[S_COUNT], merged[S_KNOWN], merged[S_FRAUDS] = min(count, U32_MAX), known, frauds
    merged[S_FIRST], merged[S_LAST] = parts[0, S_FIRST], parts[RADIX - 1, S_LAST]
    merged[S_FIRST_FRAUD], merged[S_LAST_FRAUD], merged[S_LOGS] = first_fraud, last_fraud, min(logs, U32_MAX)
    merge_codes(parts, count, merged[8:].view(np.float32))
    return merged


@compiled
def merge_codes(parts: Words, count: int, merged: Floats) -> None:
    """Merge the codes of 4 summaries: count-weighted mean (in double) of the first half, maximum of the second."""
    for component in range(CODE):
        total, most = 0.0, -np.inf
        for slot in range(RADIX):
            value = float(parts[slot, 8 + component : 9 + component].view(np.float32)[0])
            total += signed(parts[slot, S_COUNT]) * value
            most = max(most, value)
        merged[component] = total / count if component < MEANS else most


# ---- verdicts


@compiled
def apply_verdict(row: Row, verdict: Ints, side: int) -> None:
    """Add a verdict: to the ring's record, to the summary that covers the payment, to the ring of known frauds."""
    sequence = find(row, verdict[at.L_TX])
    record = np.zeros(RECORD_BYTES, np.uint8)
    if sequence >= 0:
        mark_record(record_of(row, sequence), verdict)
        record[:] = record_of(row, sequence)
    else:
        guess_record(record, verdict, side)
        mark_record(record, verdict)
    if sequence < window_start(events_of(row)):
        words, paid = summaries(row), verdict[at.L_PAID] // MICROSECONDS
        if verdict[at.L_REPLACES]:
            count_verdict(words, paid, -1, -verdict[at.L_OLD_FRAUD])
        count_verdict(words, paid, 1, verdict[at.L_FRAUD])
    remove_fraud(row, verdict[at.L_TX])
    if verdict[at.L_FRAUD]:
        insert_fraud(row, record)


@compiled
def mark_record(record: Row, verdict: Ints) -> None:
    """Note a verdict on a record."""
    record[at.E_LABELLED : at.E_LABELLED + 4].view(np.uint32)[0] = verdict[at.L_AT] // MICROSECONDS
    record[at.E_LABEL] = (at.LABEL_FRAUD if verdict[at.L_FRAUD] else at.LABEL_GENUINE) | (verdict[at.L_SOURCE] << 2)


@compiled
def guess_record(record: Row, verdict: Ints, side: int) -> None:
    """Write what a verdict knows of a payment that the ring has let go."""
    words, small = record[:24].view(np.int64), record[24:28].view(np.uint32)
    words[0], words[1] = verdict[at.L_TX], verdict[at.L_PAID]
    words[2] = verdict[V_MERCHANT] if side == CARD else verdict[V_CARD]
    small[0] = min(verdict[V_AMOUNT], U32_MAX)
    record[at.E_RATIO : at.E_RATIO + 2].view(np.uint16)[0] = UNUSUAL if verdict[at.L_UNUSUAL] else 0


@compiled
def sorts_before(one: Row, other: Row) -> bool:
    """Tell whether a record is older than another, by (time of payment, id)."""
    mine, theirs = one[:16].view(np.int64), other[:16].view(np.int64)
    return mine[1] < theirs[1] or (mine[1] == theirs[1] and bool(np.uint64(mine[0]) < np.uint64(theirs[0])))


@compiled
def fraud_of(row: Row, slot: int) -> Row:
    """Return a record of the fraud ring; slot 0 is the oldest, an empty one has no time."""
    return row[FRAUDS_AT + slot * RECORD_BYTES : FRAUDS_AT + (slot + 1) * RECORD_BYTES]


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
    if not sorts_before(fraud_of(row, 0), record):
        return
    slot = 0
    while slot + 1 < FRAUDS and sorts_before(fraud_of(row, slot + 1), record):
        fraud_of(row, slot)[:] = fraud_of(row, slot + 1)
        slot += 1
    fraud_of(row, slot)[:] = record


@compiled
def replace_fraud(row: Row, event: Ints, side: int) -> None:
    """Put a corrected payment in the place of what the fraud ring holds under its id."""
    slot = find_fraud(row, event[R_TX])
    if slot < 0:
        return
    record = fraud_of(row, slot).copy()
    replace(record, event, side)
    remove_fraud(row, event[R_TX])
    insert_fraud(row, record)


# ---- three rows at once


@compiled
def describe(entities: Row, pairs: Row, rows: Ints, change: Ints, event: Ints) -> None:
    """Fill an event from its change and from what the rows at hand know before it; text and relation are left.

    `rows` as in `reading.look`.
    """
    event[:] = 0
    event[R_AT], event[R_AMOUNT], event[R_TX] = change[at.C_AT], change[at.C_AMOUNT], change[at.C_TX]
    event[R_CARD], event[R_MERCHANT] = change[at.C_CARD], change[at.C_MERCHANT]
    event[R_MCC], event[R_FLAGS], event[R_VERSION] = change[at.C_MCC], change[at.C_FLAGS], change[at.C_VERSION]
    for side, first in ((0, R_CARD_LABELS), (1, R_MERCHANT_LABELS)):
        head = entities[rows[side]][: at.BUCKETS_AT].view(np.int64)
        describe_other(head, change[at.C_AT], event[first : first + 3])
    event[R_PAIR] = min(max(pairs[rows[3]][: at.PAIR_BUCKETS_AT].view(np.int64)[at.P_COUNT], 0), 255)


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
