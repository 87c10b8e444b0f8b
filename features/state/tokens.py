"""Tokens: what a network reads of a history row at one moment, as float32.

`read_tokens` fills three arrays for one side (card, merchant or device) as a query event finds it:

raw (64, 32)
    slots 0-47 the window, newest first; 48-63 known frauds that are not in it, newest first.
    Static columns, free of labels: 0 present; 1 log amount / 10; 2, 3 sine and cosine of the hour; 4, 5 of the time of
    the week; 6 log seconds since the entity's event before / 15; 7 log ratio to the card's median; 8 money back;
    9 card present (-1 no, 0 not stated, 1 yes); 10-15 bits (-1, 1) of a hash of the category code; 16-19 the
    counterparty before this event: log labels / 3, log frauds / 3, age / 255, log payments of the pair / 3.
    As of the query: 20 log age in seconds / 15; 21 age in days / 30, at most 12; 22 verdict known; 23 fraud; 24 by
    silence; 25 log age of the verdict / 15; 26 the query's counterparty; 27 log amount less the query's; 28 from the
    fraud ring; 29 the query's category code; 30 log events since / 8; 31 the query's text.
sums (20, 16)
    summaries of older events, newest first: 0 present; 1 level / 4; 2 log count / 10; 3 log known / 10; 4 log frauds
    / 5; 5 frauds / known; 6, 7 log age of the last and the first event / 15; 8 age of the last in days / 30, at most
    12; 9 has a fraud; 10, 11 log age of the last and first fraud / 15; 12 mean log amount / 10; 14 log events of the
    entity / 10.
codes (20, 32)
    the summaries' codes.

Logarithms are natural, of 1 + x; rows that hold nothing are zero.
"""

import math

import numpy as np
from numpy.typing import NDArray

from features.state import history as hs
from features.state import layout as at
from features.state.layout import LOG_SCALE
from fraud.common.compiled import Floats, Ints, Row, compiled, signed

RAW, RAW_COLUMNS, STATIC = 64, 32, 20
RAW_WINDOW = RAW - hs.FRAUDS
SUMS, SUM_COLUMNS = hs.LEVELS * hs.RADIX, 16

Q_AT, Q_LOG, Q_OTHER, Q_MCC, Q_TEXT = range(5)
QUERY_FIELDS = 5
"""A query, int64: time in us, log amount in 1/1024, hash of the counterparty, category code, hash of the text."""

DAY_US, WEEK_US = 86_400_000_000, 7 * 86_400_000_000
THURSDAY = 3 * DAY_US  # the epoch's day of the week, from Monday
MCC_BITS, MCC_SPREAD = 6, 2_654_435_761
RATIO_SCALE = 256.0
SILENCE = 2
MONTH, MOST_MONTHS = 30 * 86_400.0, 12.0


@compiled
def log_age(now: float, then: float) -> float:
    """Return the logarithm of the seconds from `then` to `now`, scaled as all ages are."""
    return math.log1p(max(now - then, 0.0)) / 15.0


@compiled
def months(now: float, then: float) -> float:
    """Return the months of 30 days from `then` to `now`, seconds both."""
    return min(max(now - then, 0.0) / MONTH, MOST_MONTHS)


@compiled
def read_static(record: Row, before: int, out: Floats) -> None:
    """Fill the static columns of a record; `before` is the time (us) of the entity's event before, 0 for none."""
    when, half = record[8:16].view(np.int64)[0], record[32:40].view(np.uint16)
    out[0] = 1.0
    out[1] = hs.fixed_log(record) / LOG_SCALE / 10.0
    hour, week = 2.0 * math.pi * (when % DAY_US) / DAY_US, 2.0 * math.pi * ((when + THURSDAY) % WEEK_US) / WEEK_US
    out[2], out[3], out[4], out[5] = math.sin(hour), math.cos(hour), math.sin(week), math.cos(week)
    out[6] = log_age(when / 1e6, before / 1e6) if before else 0.0
    out[7] = record[at.E_RATIO : at.E_RATIO + 2].view(np.int16)[0] / RATIO_SCALE
    flags = record[at.E_FLAGS]
    out[8] = flags & 1
    presence = (flags >> 1) & 3
    out[9] = 2.0 * presence - 3.0 if presence else 0.0
    read_mcc(signed(half[0]), out[10:16])
    out[16] = math.log1p(record[hs.E_LABELS]) / 3.0
    out[17] = math.log1p(record[hs.E_FRAUDS]) / 3.0
    out[18] = record[hs.E_AGE] / 255.0
    out[19] = math.log1p(record[hs.E_PAIR]) / 3.0


@compiled
def read_mcc(mcc: int, out: Floats) -> None:
    """Fill six columns with the bits of a category code's hash as -1 and 1; 0 for none."""
    spread = (mcc * MCC_SPREAD) & 0xFFFFFFFF
    for bit in range(MCC_BITS):
        out[bit] = (2.0 * ((spread >> (31 - bit)) & 1) - 1.0) if mcc else 0.0


