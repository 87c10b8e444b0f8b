"""Byte layout of the state records: one fixed-size row per entity and per card-merchant pair.

The same bytes are a row of the embedded store, a value in Redis and a slice of a snapshot, so one definition serves
all three. A row holds integers only: counts, sums of minor units and fixed-point logarithms, so that increments
commute and every store agrees to the last bit, in any order. Times are microseconds since the epoch (they stay exact
in a double, which is all that a Redis function has).

Entity row (card, merchant, device), 4,096 bytes::

    0     header        16 x i64    hash, first, last, count, sum, labels, frauds, ...  (H_* below)
    128   buckets       41 x 56 B   i64 sum, log sum, log square sum; u32 epoch, count, max, -; 32 x 4-bit registers
    2424  label buckets 28 x 12 B   u32 epoch, labels, frauds
    2760  amounts       46 x u32    histogram of log amounts
    2944  label ring    24 x i64    newest known verdicts by time of payment
    3136  event ring    24 x 40 B   newest events by (time, id)

Pair row, 256 bytes::

    0     header         8 x i64    first, last, count, sum, labels, frauds, last fraud, -
    64    buckets       16 x 12 B   u32 epoch, count, sum (saturating)

A bucket belongs to one interval of event time: its epoch is `time // width`, its slot `epoch % slots`. The newest
epoch wins a slot, so the content of a row depends on the set of events absorbed, never on their order.
"""

from typing import NamedTuple

import numpy as np

from fraud.core import tokens as tk

LAYOUT_VERSION = "1"
MICROSECOND_NS = 1_000


class Level(NamedTuple):
    """One window, cut into `buckets` intervals of `width` seconds; spare slots keep what late events need."""

    name: str
    width: int
    buckets: int
    slots: int


MINUTE, HOUR, DAY = 60, 3_600, 86_400

LEVELS = (
    Level("10m", 2 * MINUTE, 5, 6),
    Level("1h", 10 * MINUTE, 6, 7),
    Level("1d", 3 * HOUR, 8, 9),
    Level("7d", 1 * DAY, 7, 8),
    Level("30d", 3 * DAY, 10, 11),
)
RISK_LEVELS = (Level("1d", 3 * HOUR, 8, 9), Level("7d", 1 * DAY, 7, 8), Level("30d", 3 * DAY, 10, 11))
PAIR_LEVELS = (
    Level("10m", 5 * MINUTE, 2, 2),
    Level("1h", 30 * MINUTE, 2, 3),
    Level("1d", 8 * HOUR, 3, 3),
    Level("7d", 42 * HOUR, 4, 4),
    Level("30d", 180 * HOUR, 4, 4),
)


def _table(levels: tuple[Level, ...]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return int64 rows (width in microseconds, buckets, slots, first slot), for the compiled loops."""
    rows, first = [], 0
    for level in levels:
        rows.append((level.width * 1_000_000, level.buckets, level.slots, first))
        first += level.slots
    return np.array(rows, dtype=np.int64)


LEVEL_TABLE = _table(LEVELS)
RISK_TABLE = _table(RISK_LEVELS)
PAIR_TABLE = _table(PAIR_LEVELS)

H_HASH, H_FIRST, H_LAST, H_COUNT, H_SUM, H_LABELS, H_FRAUDS, H_LAST_FRAUD, H_LAST_LABEL = range(9)

BUCKETS_AT, BUCKET_BYTES = 128, 56
RISK_AT, RISK_BYTES = 2_424, 12
AMOUNTS_AT, AMOUNT_BINS = 2_760, 46
VERDICTS_AT, VERDICTS = 2_944, 24
RING_AT, RING, EVENT_BYTES = 3_136, 24, 40
ENTITY_BYTES = 4_096

P_FIRST, P_LAST, P_COUNT, P_SUM, P_LABELS, P_FRAUDS, P_LAST_FRAUD = range(7)
PAIR_BUCKETS_AT, PAIR_BUCKET_BYTES = 64, 12
PAIR_BYTES = 256

# Fixed point of log amounts: ln(1 + minor units) in steps of 1/1024, and a histogram that spends its bins between
# 0.20 and 50,000.00.
LOG_SCALE = tk.LOG_SCALE
BIN_FIRST, BIN_WIDTH = 3.0, 0.27

# A change: what one event adds to the rows it touches, as int64 fields. Prepared once, applied to every row by the
# embedded store's compiled loops and by the Redis functions alike.
(
    C_AT,
    C_AMOUNT,
    C_LOG,
    C_BIN,
    C_TX,
    C_CARD,
    C_MERCHANT,
    C_DEVICE,
    C_MCC,
    C_FLAGS,
    C_VERSION,
    C_RATIO,
    C_SIGN,
) = range(13)
C_COUNTED = 13
CHANGE_FIELDS = 14

# A label change: the verdict now and the one it replaces, by when each was given and when the payment was made.
L_AT, L_FRAUD, L_TX, L_PAID, L_UNUSUAL, L_SOURCE, L_OLD_AT, L_OLD_FRAUD, L_REPLACES = range(9)
LABEL_FIELDS = 9
# What L_FRAUD holds: nothing is said where a verdict was withdrawn, which only takes out the one it replaces.
SAID_NOTHING, SAID_GENUINE, SAID_FRAUD = -1, 0, 1

# Event record, byte offsets. E_LABELLED and E_LABEL are written in history rows only; in an entity row's ring they are
# reserved: zero, or what an earlier version noted there, which nobody reads.
E_TX, E_AT, E_OTHER, E_AMOUNT, E_LABELLED, E_MCC, E_FLAGS, E_LABEL, E_RATIO, E_VERSION = (
    0,
    8,
    16,
    24,
    28,
    32,
    34,
    35,
    36,
    38,
)

LABEL_UNKNOWN, LABEL_GENUINE, LABEL_FRAUD = 0, 1, 2
