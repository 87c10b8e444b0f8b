"""The graph, kept as bounded temporal neighbour lists: event records, and verdicts beside them.

Each entity has a ring of its newest events by (time, id), each naming the counterparty, and a ring of its newest
known verdicts by time of payment. Both are cut by time order, so their content depends on the set of events, never
on the order of arrival.
"""

import numpy as np

from features.state import layout as at
from features.state.windows import absorb_risk
from fraud.common.compiled import Ints, Row, compiled, signed

WORDS = at.EVENT_BYTES // 8
KEY_HASH_BITS, KEY_LOW_BITS = 16, 4


@compiled
def find_event(row: Row, tx: int) -> int:
    """Return the ring slot that holds a transaction, or -1."""
    words = row[at.RING_AT :].view(np.int64)
    for slot in range(at.RING):
        if words[slot * WORDS] == tx and words[slot * WORDS + 1] != 0:
            return slot
    return -1


@compiled
def is_older(words: Ints, slot: int, when: int, tx: int) -> bool:
    """Tell whether the record in `slot` sorts before (when, tx)."""
    held = signed(words[slot * WORDS + 1])
    return held < when or (held == when and bool(np.uint64(words[slot * WORDS]) < np.uint64(tx)))


@compiled
def insert_event(row: Row, change: Ints, other: int) -> bool:
    """Insert an event by (time, id); when the ring is full the oldest leaves. Return whether it went in."""
    words = row[at.RING_AT :].view(np.int64)
    when, tx = change[at.C_AT], change[at.C_TX]
    if not is_older(words, 0, when, tx):
        return False
    slot = 0
    while slot + 1 < at.RING and is_older(words, slot + 1, when, tx):
        for word in range(WORDS):
            words[slot * WORDS + word] = words[(slot + 1) * WORDS + word]
        slot += 1
    write_event(row, slot, change, other)
    return True


@compiled
def write_event(row: Row, slot: int, change: Ints, other: int) -> None:
    """Write a fresh, unlabelled event record of 40 bytes into a ring slot."""
    begin = at.RING_AT + slot * at.EVENT_BYTES
    record = row[begin : begin + at.EVENT_BYTES]
    record[:] = 0
    words, small = record[:24].view(np.int64), record[24:32].view(np.uint32)
    words[0], words[1], words[2] = change[at.C_TX], change[at.C_AT], other
    small[0] = min(change[at.C_AMOUNT], 4_294_967_295)
    half = record[32:40].view(np.uint16)
    half[0] = change[at.C_MCC]
    record[at.E_FLAGS] = change[at.C_FLAGS]
    half[2] = np.uint16(change[at.C_RATIO] & 0xFFFF)
    half[3] = change[at.C_VERSION]


@compiled
def remove_event(row: Row, slot: int) -> None:
    """Take an event out of the ring; the older ones move up."""
    words = row[at.RING_AT :].view(np.int64)
    for index in range(slot * WORDS + WORDS - 1, WORDS - 1, -1):
        words[index] = words[index - WORDS]
    words[:WORDS] = 0


