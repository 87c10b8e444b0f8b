"""The streaming form of hierarchical attention: what is kept of one entity, in constant work an event.

A row holds the newest 64 events one by one, at most 20 summaries of everything older with exact counts of verdicts
beside codes that no verdict changes, and the newest 16 known frauds. Compiled loops append an event, push and merge
blocks, take a verdict or its correction, and read what a query sees. `models/attention.py` knows what codes mean.

What a query reads, whichever form made it (columns that are not named stay 0):
    raw  (64, 32): the newest 32..47 events, newest first, then from row 48 known frauds that are older.
         0..19 static; 20 log1p(age s) / 15; 21 age in 30 days, at most 12; 22 verdict known; 23 fraud; 24 by silence;
         25 log1p(label age s) / 15; 27 log amount minus the query's; 28 from the ring of frauds; 30 log1p(n - seq) / 8
    sums (20, 48): summaries of all older events, newest first.
         0 present; 1 level / 4; 2 log1p(count) / 10; 3 log1p(known) / 10; 4 log1p(frauds) / 5; 5 frauds / known;
         6, 7 log1p(age of last, of first) / 15; 8 age of last in 30 days, at most 12; 9 has fraud;
         10, 11 log1p(age of last, of first fraud) / 15; 12 mean log amount / 10; 14 log1p(n) / 10; 16..47 code
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraud.common.compiled import compiled

F32 = NDArray[np.float32]
U32 = NDArray[np.uint32]
Row = Any
"""One record of a table of ROW: compiled loops take its fields as attributes."""
Rows = NDArray[np.void]

BLOCK = 16
"""Events in a block."""
STATIC = 20
"""Numbers of an event that never change: 0 says that it is there, 1 is a tenth of the log amount; none is a label."""
CODE = 32
"""Numbers of a code; merged codes take the count-weighted mean of the first half, the maximum of the second."""
RADIX, LEVELS = 4, 5
"""Summaries a level holds, and levels: one of level `l` covers 16 x 4^l events."""
SUMMARIES = RADIX * LEVELS
RING, WINDOW, FRAUDS = 64, 48, 16
"""Events held one by one, of them read at most, and known frauds held."""
RAW, SUM = 32, 16
"""Columns of an event and of a summary (its code not counted) as a query reads them."""
VERDICT, GENUINE, FRAUD, SILENCE = 3, 1, 2, 2
"""A label is a byte: verdict in the two lowest bits (0 unknown), its source above them."""
COUNT, KNOWN, BAD, FIRST, LAST, FIRST_FRAUD, LAST_FRAUD, AMOUNTS = range(8)
"""Integers of a summary: events, verdicts, frauds, times in s, and log amounts in units of 1 / 256."""
MONTH = 30 * 86_400.0

ROW = np.dtype([
    ("n", "i8"), ("frauds", "i8"), ("held", "i8", LEVELS),  # events absorbed; known frauds held; summaries a level
    ("tx", "i8", RING), ("at", "u4", RING), ("labelled", "u4", RING), ("label", "u1", RING),
    ("static", "f4", (RING, STATIC)),  # the newest 64 events, at slot = sequence % 64
    ("sums", "u4", (SUMMARIES, 8)), ("codes", "f4", (SUMMARIES, CODE)),  # level l at slots 4 l ..., oldest first
    ("waiting", "f4", (RADIX, CODE)),  # codes of closed blocks that are still read one by one, at block % 4
    ("fraud_tx", "i8", FRAUDS), ("fraud_seq", "i8", FRAUDS), ("fraud_at", "u4", FRAUDS),  # by time, then tx
    ("fraud_labelled", "u4", FRAUDS), ("fraud_label", "u1", FRAUDS), ("fraud_static", "f4", (FRAUDS, STATIC)),
], align=True)  # fmt: skip
"""All that is kept of one entity; times in whole seconds."""


@compiled
def first_in_window(n: int) -> int:
    """Return the sequence number of the oldest event that is read by itself: open block and 2 newest closed ones."""
    return max(0, n // BLOCK - 2) * BLOCK


@compiled
def copy(values: F32, into: F32) -> None:
    """Write values to the front of `into`."""
    for i in range(len(values)):
        into[i] = values[i]


@compiled
def absorb(table: Rows, who: int, tx: int, at: int, static: F32) -> bool:
    """Append an event, static (20,), to the row; return whether it closed a block, whose code must then be stored."""
    row = table[who]
    slot = row.n % RING
    row.tx[slot], row.at[slot], row.labelled[slot], row.label[slot] = tx, at, 0, 0
    copy(static, row.static[slot])
    row.n += 1
    if row.n % BLOCK == 0 and row.n >= 3 * BLOCK:
        push(row, row.n - 3 * BLOCK)
    return bool(row.n % BLOCK == 0)


@compiled
def newest_block(table: Rows, who: int, out: F32) -> None:
    """Copy the events of the block that just closed into `out` (16, 20), oldest first."""
    row = table[who]
    for i in range(BLOCK):
        copy(row.static[(row.n - BLOCK + i) % RING], out[i])


@compiled
def store_code(table: Rows, who: int, code: F32) -> None:
    """Keep the code (32,) of the block that just closed, until it is pushed."""
    row = table[who]
    copy(code, row.waiting[(row.n // BLOCK - 1) % RADIX])


@compiled
def push(row: Row, seq: int) -> None:
    """Make the block that starts at event `seq` the newest summary, and count the verdicts of its events."""
    before = row.sums[row.held[0] - 1, LAST] if row.held[0] else np.uint32(0)
    make_room(row)
    slot = row.held[0]
    row.held[0] += 1
    copy(row.waiting[seq // BLOCK % RADIX], row.codes[slot])
    fresh = row.sums[slot]
    for field in range(8):
        fresh[field] = 0
    fresh[COUNT] = BLOCK
    # ranges share no second, so that a verdict's place is the same whenever it is looked for
    fresh[FIRST] = max(row.at[seq % RING], before + 1)
    fresh[LAST] = fresh[FIRST]
    for i in range(seq, seq + BLOCK):
        fresh[LAST] = max(fresh[LAST], row.at[i % RING])
        fresh[AMOUNTS] += fixed_amount(row.static[i % RING, 1])
    for i in range(seq, seq + BLOCK):
        count(row, row.at[i % RING], row.label[i % RING], 1)


@compiled
def fixed_amount(scaled: float) -> int:
    """Return a log amount, given as a tenth of it, in units of 1 / 256."""
    return int(max(0.0, np.rint(np.float64(scaled) * 2560)))


@compiled
def make_room(row: Row) -> None:
    """Merge full levels upwards until the lowest has room for one more."""
    level = 0
    while level < LEVELS and row.held[level] == RADIX:
        level += 1
    if level == LEVELS:
        level -= 1
        merge(row, level, level * RADIX)
        row.held[level] = 1
    for lower in range(level - 1, -1, -1):
        merge(row, lower, (lower + 1) * RADIX + row.held[lower + 1])
        row.held[lower + 1] += 1
        row.held[lower] = 0


@compiled
def merge(row: Row, level: int, slot: int) -> None:
    """Write the four summaries of a level as one to `slot`, which may be the first of them."""
    oldest = level * RADIX
    for c in range(CODE):
        row.codes[slot, c] = merged_code(row.sums, row.codes, oldest, c)
    into = row.sums[slot]
    for field in range(8):
        into[field] = row.sums[oldest, field]
    for part in range(oldest + 1, oldest + RADIX):
        for field in (COUNT, KNOWN, BAD, AMOUNTS):
            into[field] += row.sums[part, field]
        into[LAST] = row.sums[part, LAST]
        merge_frauds(into, row.sums[part, FIRST_FRAUD], row.sums[part, LAST_FRAUD])


@compiled
def merged_code(sums: U32, codes: F32, oldest: int, c: int) -> float:
    """Return component `c` of the code of four summaries from slot `oldest`: mean by count, or maximum."""
    total, events, most = 0.0, 0.0, np.float64(codes[oldest, c])
    for i in range(oldest, oldest + RADIX):
        total += np.float64(codes[i, c]) * sums[i, COUNT]
        events += sums[i, COUNT]
        most = max(most, np.float64(codes[i, c]))
    return total / events if c < CODE // 2 else most


@compiled
def merge_frauds(into: U32, first: int, last: int) -> None:
    """Widen a summary's span of frauds by another; zeros mean none."""
    if last > 0:
        into[FIRST_FRAUD] = min(into[FIRST_FRAUD], first) if into[LAST_FRAUD] > 0 else first
        into[LAST_FRAUD] = max(into[LAST_FRAUD], last)


