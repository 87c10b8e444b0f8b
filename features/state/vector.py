"""Fill a feature vector from state rows: the compiled half of `look`, in the order that `spec.py` declares."""

import math

import numpy as np

from features.state import layout as at
from features.state.rings import read_verdicts
from features.state.windows import (
    REGISTERS,
    amount_profile,
    distinct,
    read_buckets,
    read_pair,
    read_risk,
)
from fraud.common.compiled import Floats, Ints, Row, compiled

TRANSACTION_FEATURES = 7
WINDOW_FEATURES = 6
SINGLE_FEATURES = 14
PAIR_SINGLE_FEATURES = 6
LEVELS, RISK_LEVELS, PAIR_LEVELS = len(at.LEVELS), len(at.RISK_LEVELS), len(at.PAIR_LEVELS)
ENTITY_FEATURES = LEVELS * WINDOW_FEATURES + RISK_LEVELS * 3 + SINGLE_FEATURES
PAIR_FEATURES = 2 * PAIR_LEVELS + PAIR_SINGLE_FEATURES
WIDTH = TRANSACTION_FEATURES + 3 * ENTITY_FEATURES + PAIR_FEATURES
DAY_US, HOUR_US = 86_400_000_000, 3_600_000_000
EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday
IQR_OF_NORMAL = 1.349
LEAST_SPREAD = 0.1
MONEY_BACK, PRESENCE_SHIFT = (
    1,
    1,
)  # flag bits of a change: bit 0 money flows back; bits 1-2 presence, 0 not stated, 1 absent, 2 present


@compiled
def since(now: int, then: int) -> float:
    """Return seconds from `then` to `now`, at least 0, or NaN when `then` never was."""
    return max(now - then, 0) / 1e6 if then else np.nan


@compiled
def ratio(amount: float, base: float) -> float:
    """Return amount over base, or NaN when there is no base."""
    return amount / base if base > 0 else np.nan


@compiled
def deviation(count: int, logs: int, squares: int) -> float:
    """Return the standard deviation of log amounts from their fixed-point sums."""
    if count == 0:
        return np.nan
    mean = logs / count
    return math.sqrt(max(squares / count - mean * mean, 0.0)) / at.LOG_SCALE


