"""How a row lies in Redis: a base, and a log of frames that say what has changed since.

A frame is a change with the position that it comes from::

    0   kind       u8     what it does (ABSORB ... VERDICT)
    1   side       u8     whose row it changes: card 0, merchant 1, device 2, pair 3
    2   source     i64    hash of topic and partition; 0 without a position
    10  offset     i64
    18  sizes      4 bits a field: how many bytes follow for it, 0 to 8
    .   fields     signed integers, as many as its kind has, each in as few bytes as it needs

What is appended at once ends with END and 8 bytes that nobody else writes, its seal. So whoever has read a log up to
some place finds by the 8 bytes before it whether what he knows is still what is there. A log that rests on a base
begins with BASE and a seal that stands in front of the base as well::

    0   seal       8 bytes
    8   marks      u16 number, then i64 source, i64 offset each
    .   row        without its longer runs of zeros (`squeeze`)

Whoever reads drops what is at or below the row's mark of its source: a redelivery or a worker that woke up late
appends what nobody takes in. Frames of one position stand side by side and are taken in, or dropped, together.
"""

import struct
from collections.abc import Mapping

import numpy as np

from features.state import events as ev
from features.state import history as hs
from features.state import layout as at
from features.state.rings import apply_entity, apply_pair
from features.state.update import absorb_row, retract_row
from features.state.windows import absorb_pair
from fraud.common.compiled import Ints, Row, compiled

FORMAT = "2"
"""Part of every row's name: a release that keeps rows otherwise never meets them. Format 1 were hashes."""

ABSORB, RETRACT, LABEL, EVENT, VERDICT = 1, 2, 3, 4, 5
END, BASE = 254, 255
HEAD = struct.Struct("<BBqq")
HEAD_BYTES = 18
SEAL_BYTES = 8
END_BYTES = 1 + SEAL_BYTES
FIELDS = np.array([0, at.CHANGE_FIELDS, at.CHANGE_FIELDS, at.LABEL_FIELDS, ev.EVENT_FIELDS, ev.VERDICT_FIELDS])
"""Fields of a frame, by its kind."""
MOST_FIELDS = int(FIELDS.max())
LEAST_FRAME = HEAD_BYTES + (at.LABEL_FIELDS + 1) // 2
"""Bytes of the shortest frame."""
GAP = 6
"""Zeros that are worth a new piece of a squeezed row, which costs 4 bytes."""

DONE, DAMAGED = -1, -2
PLACE, USED, OPEN_SOURCE, OPEN_OFFSET, ADMITTED = range(5)
"""Where a reading of a log stands: place, marks in use, and the position that it takes in or drops."""
NO_OFFSET = -2


def frame(kind: int, side: int, source: int, offset: int) -> bytes:
    """Return the head of a frame."""
    return HEAD.pack(kind, side, source, offset)


def fields_of(change: bytes) -> bytes:
    """Return the int64 fields of a change as a frame has them."""
    fields = np.frombuffer(change, np.int64)
    out = np.empty(9 * MOST_FIELDS, np.uint8)
    return out[: write_fields(fields, out)].tobytes()