@compiled
def place_of(row: Row, at: int) -> int:
    """Return the slot of the newest summary that starts at or before `at`, else of the oldest; -1 without any."""
    slot = -1
    for level in range(LEVELS):
        for i in range(row.held[level] - 1, -1, -1):
            slot = level * RADIX + i
            if row.sums[slot, FIRST] <= at:
                return slot
    return slot


@compiled
def count(row: Row, at: int, label: int, step: int) -> None:
    """Add a verdict on a payment of time `at` to the summary of that time, or take it out (`step` -1).

    The span of frauds is never narrowed: it is read only while the summary holds a fraud.
    """
    slot, verdict = place_of(row, at), label & VERDICT
    if slot < 0 or verdict == 0:
        return
    row.sums[slot, KNOWN] += step
    if verdict == FRAUD:
        row.sums[slot, BAD] += step
        if step > 0:
            merge_frauds(row.sums[slot], at, at)


@compiled
def learn(table: Rows, who: int, tx: int, paid_at: int, label: int, at: int, replaced: int, carried: F32) -> None:
    """Take a verdict, given at `at`, on the payment `tx` of time `paid_at`; `replaced` is the label it corrects, or 0.

    `carried`, static (20,), is what the verdict knows of the payment: used when the ring has let go of it.
    """
    row = table[who]
    seq = find(row, tx)
    static = carried
    if seq >= 0:
        slot = seq % RING
        replaced = row.label[slot]
        row.label[slot], row.labelled[slot] = label, at
        static = row.static[slot]
    if seq < first_in_window(row.n):
        count(row, paid_at, replaced, -1)
        count(row, paid_at, label, 1)
    if label & VERDICT == FRAUD:
        remember(row, tx, seq, paid_at, label, at, static)
    else:
        forget(row, tx)


