"""Fill the tokens of a history row, as one query finds it; `fraud/core/tokens.py` says what they are.

`read_tokens` fills one side, `read_chosen` those of many events, `read_block` what a block's code is computed from.
"""

import math

import numpy as np
from numpy.typing import NDArray

from features.state import events as ev
from features.state import history as hs
from features.state import layout as at
from features.state import pyramid
from fraud.common.compiled import Floats, Ints, Row, compiled, signed
from fraud.core import tokens as tk

Q_AT, Q_LOG, Q_OTHER, Q_MCC, Q_TEXT = range(5)
QUERY_FIELDS = 5
"""A query, int64: time in us, log amount in 1/1024, hash of the counterparty, category code, hash of the text."""

DAY_US, WEEK_US = 86_400_000_000, 7 * 86_400_000_000
THURSDAY = 3 * DAY_US  # the epoch's day of the week, from Monday
MCC_SPREAD = 2_654_435_761
RATIO_SCALE = 256.0
SILENCE = 2


@compiled
def log_age(now: float, then: float) -> float:
    """Return the logarithm of the seconds from `then` to `now`, scaled as all ages are."""
    return math.log1p(max(now - then, 0.0)) / tk.AGE_SCALE


@compiled
def months(now: float, then: float) -> float:
    """Return the months (`MONTH`) from `then` to `now`, seconds both."""
    return min(max(now - then, 0.0) / tk.MONTH, tk.MOST_MONTHS)


@compiled
def read_static(record: Row, before: int, out: Floats) -> None:
    """Fill the static columns of a record; `before` is the time (us) of the entity's event before, 0 for none."""
    when, half = record[8:16].view(np.int64)[0], record[32:40].view(np.uint16)
    out[tk.PRESENT] = 1.0
    out[tk.LOG_AMOUNT] = ev.fixed_log(record) / tk.LOG_SCALE / tk.AMOUNT_SCALE
    hour, week = 2.0 * math.pi * (when % DAY_US) / DAY_US, 2.0 * math.pi * ((when + THURSDAY) % WEEK_US) / WEEK_US
    out[tk.HOUR_SIN], out[tk.HOUR_COS] = math.sin(hour), math.cos(hour)
    out[tk.WEEK_SIN], out[tk.WEEK_COS] = math.sin(week), math.cos(week)
    out[tk.SINCE_LAST] = log_age(when / 1e6, before / 1e6) if before else 0.0
    out[tk.RATIO] = record[at.E_RATIO : at.E_RATIO + 2].view(np.int16)[0] / RATIO_SCALE
    flags = record[at.E_FLAGS]
    out[tk.MONEY_BACK] = flags & 1
    presence = (flags >> 1) & 3
    out[tk.CARD_PRESENT] = 2.0 * presence - 3.0 if presence else 0.0
    read_mcc(signed(half[0]), out[tk.MCC : tk.MCC + tk.MCC_BITS])
    out[tk.OTHER_LABELS] = math.log1p(record[ev.E_LABELS]) / tk.LABELS_SCALE
    out[tk.OTHER_FRAUDS] = math.log1p(record[ev.E_FRAUDS]) / tk.LABELS_SCALE
    out[tk.OTHER_AGE] = record[ev.E_AGE] / 255.0
    out[tk.PAIR] = math.log1p(record[ev.E_PAIR]) / tk.LABELS_SCALE


@compiled
def read_mcc(mcc: int, out: Floats) -> None:
    """Fill six columns with the bits of a category code's hash as -1 and 1; 0 for none."""
    spread = (mcc * MCC_SPREAD) & 0xFFFFFFFF
    for bit in range(tk.MCC_BITS):
        out[bit] = (2.0 * ((spread >> (31 - bit)) & 1) - 1.0) if mcc else 0.0


@compiled
def read_dynamic(record: Row, query: Ints, out: Floats) -> None:
    """Fill the columns that depend on the query and on what is known by now, the place in the order left out."""
    words, half = record[:24].view(np.int64), record[32:40].view(np.uint16)
    now, when = query[Q_AT] / 1e6, words[1] / 1e6
    out[tk.AGE], out[tk.MONTHS] = log_age(now, when), months(now, when)
    label = record[at.E_LABEL]
    if label & 3:
        out[tk.KNOWN] = 1.0
        out[tk.FRAUD] = 1.0 if label & 3 == at.LABEL_FRAUD else 0.0
        out[tk.SILENT] = 1.0 if label >> 2 == SILENCE else 0.0
        out[tk.LABEL_AGE] = log_age(now, float(record[at.E_LABELLED : at.E_LABELLED + 4].view(np.uint32)[0]))
    out[tk.SAME_OTHER] = 1.0 if words[2] == query[Q_OTHER] else 0.0
    out[tk.AMOUNT_GAP] = (ev.fixed_log(record) - query[Q_LOG]) / tk.LOG_SCALE
    out[tk.SAME_MCC] = 1.0 if half[0] == query[Q_MCC] and half[0] else 0.0
    text = signed(record[ev.E_TEXT : ev.E_TEXT + 4].view(np.uint32)[0])
    out[tk.SAME_TEXT] = 1.0 if text == query[Q_TEXT] and text else 0.0