@compiled
def verdict_key(label: Ints) -> int:
    """Return the sort key of a verdict: payment time (ms), 16 bits of the id's hash, unusual amount, fraud.

    The low four bits hold unusual (4), fraud (2) and genuine (1); the rest identifies the payment.
    """
    low = 4 * signed(label[at.L_UNUSUAL]) + (2 if label[at.L_FRAUD] else 1)
    part = signed(label[at.L_TX]) & ((1 << KEY_HASH_BITS) - 1)
    return ((((signed(label[at.L_PAID]) // 1_000) << KEY_HASH_BITS) | part) << KEY_LOW_BITS) | low


@compiled
def insert_verdict(row: Row, key: int) -> None:
    """Insert a verdict by payment time, replacing an earlier verdict on the same payment."""
    keys = row[at.VERDICTS_AT : at.RING_AT].view(np.int64)
    for slot in range(at.VERDICTS):
        if keys[slot] >> KEY_LOW_BITS == key >> KEY_LOW_BITS:
            keys[slot] = key
            return
    if keys[0] > key:
        return
    slot = 0
    while slot + 1 < at.VERDICTS and keys[slot + 1] < key:
        keys[slot] = keys[slot + 1]
        slot += 1
    keys[slot] = key


@compiled
def remove_verdict(row: Row, key: int) -> None:
    """Take the verdict on a payment out of the ring; the older ones move up. What it had pushed out stays out."""
    keys = row[at.VERDICTS_AT : at.RING_AT].view(np.int64)
    for slot in range(at.VERDICTS):
        if keys[slot] >> KEY_LOW_BITS == key >> KEY_LOW_BITS:
            for index in range(slot, 0, -1):
                keys[index] = keys[index - 1]
            keys[0] = 0
            return


@compiled
def apply_entity(row: Row, label: Ints) -> None:
    """Add a verdict to an entity: label windows, totals, verdict ring; undo the one it replaces.

    The times of the last verdict and of the last fraud only grow: a withdrawn verdict leaves them.
    """
    head = row[: at.BUCKETS_AT].view(np.int64)
    fraud = label[at.L_FRAUD]
    if label[at.L_REPLACES]:
        absorb_risk(row, label[at.L_OLD_AT], -1, -label[at.L_OLD_FRAUD])
        head[at.H_LABELS] -= 1
        head[at.H_FRAUDS] -= label[at.L_OLD_FRAUD]
    if fraud == at.SAID_NOTHING:
        remove_verdict(row, verdict_key(label))
        return
    absorb_risk(row, label[at.L_AT], 1, fraud)
    head[at.H_LABELS] += 1
    head[at.H_FRAUDS] += fraud
    head[at.H_LAST_LABEL] = max(head[at.H_LAST_LABEL], label[at.L_AT])
    if fraud:
        head[at.H_LAST_FRAUD] = max(head[at.H_LAST_FRAUD], label[at.L_PAID])
    insert_verdict(row, verdict_key(label))


@compiled
def apply_pair(row: Row, label: Ints) -> None:
    """Add a verdict to a pair's totals."""
    head = row[: at.PAIR_BUCKETS_AT].view(np.int64)
    if label[at.L_REPLACES]:
        head[at.P_LABELS] -= 1
        head[at.P_FRAUDS] -= label[at.L_OLD_FRAUD]
    if label[at.L_FRAUD] == at.SAID_NOTHING:
        return
    head[at.P_LABELS] += 1
    head[at.P_FRAUDS] += label[at.L_FRAUD]
    if label[at.L_FRAUD]:
        head[at.P_LAST_FRAUD] = max(head[at.P_LAST_FRAUD], label[at.L_PAID])


@compiled
def read_verdicts(row: Row, out: Ints) -> None:
    """Summarise the verdict ring, newest payment first, into `out` of 7 int64 fields.

    Fields: known verdicts, frauds among them, last verdict (1 fraud, 0 genuine, -1 none), length of the current run
    of frauds, the same with unusual amounts left out, payment time (us) of that run's newest and of its oldest fraud.
    """
    keys = row[at.VERDICTS_AT : at.RING_AT].view(np.int64)
    out[:] = 0
    out[2] = -1
    running, ordinary = True, True
    for slot in range(at.VERDICTS - 1, -1, -1):
        key = keys[slot]
        if key == 0:
            break
        fraud = (key >> 1) & 1
        if out[0] == 0:
            out[2] = fraud
        out[0] += 1
        out[1] += fraud
        running = running and fraud == 1
        out[3] += running
        if (key >> 2) & 1:
            continue
        ordinary = ordinary and fraud == 1
        if ordinary:
            count_ordinary(out, (key >> (KEY_HASH_BITS + KEY_LOW_BITS)) * 1_000)


@compiled
def count_ordinary(out: Ints, paid: int) -> None:
    """Add one fraud of ordinary amount to the run that `out` describes."""
    if out[4] == 0:
        out[5] = paid
    out[4] += 1
    out[6] = paid