@compiled
def find(row: Row, tx: int) -> int:
    """Return the sequence number of a payment that the ring still holds, else -1."""
    for seq in range(row.n - 1, max(0, row.n - RING) - 1, -1):
        if row.tx[seq % RING] == tx:
            return seq
    return -1


@compiled
def remember(row: Row, tx: int, seq: int, paid_at: int, label: int, at: int, static: F32) -> None:
    """Put a known fraud among the 16 newest; one that is there already keeps its record and takes the new label."""
    i = fraud_slot(row, tx)
    if i < 0:
        i = room_for(row, paid_at, tx)
        if i < 0:
            return
        row.fraud_tx[i], row.fraud_seq[i], row.fraud_at[i] = tx, seq, paid_at
        copy(static, row.fraud_static[i])
    row.fraud_label[i], row.fraud_labelled[i] = label, at


@compiled
def fraud_slot(row: Row, tx: int) -> int:
    """Return where a known fraud is held, else -1."""
    for i in range(row.frauds):
        if row.fraud_tx[i] == tx:
            return i
    return -1


@compiled
def room_for(row: Row, paid_at: int, tx: int) -> int:
    """Free the slot of a new fraud in the order of time, the oldest going if all are taken; -1 if it is older still."""
    i = int(row.frauds)
    while i > 0 and (row.fraud_at[i - 1] > paid_at or (row.fraud_at[i - 1] == paid_at and row.fraud_tx[i - 1] > tx)):
        i -= 1
    if row.frauds < FRAUDS:
        for j in range(row.frauds, i, -1):
            move_fraud(row, j - 1, j)
        row.frauds += 1
        return i
    for j in range(i - 1):
        move_fraud(row, j + 1, j)
    return i - 1


