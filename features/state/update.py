"""Change state rows: the compiled half of `absorb` and `apply`."""

import math

import numpy as np

from features.state import layout as at
from features.state.rings import apply_entity, apply_pair, find_event, insert_event, remove_event
from features.state.windows import absorb_entity, absorb_pair, amount_profile, prepare
from fraud.common.compiled import Ints, Row, compiled, signed

CARD_BIT, MERCHANT_BIT, DEVICE_BIT, PAIR_BIT = 1, 2, 4, 8
EVERY_ROW = 15
RATIO_SCALE, RATIO_MOST = 256, 32_767

FRESH, REPEATED, SUPERSEDED, CORRECTION, UNMATCHED, REUSED = range(6)
MONEY_BACK = 1
MOST_AMOUNT = 4_294_967_295
"""What a ring record tells amounts up to."""


@compiled
def predecessor(entities: Row, card: int, change: Ints, old: Ints) -> int:
    """Say how a transaction relates to what the card's ring holds under its id; fill `old` to take it out again.

    FRESH: nothing under this id. REPEATED: the same version. REUSED: another payment in the same version. SUPERSEDED: a
    newer version is in. CORRECTION: an older version is in, `old` is its change with sign -1. UNMATCHED: a correction
    of something the ring has let go.
    """
    row = entities[card]
    slot = find_event(row, change[at.C_TX])
    if slot < 0:
        oldest = row[at.RING_AT + at.E_AT : at.RING_AT + at.E_AT + 8].view(np.int64)[0]
        gone = change[at.C_VERSION] > 0 and oldest > change[at.C_AT]
        return UNMATCHED if gone else FRESH
    begin = at.RING_AT + slot * at.EVENT_BYTES
    record = row[begin : begin + at.EVENT_BYTES]
    version = signed(record[38:40].view(np.uint16)[0])
    if version > change[at.C_VERSION]:
        return SUPERSEDED
    if version == change[at.C_VERSION]:
        return REPEATED if is_same(record, change) else REUSED
    read_change(record, change, old)
    return CORRECTION


@compiled
def is_same(record: Row, change: Ints) -> bool:
    """Tell whether a card's ring record is of this payment, by merchant, amount and whether money flows back."""
    if record[16:24].view(np.int64)[0] != change[at.C_MERCHANT]:
        return False
    if signed(record[24:28].view(np.uint32)[0]) != min(change[at.C_AMOUNT], MOST_AMOUNT):
        return False
    return bool((record[at.E_FLAGS] ^ change[at.C_FLAGS]) & MONEY_BACK == 0)


@compiled
def read_change(record: Row, change: Ints, old: Ints) -> None:
    """Rebuild, from a card's ring record, the change that took it in, with its sign turned."""
    old[:] = change
    words = record[:24].view(np.int64)
    old[at.C_AT], old[at.C_MERCHANT] = words[1], words[2]
    old[at.C_AMOUNT] = signed(record[24:28].view(np.uint32)[0])
    old[at.C_FLAGS] = record[at.E_FLAGS]
    old[at.C_VERSION] = signed(record[38:40].view(np.uint16)[0])
    old[at.C_COUNTED] = 1 - (old[at.C_FLAGS] & MONEY_BACK)
    old[at.C_SIGN] = -1
    prepare(old)


@compiled
def holds(row: Row, change: Ints) -> bool:
    """Tell whether a ring holds a transaction in this very version; an earlier one was never taken out of it."""
    slot = find_event(row, change[at.C_TX])
    begin = at.RING_AT + slot * at.EVENT_BYTES + at.E_VERSION
    return slot >= 0 and signed(row[begin : begin + 2].view(np.uint16)[0]) == change[at.C_VERSION]


@compiled
def log_ratio(row: Row, change: Ints) -> int:
    """Return the log ratio of the amount to the card's median, in 1/256, to be kept with the event."""
    count, median, _ = amount_profile(row)
    if count == 0:
        return 0
    scaled = math.floor((change[at.C_LOG] / at.LOG_SCALE - median) * RATIO_SCALE + 0.5)
    return int(min(max(scaled, -RATIO_MOST), RATIO_MOST))


@compiled
def absorb_row(row: Row, change: Ints, other: int) -> None:
    """Add one change to one entity's windows (payments only) and ring."""
    if change[at.C_COUNTED]:
        absorb_entity(row, change, other)
    insert_event(row, change, other)


@compiled
def absorb(entities: Row, pairs: Row, rows: Ints, change: Ints, mask: int) -> None:
    """Add one change to every row in `mask`, noting first how its amount compares with the card's median."""
    change[at.C_RATIO] = log_ratio(entities[rows[0]], change)
    absorb_again(entities, pairs, rows, change, mask)


@compiled
def absorb_again(entities: Row, pairs: Row, rows: Ints, change: Ints, mask: int) -> None:
    """Add one complete change to every row in `mask` (card 1, merchant 2, device 4, pair 8)."""
    for entity in range(3):
        if rows[entity] > 0 and (mask >> entity) & 1:
            absorb_row(entities[rows[entity]], change, change[at.C_MERCHANT] if entity == 0 else change[at.C_CARD])
    if mask & PAIR_BIT and change[at.C_COUNTED]:
        absorb_pair(pairs[rows[3]], change)


@compiled
def retract_row(row: Row, change: Ints, other: int) -> None:
    """Take one change out of one entity's windows and ring."""
    if change[at.C_COUNTED]:
        absorb_entity(row, change, other)
    slot = find_event(row, change[at.C_TX])
    if slot >= 0:
        remove_event(row, slot)


@compiled
def retract(entities: Row, pairs: Row, rows: Ints, change: Ints, mask: int) -> None:
    """Take one change (sign -1) out of every row in `mask`."""
    for entity in range(3):
        if rows[entity] > 0 and (mask >> entity) & 1:
            retract_row(entities[rows[entity]], change, change[at.C_MERCHANT] if entity == 0 else change[at.C_CARD])
    if mask & PAIR_BIT and change[at.C_COUNTED]:
        absorb_pair(pairs[rows[3]], change)


@compiled
def apply(entities: Row, pairs: Row, rows: Ints, label: Ints, mask: int) -> None:
    """Add one verdict to every row in `mask`."""
    for entity in range(3):
        if rows[entity] > 0 and (mask >> entity) & 1:
            apply_entity(entities[rows[entity]], label)
    if mask & PAIR_BIT:
        apply_pair(pairs[rows[3]], label)