@compiled
def write_fields(fields: Ints, out: Row) -> int:
    """Write fields, each in as few bytes as it needs, behind their sizes; return how many bytes that takes."""
    count = len(fields)
    used = (count + 1) // 2
    out[:used] = 0
    for number in range(count):
        value, size = fields[number], 0
        rest = value
        # As many bytes as bring the sign along.
        while (rest != 0 and rest != -1) or (size > 0 and ((out[used + size - 1] >> 7) & 1) != (rest & 1)):
            out[used + size] = rest & 255
            rest >>= 8
            size += 1
        if size == 0 and value == -1:
            out[used] = 255
            size = 1
        out[number // 2] |= size << (4 * (number % 2))
        used += size
    return used


@compiled
def read_fields(text: Row, begin: int, count: int, fields: Ints) -> int:
    """Read so many fields from a place on; return the place behind them, one behind the end when they are cut off."""
    place = begin + (count + 1) // 2
    if place > len(text):
        return place
    for number in range(count):
        size = (int(text[begin + number // 2]) >> (4 * (number % 2))) & 15
        if size > 8 or place + size > len(text):
            return len(text) + 1
        value = -1 if size > 0 and text[place + size - 1] > 127 else 0
        for each in range(size - 1, -1, -1):
            value = (value << 8) | int(text[place + each])
        fields[number] = value
        place += size
    return place


def end(seal: bytes) -> bytes:
    """Return what closes an append."""
    return b"\xfe" + seal


def log_on(seal: bytes) -> bytes:
    """Return the beginning of a log that rests on the base of this seal."""
    return b"\xff" + seal


def rests_on_base(log: bytes) -> bool:
    """Tell whether a log begins with a base."""
    return log[:1] == b"\xff"


# ---- bases


def packed(row: Row, marks: Mapping[int, int]) -> bytes:
    """Return a row and its marks as a base without its seal."""
    out = np.empty(len(row) + 4, np.uint8)
    used = squeeze(row, out)
    flat = [word for item in marks.items() for word in item]
    return struct.pack(f"<H{len(flat)}q", len(marks), *flat) + out[:used].tobytes()


def unpack(base: bytes, row: Row) -> dict[int, int]:
    """Fill an empty row from a base, seal included; return its marks.

    Raises:
        ValueError: when the bytes are no base of such a row.
    """
    if len(base) < SEAL_BYTES + 2:
        msg = f"a base of {len(base)} bytes"
        raise ValueError(msg)
    (count,) = struct.unpack_from("<H", base, SEAL_BYTES)
    begin = SEAL_BYTES + 2 + 16 * count
    if len(base) < begin or not unsqueeze(np.frombuffer(base, np.uint8)[begin:], row):
        msg = f"a base of {len(base)} bytes with {count} marks"
        raise ValueError(msg)
    words = struct.unpack_from(f"<{2 * count}q", base, SEAL_BYTES + 2)
    return dict(zip(words[::2], words[1::2], strict=True))


@compiled
def squeeze(row: Row, out: Row) -> int:
    """Write a row without its runs of zeros: per piece u16 zeros, u16 bytes, the bytes. Return how many are written."""
    place, used, size = 0, 0, len(row)
    while place < size:
        begin = place
        while place < size and row[place] == 0:
            place += 1
        if place == size:
            break
        first = last = place
        while place < size and place - last <= GAP:
            if row[place] != 0:
                last = place
            place += 1
        place = last + 1
        zeros, bytes_ = first - begin, place - first
        out[used], out[used + 1] = zeros & 255, zeros >> 8
        out[used + 2], out[used + 3] = bytes_ & 255, bytes_ >> 8
        out[used + 4 : used + 4 + bytes_] = row[first:place]
        used += 4 + bytes_
    return used


@compiled
def unsqueeze(pieces: Row, row: Row) -> bool:
    """Fill an empty row from its pieces; return whether they are whole and fit."""
    place, used, size = 0, 0, len(pieces)
    while used < size:
        if used + 4 > size:
            return False
        place += int(pieces[used]) + 256 * int(pieces[used + 1])
        bytes_ = int(pieces[used + 2]) + 256 * int(pieces[used + 3])
        used += 4
        if used + bytes_ > size or place + bytes_ > len(row):
            return False
        row[place : place + bytes_] = pieces[used : used + bytes_]
        place, used = place + bytes_, used + bytes_
    return True


# ---- reading a log


@compiled
def admits(marks: Ints, state: Ints, source: int, offset: int) -> bool:
    """Tell whether a position is news to marks (n, 2), of which some are in use; if so, move its mark."""
    if source == 0:
        return True
    for number in range(state[USED]):
        if marks[number, 0] == source:
            if offset <= marks[number, 1]:
                return False
            marks[number, 1] = offset
            return True
    marks[state[USED], 0], marks[state[USED], 1] = source, offset
    state[USED] += 1
    return True


@compiled
def next_frame(log: Row, marks: Ints, state: Ints, fields: Ints) -> int:
    """Go to the next frame that is news and read its fields; return its place, DONE or DAMAGED."""
    size = len(log)
    words = np.empty(2, np.int64)
    while state[PLACE] < size:
        place = state[PLACE]
        kind = int(log[place])
        if kind >= END:
            state[PLACE], state[OPEN_OFFSET] = place + END_BYTES, NO_OFFSET
            if state[PLACE] > size:
                return DAMAGED
            continue
        if kind < ABSORB or kind > VERDICT:
            return DAMAGED
        begin = place + HEAD_BYTES
        stop = read_fields(log, begin, FIELDS[kind], fields)
        if stop > size:
            return DAMAGED
        state[PLACE] = stop
        words.view(np.uint8)[:] = log[place + 2 : begin]
        source, offset = words[0], words[1]
        if offset != state[OPEN_OFFSET] or source != state[OPEN_SOURCE]:
            state[OPEN_SOURCE], state[OPEN_OFFSET] = source, offset
            state[ADMITTED] = admits(marks, state, source, offset)
        if state[ADMITTED]:
            return int(place)
    return DONE


@compiled
def replay_entity(row: Row, log: Row, marks: Ints, state: Ints) -> int:
    """Take a log into an entity's row; return DONE or DAMAGED."""
    fields = np.zeros(ev.EVENT_FIELDS, np.int64)
    while True:
        place = next_frame(log, marks, state, fields)
        if place < 0:
            return place
        kind, other = log[place], fields[at.C_MERCHANT] if log[place + 1] == 0 else fields[at.C_CARD]
        if kind == ABSORB:
            absorb_row(row, fields[: at.CHANGE_FIELDS], other)
        elif kind == RETRACT:
            retract_row(row, fields[: at.CHANGE_FIELDS], other)
        elif kind == LABEL:
            apply_entity(row, fields[: at.LABEL_FIELDS])
        else:
            return DAMAGED


@compiled
def replay_pair(row: Row, log: Row, marks: Ints, state: Ints) -> int:
    """Take a log into a pair's row; return DONE or DAMAGED."""
    fields = np.zeros(ev.EVENT_FIELDS, np.int64)
    while True:
        place = next_frame(log, marks, state, fields)
        if place < 0:
            return place
        kind = log[place]
        if kind == LABEL:
            apply_pair(row, fields[: at.LABEL_FIELDS])
        elif kind > RETRACT:
            return DAMAGED
        elif fields[at.C_COUNTED]:
            absorb_pair(row, fields[: at.CHANGE_FIELDS])


@compiled
def replay_history(row: Row, log: Row, marks: Ints, state: Ints) -> int:
    """Take a log into a history row up to the next block that it closes; return that block, DONE or DAMAGED."""
    fields = np.zeros(ev.EVENT_FIELDS, np.int64)
    while True:
        place = next_frame(log, marks, state, fields)
        if place < 0:
            return place
        side = int(log[place + 1])
        if log[place] == EVENT:
            closed = hs.absorb_event(row, fields, side)
            if closed >= 0:
                return int(closed)
        elif log[place] == VERDICT:
            hs.apply_verdict(row, fields[: ev.VERDICT_FIELDS], side)
        else:
            return DAMAGED