@compiled
def read_dynamic(record: Row, query: Ints, out: Floats) -> None:
    """Fill the columns that depend on the query and on what is known by now; 28 and 30 are the caller's."""
    words, half = record[:24].view(np.int64), record[32:40].view(np.uint16)
    now, when = query[Q_AT] / 1e6, words[1] / 1e6
    out[20], out[21] = log_age(now, when), months(now, when)
    label = record[at.E_LABEL]
    if label & 3:
        out[22] = 1.0
        out[23] = 1.0 if label & 3 == at.LABEL_FRAUD else 0.0
        out[24] = 1.0 if label >> 2 == SILENCE else 0.0
        out[25] = log_age(now, float(record[at.E_LABELLED : at.E_LABELLED + 4].view(np.uint32)[0]))
    out[26] = 1.0 if words[2] == query[Q_OTHER] else 0.0
    out[27] = (hs.fixed_log(record) - query[Q_LOG]) / LOG_SCALE
    out[29] = 1.0 if half[0] == query[Q_MCC] and half[0] else 0.0
    text = signed(record[hs.E_TEXT : hs.E_TEXT + 4].view(np.uint32)[0])
    out[31] = 1.0 if text == query[Q_TEXT] and text else 0.0


@compiled
def time_before(row: Row, sequence: int) -> int:
    """Return the time (us) of the event before one that the ring holds, 0 when there is none or it is gone."""
    if sequence < 1 or sequence - 1 < hs.events_of(row) - hs.RING:
        return 0
    return int(hs.record_of(row, sequence - 1)[8:16].view(np.int64)[0])


@compiled
def read_raw(row: Row, query: Ints, raw: Floats) -> None:
    """Fill the window and the known frauds outside of it."""
    events = hs.events_of(row)
    start = hs.window_start(events)
    for sequence in range(start, events):
        out, record = raw[events - 1 - sequence], hs.record_of(row, sequence)
        read_static(record, time_before(row, sequence), out)
        read_dynamic(record, query, out)
        out[30] = math.log1p(events - sequence) / 8.0
    slot = RAW_WINDOW
    for place in range(hs.FRAUDS - 1, -1, -1):
        record = hs.fraud_of(row, place)
        words = record[:16].view(np.int64)
        if words[1] == 0 or hs.find(row, words[0]) >= start:
            continue
        read_static(record, 0, raw[slot])
        read_dynamic(record, query, raw[slot])
        raw[slot, 28] = 1.0
        slot += 1


@compiled
def read_summary(words: Ints, now: float, out: Floats) -> None:
    """Fill the columns of one summary, given its 8 counters as int64."""
    known, frauds, last = words[hs.S_KNOWN], words[hs.S_FRAUDS], float(words[hs.S_LAST])
    out[0] = 1.0
    out[2] = math.log1p(words[hs.S_COUNT]) / 10.0
    out[3], out[4] = math.log1p(known) / 10.0, math.log1p(frauds) / 5.0
    out[5] = frauds / known if known else 0.0
    out[6], out[7] = log_age(now, last), log_age(now, float(words[hs.S_FIRST]))
    out[8] = months(now, last)
    if words[hs.S_LAST_FRAUD]:
        out[9] = 1.0
        out[10] = log_age(now, float(words[hs.S_LAST_FRAUD]))
        out[11] = log_age(now, float(words[hs.S_FIRST_FRAUD]))
    out[12] = words[hs.S_LOGS] / words[hs.S_COUNT] / hs.SUM_LOG_SCALE / 10.0


@compiled
def read_sums(row: Row, query: Ints, sums: Floats, codes: Floats) -> None:
    """Fill summaries and codes, newest first."""
    words, counters = hs.summaries(row), np.zeros(8, np.int64)
    place, events = 0, math.log1p(hs.events_of(row)) / 10.0
    for level in range(hs.LEVELS):
        for slot in range(hs.RADIX - 1, -1, -1):
            begin = (level * hs.RADIX + slot) * hs.SUMMARY_WORDS
            if words[begin + hs.S_COUNT] == 0:
                continue
            for field in range(8):
                counters[field] = words[begin + field]
            read_summary(counters, query[Q_AT] / 1e6, sums[place])
            sums[place, 1], sums[place, 14] = level / 4.0, events
            codes[place] = words[begin + 8 : begin + hs.SUMMARY_WORDS].view(np.float32)
            place += 1


@compiled
def read_tokens(row: Row, query: Ints, raw: Floats, sums: Floats, codes: Floats) -> None:
    """Fill the tokens of one side: raw (64, 32), sums (20, 16), codes (20, 32); change no state.

    `row` is a history row (zeros where there is none), `query` int64 of `QUERY_FIELDS`.
    """
    raw[:] = 0.0
    sums[:] = 0.0
    codes[:] = 0.0
    if hs.events_of(row):
        read_raw(row, query, raw)
        read_sums(row, query, sums, codes)


@compiled
def read_many(rows: Row, queries: Ints, raw: Floats, sums: Floats, codes: Floats) -> None:
    """Fill the tokens of many: rows u8 (B, S, bytes), queries i64 (B, S, fields), outputs float32 (B, S, ...)."""
    for event in range(rows.shape[0]):
        for side in range(rows.shape[1]):
            read_tokens(
                rows[event, side], queries[event, side], raw[event, side], sums[event, side], codes[event, side]
            )


@compiled
def read_chosen(rows: Row, queries: Ints, chosen: NDArray[np.intp], raw: Floats, sums: Floats, codes: Floats) -> None:
    """Fill the tokens of some events out of many, for as many sides as the outputs have."""
    for place in range(chosen.shape[0]):
        event = chosen[place]
        for side in range(raw.shape[1]):
            read_tokens(
                rows[event, side], queries[event, side], raw[place, side], sums[place, side], codes[place, side]
            )


@compiled
def read_block(row: Row, block: int, out: Floats) -> None:
    """Fill what a block's code is computed from, float32 (16, 20): static columns, oldest first."""
    for place in range(hs.BLOCK):
        sequence = block * hs.BLOCK + place
        read_static(hs.record_of(row, sequence), time_before(row, sequence), out[place])