@compiled
def forget(row: Row, tx: int) -> None:
    """Take a payment out of the known frauds, if it is there."""
    i = fraud_slot(row, tx)
    if i < 0:
        return
    row.frauds -= 1
    for j in range(i, row.frauds):
        move_fraud(row, j + 1, j)


@compiled
def move_fraud(row: Row, a: int, b: int) -> None:
    """Copy the known fraud at slot `a` to slot `b`."""
    row.fraud_tx[b], row.fraud_seq[b], row.fraud_at[b] = row.fraud_tx[a], row.fraud_seq[a], row.fraud_at[a]
    row.fraud_label[b], row.fraud_labelled[b] = row.fraud_label[a], row.fraud_labelled[a]
    copy(row.fraud_static[a], row.fraud_static[b])


@compiled
def read(table: Rows, who: int, now: int, query: F32, raw: F32, sums: F32) -> None:
    """Write what a query, static (20,), sees at `now` into raw (64, 32) and sums (20, 48)."""
    row = table[who]
    raw[:] = 0
    sums[:] = 0
    oldest = first_in_window(row.n)
    for i in range(row.n - oldest):
        seq = row.n - 1 - i
        slot = seq % RING
        copy(row.static[slot], raw[i])
        write_event(raw[i], now, query, row.at[slot], row.label[slot], row.labelled[slot])
        raw[i, 30] = np.log1p(row.n - seq) / 8
    read_frauds(row, now, query, oldest, raw[WINDOW:])
    i = 0
    for level in range(LEVELS):
        for slot in range(level * RADIX + row.held[level] - 1, level * RADIX - 1, -1):
            write_summary(sums[i], now, level, row.sums[slot], row.n)
            copy(row.codes[slot], sums[i, SUM:])
            i += 1


@compiled
def read_frauds(row: Row, now: int, query: F32, oldest: int, raw: F32) -> None:
    """Write the known frauds from before event `oldest`, newest first, into raw (16, 32)."""
    out = 0
    for i in range(row.frauds - 1, -1, -1):
        if row.fraud_seq[i] < oldest:
            copy(row.fraud_static[i], raw[out])
            write_event(raw[out], now, query, row.fraud_at[i], row.fraud_label[i], row.fraud_labelled[i])
            raw[out, 28] = 1
            raw[out, 30] = np.log1p(row.n - row.fraud_seq[i]) / 8 if row.fraud_seq[i] >= 0 else 0
            out += 1


@compiled
def log_age(now: int, at: int) -> float:
    """Return log1p of the seconds since `at`, scaled as tokens carry it."""
    return float(np.log1p(float(max(0, now - at)))) / 15


@compiled
def months(now: int, at: int) -> float:
    """Return the time since `at` in units of 30 days, at most 12."""
    return min(max(0, now - at) / MONTH, 12.0)


@compiled
def write_event(out: F32, now: int, query: F32, at: int, label: int, labelled: int) -> None:
    """Write what changes with time of an event whose static columns are in `out` (32,) already."""
    out[20], out[21] = log_age(now, at), months(now, at)
    out[27] = (out[1] - query[1]) * 10
    if label & VERDICT:
        out[22] = 1
        out[23] = label & VERDICT == FRAUD
        out[24] = label >> 2 == SILENCE
        out[25] = log_age(now, labelled)


@compiled
def write_summary(out: F32, now: int, level: int, of: Row, n: int) -> None:
    """Write a summary's counters `of` (8,) into the first 16 columns of `out`."""
    out[0], out[1] = 1, level / 4
    out[2], out[3], out[4] = np.log1p(of[COUNT]) / 10, np.log1p(of[KNOWN]) / 10, np.log1p(of[BAD]) / 5
    out[6], out[7], out[8] = log_age(now, of[LAST]), log_age(now, of[FIRST]), months(now, of[LAST])
    if of[BAD]:
        out[5], out[9] = of[BAD] / of[KNOWN], 1
        out[10], out[11] = log_age(now, of[LAST_FRAUD]), log_age(now, of[FIRST_FRAUD])
    out[12] = of[AMOUNTS] / (of[COUNT] * 2560)
    out[14] = np.log1p(n) / 10
