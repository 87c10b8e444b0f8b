"""Event-time windows and counters over state rows: update them, read them, take an event out again.

Compiled with numba; every function works on one row (a uint8 vector of `layout.ENTITY_BYTES` or
`layout.PAIR_BYTES`), so that the embedded store and the working set of a shared store run the same code. The Redis
functions repeat `absorb` in Lua and a property test holds the two to the same bytes.
"""

import math

import numpy as np

from features.state import layout as at
from features.state.layout import BIN_FIRST, BIN_WIDTH, LOG_SCALE
from fraud.common.compiled import Ints, Row, Words, compiled, signed

LEVEL_TABLE = at.LEVEL_TABLE
RISK_TABLE = at.RISK_TABLE
PAIR_TABLE = at.PAIR_TABLE
U32_MAX = 4_294_967_295
REGISTERS = 32


@compiled
def prepare(change: Ints) -> None:
    """Fill in the derived fields of a change: fixed-point log amount and histogram bin."""
    log = math.log(1.0 + change[at.C_AMOUNT])
    change[at.C_LOG] = math.floor(log * LOG_SCALE + 0.5)
    change[at.C_BIN] = min(max(math.floor((log - BIN_FIRST) / BIN_WIDTH), 0), at.AMOUNT_BINS - 1)


@compiled
def register_of(other: int) -> tuple[int, int]:
    """Return (register, rank) of a counterparty's hash for the distinct counter (HyperLogLog, 32 registers)."""
    bits = np.uint64(other)
    register = signed(bits & np.uint64(REGISTERS - 1))
    rest = bits >> np.uint64(5)
    rank = 1
    while rank < 15 and (rest & np.uint64(1)) == np.uint64(0):
        rank += 1
        rest >>= np.uint64(1)
    return register, rank


@compiled
def absorb_header(row: Row, change: Ints) -> None:
    """Add a change to the header: first and last time, count, sum."""
    head = row[: at.BUCKETS_AT].view(np.int64)
    when, sign = change[at.C_AT], change[at.C_SIGN]
    if sign > 0:
        head[at.H_FIRST] = when if head[at.H_FIRST] == 0 else min(head[at.H_FIRST], when)
        head[at.H_LAST] = max(head[at.H_LAST], when)
    head[at.H_COUNT] += sign
    head[at.H_SUM] += sign * change[at.C_AMOUNT]


@compiled
def absorb_buckets(row: Row, change: Ints, other: int) -> None:
    """Add a change to its bucket on every level; an event older than what a slot holds is outside its window."""
    register, rank = register_of(other)
    for level in range(LEVEL_TABLE.shape[0]):
        width, slots, first = LEVEL_TABLE[level, 0], LEVEL_TABLE[level, 2], LEVEL_TABLE[level, 3]
        epoch = change[at.C_AT] // width
        begin = at.BUCKETS_AT + (first + epoch % slots) * at.BUCKET_BYTES
        cell = row[begin : begin + at.BUCKET_BYTES]
        held = signed(cell[24:28].view(np.uint32)[0])
        if held > epoch:
            continue
        if held < epoch:
            cell[:] = 0
        add_to_bucket(cell, epoch, change, register, rank)


@compiled
def add_to_bucket(cell: Row, epoch: int, change: Ints, register: int, rank: int) -> None:
    """Add a change to one bucket of 56 bytes. Maximum and registers only grow; a retraction leaves them."""
    sign, log = change[at.C_SIGN], change[at.C_LOG]
    sums = cell[:24].view(np.int64)
    sums[0] += sign * change[at.C_AMOUNT]
    sums[1] += sign * log
    sums[2] += sign * log * log
    small = cell[24:40].view(np.uint32)
    small[0] = epoch
    small[1] = max(signed(small[1]) + signed(sign), 0)
    if sign < 0:
        return
    small[2] = max(signed(small[2]), min(change[at.C_AMOUNT], U32_MAX))
    byte, shift = 40 + register // 2, 4 * (register % 2)
    if (cell[byte] >> shift) & 15 < rank:
        cell[byte] = (cell[byte] & (0xF0 >> shift)) | (rank << shift)


