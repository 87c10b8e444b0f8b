"""An event and a verdict as history rows take them in, and the 48 bytes that a row keeps of an event."""

import math

import numpy as np

from features.state import layout as at
from fraud.common.compiled import Ints, Row, compiled, signed
from fraud.core.tokens import CARD, LOG_SCALE

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

# A record: tx, at, other, amount, labelled, mcc, flags, label, ratio and version as in `layout.E_*`, then these.
E_LABELS, E_FRAUDS, E_AGE, E_PAIR, E_TEXT = 40, 41, 42, 43, 44
RECORD_BYTES = 48
RECORD_WORDS = RECORD_BYTES // 8
MICROSECONDS = 1_000_000
U32_MAX = 4_294_967_295


@compiled
def seconds(record: Row) -> int:
    """Return the time of a record in seconds."""
    return int(record[at.E_AT : at.E_AT + 8].view(np.int64)[0] // MICROSECONDS)


@compiled
def fixed_log(record: Row) -> int:
    """Return a record's log amount in steps of 1/1024."""
    amount = signed(record[at.E_AMOUNT : at.E_AMOUNT + 4].view(np.uint32)[0])
    return math.floor(math.log(1.0 + amount) * LOG_SCALE + 0.5)


@compiled
def sorts_before(one: Row, other: Row) -> bool:
    """Tell whether a record is older than another, by (time of payment, id)."""
    mine, theirs = one[:16].view(np.int64), other[:16].view(np.int64)
    return mine[1] < theirs[1] or (mine[1] == theirs[1] and bool(np.uint64(mine[0]) < np.uint64(theirs[0])))


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
def replace(record: Row, event: Ints, side: int) -> None:
    """Write a corrected event over a record; what is known of it stays."""
    label, given = record[at.E_LABEL], record[at.E_LABELLED : at.E_LABELLED + 4].view(np.uint32)[0]
    write_record(record, event, side)
    record[at.E_LABEL] = label
    record[at.E_LABELLED : at.E_LABELLED + 4].view(np.uint32)[0] = given


@compiled
def mark_record(record: Row, verdict: Ints) -> None:
    """Note a verdict on a record, or that nothing is known of it any more."""
    if verdict[at.L_FRAUD] == at.SAID_NOTHING:
        record[at.E_LABELLED : at.E_LABELLED + 4] = 0
        record[at.E_LABEL] = at.LABEL_UNKNOWN
        return
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