@compiled
def read_transaction(change: Ints, unit: float, out: Floats) -> None:
    """Fill the columns that need no state; `unit` is how many minor units of the base currency its major unit has."""
    when, flags = change[at.C_AT], change[at.C_FLAGS]
    out[0] = change[at.C_AMOUNT] / unit
    out[1] = change[at.C_LOG] / at.LOG_SCALE
    out[2] = (when % DAY_US) / HOUR_US
    out[3] = (when // DAY_US + EPOCH_WEEKDAY) % 7
    out[4] = change[at.C_MCC]
    out[5] = flags & MONEY_BACK
    presence = (flags >> PRESENCE_SHIFT) & 3
    out[6] = presence - 1 if presence else np.nan


@compiled
def read_windows(row: Row, when: int, unit: float, out: Floats, merged: Row) -> float:
    """Fill count, sum, mean, deviation, maximum and distinct of every window; return the 30-day mean (minor units)."""
    mean = 0.0
    for level in range(LEVELS):
        count, total, logs, squares, largest = read_buckets(row, when, level, merged)
        mean = total / count if count else 0.0
        cells = out[level * WINDOW_FEATURES : (level + 1) * WINDOW_FEATURES]
        cells[0] = count
        cells[1] = total / unit
        cells[2] = mean / unit if count else np.nan
        cells[3] = deviation(count, logs, squares)
        cells[4] = largest / unit if count else np.nan
        cells[5] = distinct(merged)
    return mean


@compiled
def read_labels(row: Row, when: int, out: Floats) -> None:
    """Fill labels, frauds and share of every label window."""
    for level in range(RISK_LEVELS):
        labels, frauds = read_risk(row, when, level)
        out[3 * level] = labels
        out[3 * level + 1] = frauds
        out[3 * level + 2] = frauds / labels if labels else np.nan


@compiled
def read_amounts(row: Row, change: Ints, mean: float, out: Floats) -> None:
    """Fill how the amount compares with the entity's own history: over median, over mean, spread, robust z."""
    count, median, spread = amount_profile(row)
    log = change[at.C_LOG] / at.LOG_SCALE
    out[0] = math.exp(log - median) if count else np.nan
    out[1] = ratio(float(change[at.C_AMOUNT]), mean)
    out[2] = spread if count else np.nan
    out[3] = (log - median) / max(spread / IQR_OF_NORMAL, LEAST_SPREAD) if count else np.nan


@compiled
def read_history(row: Row, when: int, out: Floats, verdicts: Ints) -> None:
    """Fill what the newest verdicts say of the entity."""
    head = row[: at.BUCKETS_AT].view(np.int64)
    read_verdicts(row, verdicts)
    known = verdicts[0] > 0
    out[0] = verdicts[2] if known else np.nan
    out[1] = verdicts[3]
    out[2] = verdicts[4]
    out[3] = verdicts[1] / verdicts[0] if known else np.nan
    out[4] = since(when, head[at.H_LAST_FRAUD])
    out[5] = since(when, head[at.H_LAST_LABEL])
    out[6] = since(when, verdicts[5])
    out[7] = since(when, verdicts[6])


@compiled
def read_entity(row: Row, change: Ints, unit: float, out: Floats, merged: Row, verdicts: Ints) -> None:
    """Fill all columns of one entity."""
    when = change[at.C_AT]
    head = row[: at.BUCKETS_AT].view(np.int64)
    mean = read_windows(row, when, unit, out, merged)
    labels = LEVELS * WINDOW_FEATURES
    read_labels(row, when, out[labels:])
    single = out[labels + 3 * RISK_LEVELS :]
    single[0] = since(when, head[at.H_LAST])
    single[1] = since(when, head[at.H_FIRST])
    read_amounts(row, change, mean, single[2:6])
    read_history(row, when, single[6:14], verdicts)


@compiled
def read_pair_row(row: Row, change: Ints, unit: float, out: Floats) -> None:
    """Fill all columns of the pair card-merchant."""
    when = change[at.C_AT]
    head = row[: at.PAIR_BUCKETS_AT].view(np.int64)
    for level in range(PAIR_LEVELS):
        count, total = read_pair(row, when, level)
        out[2 * level], out[2 * level + 1] = count, total / unit
    single = out[2 * PAIR_LEVELS :]
    single[0] = since(when, head[at.P_LAST])
    single[1] = since(when, head[at.P_FIRST])
    single[2] = ratio(float(change[at.C_AMOUNT] * head[at.P_COUNT]), float(head[at.P_SUM]))
    single[3], single[4] = head[at.P_LABELS], head[at.P_FRAUDS]
    single[5] = since(when, head[at.P_LAST_FRAUD])


@compiled
def look(entities: Row, pairs: Row, rows: Ints, change: Ints, unit: float, out: Floats) -> None:
    """Fill `out`, float32 of `WIDTH` columns, for one prepared change; change no state.

    `rows` holds the row numbers of card, merchant, device and pair; 0 is the empty row, -1 no such entity.
    `unit` is how many minor units of the base currency its major unit has, in which amounts are told.
    """
    merged, verdicts = np.zeros(REGISTERS, np.uint8), np.zeros(7, np.int64)
    read_transaction(change, unit, out)
    for entity in range(3):
        begin = TRANSACTION_FEATURES + entity * ENTITY_FEATURES
        cells = out[begin : begin + ENTITY_FEATURES]
        if rows[entity] < 0:
            cells[:] = np.nan
        else:
            read_entity(entities[rows[entity]], change, unit, cells, merged, verdicts)
    read_pair_row(pairs[rows[3]], change, unit, out[TRANSACTION_FEATURES + 3 * ENTITY_FEATURES :])