@compiled
def absorb_amount(row: Row, change: Ints) -> None:
    """Add a change to the histogram of log amounts, from which median and spread are read."""
    bins = row[at.AMOUNTS_AT : at.VERDICTS_AT].view(np.uint32)
    bins[change[at.C_BIN]] = max(signed(bins[change[at.C_BIN]]) + signed(change[at.C_SIGN]), 0)


@compiled
def absorb_entity(row: Row, change: Ints, other: int) -> None:
    """Add a counted payment to an entity's header, windows and amounts."""
    absorb_header(row, change)
    absorb_buckets(row, change, other)
    absorb_amount(row, change)


@compiled
def absorb_pair(row: Row, change: Ints) -> None:
    """Add a counted payment to a pair's header and windows."""
    head = row[: at.PAIR_BUCKETS_AT].view(np.int64)
    when, sign = change[at.C_AT], change[at.C_SIGN]
    if sign > 0:
        head[at.P_FIRST] = when if head[at.P_FIRST] == 0 else min(head[at.P_FIRST], when)
        head[at.P_LAST] = max(head[at.P_LAST], when)
    head[at.P_COUNT] += sign
    head[at.P_SUM] += sign * change[at.C_AMOUNT]
    cells = row[at.PAIR_BUCKETS_AT :].view(np.uint32)
    for level in range(PAIR_TABLE.shape[0]):
        epoch = when // PAIR_TABLE[level, 0]
        cell = 3 * (PAIR_TABLE[level, 3] + epoch % PAIR_TABLE[level, 2])
        if signed(cells[cell]) > epoch:
            continue
        if signed(cells[cell]) < epoch:
            cells[cell + 1], cells[cell + 2] = 0, 0
        cells[cell] = epoch
        cells[cell + 1] = max(signed(cells[cell + 1]) + sign, 0)
        cells[cell + 2] = min(max(signed(cells[cell + 2]) + sign * change[at.C_AMOUNT], 0), U32_MAX)


@compiled
def absorb_risk(row: Row, when: int, labels: int, frauds: int) -> None:
    """Add to the label buckets at the time a verdict was given (negative numbers take a replaced one out)."""
    cells = row[at.RISK_AT : at.AMOUNTS_AT].view(np.uint32)
    for level in range(RISK_TABLE.shape[0]):
        epoch = when // RISK_TABLE[level, 0]
        cell = 3 * (RISK_TABLE[level, 3] + epoch % RISK_TABLE[level, 2])
        if signed(cells[cell]) > epoch or (labels < 0 and signed(cells[cell]) < epoch):
            continue
        if signed(cells[cell]) < epoch:
            cells[cell + 1], cells[cell + 2] = 0, 0
        cells[cell] = epoch
        cells[cell + 1] = max(signed(cells[cell + 1]) + labels, 0)
        cells[cell + 2] = max(signed(cells[cell + 2]) + frauds, 0)


@compiled
def read_buckets(row: Row, when: int, level: int, merged: Row) -> tuple[int, int, int, int, int]:
    """Return (count, sum, log sum, log square sum, maximum) of one window ending at `when`.

    `merged`, 32 registers, receives the greatest rank of each, for `distinct`.
    """
    width, buckets = LEVEL_TABLE[level, 0], LEVEL_TABLE[level, 1]
    slots, first = LEVEL_TABLE[level, 2], LEVEL_TABLE[level, 3]
    count, total, logs, squares, largest = 0, 0, 0, 0, 0
    merged[:] = 0
    newest = when // width
    for epoch in range(newest - buckets + 1, newest + 1):
        begin = at.BUCKETS_AT + (first + epoch % slots) * at.BUCKET_BYTES
        cell = row[begin : begin + at.BUCKET_BYTES]
        small = cell[24:40].view(np.uint32)
        if signed(small[0]) != epoch or small[1] == 0:
            continue
        sums = cell[:24].view(np.int64)
        count += signed(small[1])
        total += sums[0]
        logs += sums[1]
        squares += sums[2]
        largest = max(largest, signed(small[2]))
        merge_registers(cell, merged)
    return count, total, logs, squares, largest