@compiled
def time_before(row: Row, sequence: int) -> int:
    """Return the time (us) of the event before one that the ring holds, 0 when there is none or it is gone."""
    if sequence < 1 or sequence - 1 < hs.events_of(row) - tk.RING:
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
        out[tk.EVENTS_SINCE] = math.log1p(events - sequence) / tk.SINCE_SCALE
    slot = tk.WINDOW
    for place in range(tk.FRAUDS - 1, -1, -1):
        record = hs.fraud_of(row, place)
        words = record[:16].view(np.int64)
        if words[1] == 0 or hs.find(row, words[0]) >= start:
            continue
        read_static(record, 0, raw[slot])
        read_dynamic(record, query, raw[slot])
        raw[slot, tk.FROM_FRAUDS] = 1.0
        slot += 1


@compiled
def read_summary(words: Ints, now: float, out: Floats) -> None:
    """Fill the columns of one summary, given its 8 counters as int64."""
    known, frauds, last = words[pyramid.S_KNOWN], words[pyramid.S_FRAUDS], float(words[pyramid.S_LAST])
    out[tk.SUM_PRESENT] = 1.0
    out[tk.SUM_COUNT] = math.log1p(words[pyramid.S_COUNT]) / tk.COUNT_SCALE
    out[tk.SUM_KNOWN] = math.log1p(known) / tk.COUNT_SCALE
    out[tk.SUM_FRAUDS] = math.log1p(frauds) / tk.FRAUDS_SCALE
    out[tk.SUM_SHARE] = frauds / known if known else 0.0
    out[tk.SUM_AGE], out[tk.SUM_FIRST] = log_age(now, last), log_age(now, float(words[pyramid.S_FIRST]))
    out[tk.SUM_MONTHS] = months(now, last)
    if words[pyramid.S_LAST_FRAUD]:
        out[tk.SUM_HAS_FRAUD] = 1.0
        out[tk.SUM_LAST_FRAUD] = log_age(now, float(words[pyramid.S_LAST_FRAUD]))
        out[tk.SUM_FIRST_FRAUD] = log_age(now, float(words[pyramid.S_FIRST_FRAUD]))
    out[tk.SUM_AMOUNT] = words[pyramid.S_LOGS] / words[pyramid.S_COUNT] / tk.SUM_LOG_SCALE / tk.AMOUNT_SCALE


@compiled
def read_sums(row: Row, query: Ints, sums: Floats, codes: Floats) -> None:
    """Fill summaries and codes, newest first."""
    words, counters = hs.summaries(row), np.zeros(8, np.int64)
    place, events = 0, math.log1p(hs.events_of(row)) / tk.COUNT_SCALE
    for level in range(tk.LEVELS):
        for slot in range(tk.RADIX - 1, -1, -1):
            begin = (level * tk.RADIX + slot) * pyramid.SUMMARY_WORDS
            if words[begin + pyramid.S_COUNT] == 0:
                continue
            for field in range(8):
                counters[field] = words[begin + field]
            read_summary(counters, query[Q_AT] / 1e6, sums[place])
            sums[place, tk.SUM_LEVEL], sums[place, tk.SUM_EVENTS] = level / tk.LEVEL_SCALE, events
            codes[place] = words[begin + 8 : begin + pyramid.SUMMARY_WORDS].view(np.float32)
            place += 1


@compiled
def read_tokens(row: Row, query: Ints, raw: Floats, sums: Floats, codes: Floats) -> None:
    """Fill the tokens of one side, raw, sums and codes as `fraud/core/tokens.py` has them; change no state.

    `row` is a history row (zeros where there is none), `query` int64 of `QUERY_FIELDS`.
    """
    raw[:] = 0.0
    sums[:] = 0.0
    codes[:] = 0.0
    if hs.events_of(row):
        read_raw(row, query, raw)
        read_sums(row, query, sums, codes)


def events_of_tokens(row: Row) -> Ints:
    """Return which event each raw token of one side is of, int64 (RAW, 2): hash of the transaction, time in us.

    Rows are those of `read_raw`; zeros where there is no event.
    """
    out: Ints = np.zeros((tk.RAW, 2), np.int64)
    events = hs.events_of(row)
    if not events:
        return out
    ring = row[hs.RING_AT : hs.CODES_AT].view(np.int64).reshape(tk.RING, ev.RECORD_WORDS)
    window = ring[np.arange(events - 1, hs.window_start(events) - 1, -1) % tk.RING, :2]
    frauds = row[hs.FRAUDS_AT : hs.PYRAMID_AT].view(np.int64).reshape(tk.FRAUDS, ev.RECORD_WORDS)[::-1, :2]
    older = frauds[(frauds[:, 1] != 0) & ~np.isin(frauds[:, 0], window[:, 0])]
    out[: len(window)], out[tk.WINDOW : tk.WINDOW + len(older)] = window, older
    return out


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
    """Fill what a block's code is computed from, float32 (BLOCK, STATIC): static columns, oldest first."""
    for place in range(tk.BLOCK):
        sequence = block * tk.BLOCK + place
        read_static(hs.record_of(row, sequence), time_before(row, sequence), out[place])