@compiled
def merge_registers(cell: Row, merged: Row) -> None:
    """Raise each of 32 registers to the rank a bucket holds."""
    for byte in range(REGISTERS // 2):
        both = cell[40 + byte]
        if both:
            merged[2 * byte] = max(merged[2 * byte], both & 15)
            merged[2 * byte + 1] = max(merged[2 * byte + 1], both >> 4)


@compiled
def distinct(merged: Row) -> float:
    """Estimate distinct counterparties: linear counting while registers are free, HyperLogLog beyond (m = 32).

    Flajolet et al. 2007, alpha_32 = 0.697; standard error 1.04 / sqrt(32) = 18 % for large counts.
    """
    free, harmonic = 0, 0.0
    for register in range(REGISTERS):
        rank = signed(merged[register])
        free += rank == 0
        harmonic += 2.0**-rank
    if free == REGISTERS:
        return 0.0
    raw = 0.697 * REGISTERS * REGISTERS / harmonic
    if free and raw <= 2.5 * REGISTERS:
        return REGISTERS * math.log(REGISTERS / free)
    return raw


@compiled
def read_risk(row: Row, when: int, level: int) -> tuple[int, int]:
    """Return (labels, frauds) that became known in the window ending at `when`."""
    cells = row[at.RISK_AT : at.AMOUNTS_AT].view(np.uint32)
    newest = when // RISK_TABLE[level, 0]
    labels, frauds = 0, 0
    for epoch in range(newest - RISK_TABLE[level, 1] + 1, newest + 1):
        cell = 3 * (RISK_TABLE[level, 3] + epoch % RISK_TABLE[level, 2])
        if signed(cells[cell]) == epoch:
            labels += signed(cells[cell + 1])
            frauds += signed(cells[cell + 2])
    return labels, frauds


@compiled
def read_pair(row: Row, when: int, level: int) -> tuple[int, int]:
    """Return (count, sum) of one window of a pair ending at `when`."""
    cells = row[at.PAIR_BUCKETS_AT :].view(np.uint32)
    newest = when // PAIR_TABLE[level, 0]
    count, total = 0, 0
    for epoch in range(newest - PAIR_TABLE[level, 1] + 1, newest + 1):
        cell = 3 * (PAIR_TABLE[level, 3] + epoch % PAIR_TABLE[level, 2])
        if signed(cells[cell]) == epoch:
            count += signed(cells[cell + 1])
            total += signed(cells[cell + 2])
    return count, total


@compiled
def quantile(bins: Words, total: int, share: float) -> float:
    """Return the log amount below which `share` of a histogram lies, interpolated inside its bin."""
    target, seen = share * total, 0.0
    for index in range(bins.shape[0]):
        held = float(bins[index])
        if seen + held >= target and held > 0:
            return BIN_FIRST + BIN_WIDTH * (index + (target - seen) / held)
        seen += held
    return BIN_FIRST + BIN_WIDTH * len(bins)


@compiled
def amount_profile(row: Row) -> tuple[int, float, float]:
    """Return (count, median, interquartile range) of an entity's log amounts."""
    bins = row[at.AMOUNTS_AT : at.VERDICTS_AT].view(np.uint32)
    total = 0
    for index in range(bins.shape[0]):
        total += signed(bins[index])
    if total == 0:
        return 0, 0.0, 0.0
    spread = quantile(bins, total, 0.75) - quantile(bins, total, 0.25)
    return total, quantile(bins, total, 0.5), spread
